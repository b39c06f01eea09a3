// Tokens that a sidecar before us left: their exact grammar (proto/sealed-value.md §4, §6), and whether they are to be
// trusted. Anybody can write "enc.v1." in front of a secret, so only a token whose key is announced in the same
// resource, by an announcement that our key service vouches for, is left alone. Everything else is text.

import { BASE64URL, CLASS, skip } from '../detection/engine/bytes.ts'
import { Fields } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'
import { ANNOUNCEMENT_PREFIX } from './reserved.ts'

const SEALED_PREFIX = 'enc.v1.'
const PSEUDONYM_PREFIX = 'tok.v1.'
const PREFIX_CHARS = 7
const KID_CHARS = 12
const NONCE_CHARS = 16
const NONCE_AND_TAG_BYTES = 28
const CLASS_CHARS_MAX = 64
const PSEUDONYM_CHARS_MAX = 22
const DOT = 0x2e

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const SEXTET = Uint8Array.from({ length: 256 }, (_, byte) =>
  Math.max(0, ALPHABET.indexOf(String.fromCharCode(byte))),
)

/** What the last token found says of itself. */
export const token = { kid: '', isSealed: false }

/** End of the token that begins at `pos`, or -1. Sets `token`. */
export function tokenEnd(buf: Uint8Array, pos: number, end: number): number {
  if (hasText(buf, pos, end, SEALED_PREFIX)) return sealedEnd(buf, pos + PREFIX_CHARS, end)
  if (hasText(buf, pos, end, PSEUDONYM_PREFIX)) return pseudonymEnd(buf, pos + PREFIX_CHARS, end)
  return -1
}

function sealedEnd(buf: Uint8Array, kidAt: number, end: number): number {
  const payloadAt = kidAt + KID_CHARS + 1
  if (payloadAt + NONCE_CHARS > end || skip(buf, kidAt, end, BASE64URL) !== payloadAt - 1) return -1
  if (buf[payloadAt - 1] !== DOT) return -1
  let bits = 0
  for (let i = 0; i < 6; i++) bits = bits * 64 + SEXTET[buf[payloadAt + i]]
  const bytes = Math.floor(bits / 16) + NONCE_AND_TAG_BYTES
  const tokenStop = payloadAt + Math.ceil((bytes * 4) / 3)
  if (tokenStop > end || skip(buf, payloadAt, tokenStop, BASE64URL) !== tokenStop) return -1
  if (!hasZeroBits(buf[tokenStop - 1], bytes)) return -1
  setToken(buf, kidAt, true)
  return tokenStop
}

/** The unused low bits of the last character are zero in the one spelling that is accepted. */
function hasZeroBits(last: number, bytes: number): boolean {
  const rest = bytes % 3
  if (rest === 0) return true
  return (SEXTET[last] & (rest === 1 ? 0x0f : 0x03)) === 0
}

function pseudonymEnd(buf: Uint8Array, classAt: number, end: number): number {
  const classEnd = skip(buf, classAt, Math.min(end, classAt + CLASS_CHARS_MAX + 1), BASE64URL)
  const kidAt = classEnd + 1
  if (classEnd === classAt || classEnd - classAt > CLASS_CHARS_MAX || buf[classEnd] !== DOT) return -1
  const macAt = kidAt + KID_CHARS + 1
  if (macAt >= end || skip(buf, kidAt, end, BASE64URL) !== macAt - 1 || buf[macAt - 1] !== DOT) return -1
  const macEnd = skip(buf, macAt, Math.min(end, macAt + PSEUDONYM_CHARS_MAX + 1), BASE64URL)
  if (macEnd === macAt || macEnd - macAt > PSEUDONYM_CHARS_MAX) return -1
  setToken(buf, kidAt, false)
  return macEnd
}

function setToken(buf: Uint8Array, kidAt: number, isSealed: boolean): void {
  token.kid = text(buf, kidAt, kidAt + KID_CHARS)
  token.isSealed = isSealed
}

/** First position from `pos` on where a token may begin, or -1. */
export function findPrefix(buf: Uint8Array, pos: number, end: number): number {
  // ".v1." is rarer than any letter.
  for (let i = pos + 3; i + 3 < end; i++) {
    if (buf[i] !== DOT || buf[i + 1] !== 0x76 || buf[i + 2] !== 0x31 || buf[i + 3] !== DOT) continue
    const at = i - 3
    if (hasText(buf, at, end, SEALED_PREFIX) || hasText(buf, at, end, PSEUDONYM_PREFIX)) return at
  }
  return -1
}

function hasText(buf: Uint8Array, pos: number, end: number, expected: string): boolean {
  if (pos < 0 || pos + expected.length > end) return false
  for (let i = 0; i < expected.length; i++) if (buf[pos + i] !== expected.charCodeAt(i)) return false
  return true
}

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
  const kidAt = start + ANNOUNCEMENT_PREFIX.length
  if (!hasText(buf, start, end, ANNOUNCEMENT_PREFIX) || end - kidAt !== KID_CHARS) return ''
  for (let i = kidAt; i < end; i++) if ((CLASS[buf[i]] & BASE64URL) === 0) return ''
  return text(buf, kidAt, end)
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
