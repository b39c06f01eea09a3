// Which tokens of a sidecar before us are to be trusted. Anybody can write "enc.v1." in front of a secret, so only a token
// whose key is announced in the same resource, by an announcement that our key service vouches for, is left alone.
// Everything else is text.
import { ANNOUNCEMENT_KEY_PREFIX } from '../formats/announcement.ts'
import { KID_CHARS } from '../formats/sealed-value.ts'
import { hasText, isBase64url } from '../formats/token-bytes.ts'
import { Fields } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'

/**
 * The key ids that trusted announcements of the resource group [start, end) vouch for. The group is read ahead of the
 * scan; where it is malformed nothing is trusted, and the scan refuses the request when it comes there.
 */
export function trustedKids(
  buf: Uint8Array,
  start: number,
  end: number,
  isTrusted: (kid: string, value: string) => boolean,
): ReadonlySet<string> {
  const kids = new Set<string>()
  try {
    const group = new Fields(buf, start, end)
    while (group.next()) {
      if (group.field !== 1 || group.wireType !== Wire.LENGTH) continue
      const resource = new Fields(buf, group.start, group.end)
      while (resource.next()) {
        if (resource.field === 1 && resource.wireType === Wire.LENGTH) addKid(resource, kids, isTrusted)
      }
    }
  } catch {
    return new Set()
  }
  return kids
}

function addKid(at: Fields, kids: Set<string>, isTrusted: (kid: string, value: string) => boolean): void {
  const attribute = new Fields(at.buf, at.start, at.end)
  let kid = ''
  let value: string | undefined
  while (attribute.next()) {
    if (attribute.wireType !== Wire.LENGTH) continue
    if (attribute.field === 1) kid = announcedKid(at.buf, attribute.start, attribute.end)
    else if (attribute.field === 2) value = announcementText(at.buf, attribute.start, attribute.end)
  }
  if (kid !== '' && value !== undefined && isTrusted(kid, value)) kids.add(kid)
}

/** The kid in `betrace.key.<kid>`, or '' when the key [start, end) is none. */
export function announcedKid(buf: Uint8Array, start: number, end: number): string {
  const kidAt = start + ANNOUNCEMENT_KEY_PREFIX.length
  if (!hasText(buf, start, end, ANNOUNCEMENT_KEY_PREFIX) || end - kidAt !== KID_CHARS) return ''
  return isBase64url(buf, kidAt, end) ? text(buf, kidAt, end) : ''
}

/** The text of an AnyValue that is a string and nothing else; `undefined` for any other. */
export function announcementText(buf: Uint8Array, start: number, end: number): string | undefined {
  const value = new Fields(buf, start, end)
  if (!value.next() || value.field !== 1 || value.wireType !== Wire.LENGTH || value.end !== end)
    return undefined
  return text(buf, value.start, value.end)
}

function text(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
}
