// Opens sealed values, one or every one in exported requests. Needs what was exported and the key service; the key store
// only where a tenant secret was mixed in.
import { SidecarError } from '../../base/errors.ts'
import { announcementKid, parseAnnouncement } from '../../formats/announcement.ts'
import { doesNotOpen } from '../../formats/sealed-value.ts'
import type { Kms, WrappedKey } from '../../kms/kms.ts'
import { Edits } from '../../wire/edits.ts'
import { protobufToJson } from '../../wire/json.ts'
import { type Signal, ValueType } from '../../wire/otlp.ts'
import { Fields } from '../../wire/reader.ts'
import { splice } from '../../wire/splice.ts'
import { messageField } from '../../wire/write.ts'
import { type OpenedValue, OpeningKey } from '../data/opening-key.ts'
import { type TenantSecret, TenantSecretGone } from '../data/tenant-secret.ts'
import { type FoundToken, walkTokens } from './token-walk.ts'

export interface RevealSettings {
  readonly kms: Kms
  /** A tenant's named secret. Without this, values sealed with one are "cannot tell". */
  readonly tenantSecret?: (
    tenant: string,
    id: string,
    abort: AbortSignal,
    kid: string,
  ) => Promise<TenantSecret>
  /** A later wrapping of an announced data key, see rewrap.ts. It is tried first, since the old master key may be gone. */
  readonly rewrapped?: (tenant: string, kid: string) => Promise<WrappedKey | undefined>
}

export interface SealedToken {
  readonly token: string
  /** What value-place.ts makes. */
  readonly place: string
  readonly announcement: string
  /** The IDS_BYTES of its span or log record; absent where it stands in none. */
  readonly ids?: Uint8Array | undefined
}

/** One Export request, encoded. */
export interface ExportedRequest {
  readonly signal: Signal
  readonly body: Uint8Array
}

/**
 * `damaged`: it begins like a sealed value and is none. `no_announcement`: nothing in the input announces its key. `does_not_open`: it was changed, moved, or sealed under
 * something else. `destroyed`: its tenant secret was. `cannot_tell`: the key service or the key store did not say.
 */
export type RevealFailure = 'damaged' | 'no_announcement' | 'does_not_open' | 'destroyed' | 'cannot_tell'

export interface RevealedToken {
  /** Which of the requests. */
  readonly requestIndex: number
  /** Empty for a damaged one. */
  readonly kid: string
  readonly place: string
  readonly outcome: Revealed | Failed
}

export interface Revealed {
  readonly isOpen: true
  readonly tenant: string
  readonly dataClass: string
  /** The value as OTLP/JSON's AnyValue, such as `{ stringValue: 'a' }`. */
  readonly value: object
}

export interface Failed {
  readonly isOpen: false
  readonly failure: RevealFailure
  readonly error: SidecarError | undefined
}

export interface RevealReport {
  readonly tokens: readonly RevealedToken[]
  /** The requests in their order, with every value that opened in its place; the same buffer where none did. */
  readonly bodies: readonly Uint8Array[]
}

type KeyOutcome = OpeningKey | Failed

const NO_ANNOUNCEMENT: Failed = { isOpen: false, failure: 'no_announcement', error: undefined }
const DAMAGED: Failed = { isOpen: false, failure: 'damaged', error: undefined }
const UNWRAPS_AT_ONCE = 8

/** Opens one token. Rejects SEALED_VALUE when it does not open, anything else when nobody could tell. */
export async function revealToken(
  parts: RevealSettings,
  sealed: SealedToken,
  abort: AbortSignal,
): Promise<OpenedValue> {
  const key = await unwrapKey(parts, sealed.announcement, abort)
  return key.open(sealed.token, sealed.place, [sealed.ids])
}

/** Opens every token of the requests. An announcement counts for all of them, since its name is its hash. */
export async function revealRequests(
  parts: RevealSettings,
  requests: readonly ExportedRequest[],
  abort: AbortSignal,
): Promise<RevealReport> {
  const { kids, announcements } = survey(requests)
  const keys = await unwrapAll(parts, kids, announcements, abort)
  const tokens: RevealedToken[] = []
  const edits = new Edits()
  const bodies = requests.map(({ signal, body }, requestIndex) => {
    const token = (found: FoundToken): void => {
      tokens.push(openInPlace(found, keys.get(found.kid) ?? NO_ANNOUNCEMENT, requestIndex, edits))
    }
    const damaged = (place: string): void => {
      tokens.push({ requestIndex, kid: '', place, outcome: DAMAGED })
    }
    walkTokens(body, signal, { announcement: () => {}, token, damaged }, edits)
    return splice(body, edits)
  })
  return { tokens, bodies }
}

/** An encoded AnyValue as OTLP/JSON's object. */
export function anyValueJson(anyValue: Uint8Array): object {
  // The writer of OTLP/JSON knows whole requests: ResourceLogs 1, ScopeLogs 2, LogRecord 2, its body 5.
  const request = messageField(1, messageField(2, messageField(2, messageField(5, anyValue))))
  const logs: unknown = JSON.parse(protobufToJson(request, 'logs'))
  // The shape that was just written.
  const { resourceLogs } = logs as { resourceLogs: { scopeLogs: { logRecords: { body?: object }[] }[] }[] }
  return resourceLogs[0]!.scopeLogs[0]!.logRecords[0]!.body ?? {}
}

function survey(requests: readonly ExportedRequest[]): {
  kids: Set<string>
  announcements: Map<string, string>
} {
  const kids = new Set<string>()
  const announcements = new Map<string, string>()
  for (const { signal, body } of requests) {
    walkTokens(body, signal, {
      announcement: (kid, text) => announcements.set(kid, text),
      token: ({ kid }) => kids.add(kid),
    })
  }
  return { kids, announcements }
}

async function unwrapAll(
  parts: RevealSettings,
  kids: ReadonlySet<string>,
  announcements: ReadonlyMap<string, string>,
  abort: AbortSignal,
): Promise<Map<string, KeyOutcome>> {
  const keys = new Map<string, KeyOutcome>()
  const wanted = [...kids].filter((kid) => announcements.has(kid))
  for (let at = 0; at < wanted.length; at += UNWRAPS_AT_ONCE) {
    await Promise.all(
      wanted.slice(at, at + UNWRAPS_AT_ONCE).map(async (kid) => {
        const outcome = await unwrapKey(parts, announcements.get(kid)!, abort).catch(failed)
        keys.set(kid, outcome)
      }),
    )
  }
  return keys
}

async function unwrapKey(
  parts: RevealSettings,
  announcement: string,
  abort: AbortSignal,
): Promise<OpeningKey> {
  const parsed = parseAnnouncement(announcement)
  if (parsed === undefined) throw doesNotOpen()
  const { tenantSecretId, context } = parsed
  if (tenantSecretId === '') return unwrapLatest(parts, announcement, context.tenantId, undefined, abort)
  if (parts.tenantSecret === undefined) {
    throw new SidecarError(
      'KEY_UNAVAILABLE',
      'the value needs a tenant secret, which is kept in the key store',
    )
  }
  const secret = await parts.tenantSecret(
    context.tenantId,
    tenantSecretId,
    abort,
    announcementKid(announcement),
  )
  try {
    return await unwrapLatest(parts, announcement, context.tenantId, secret, abort)
  } finally {
    secret.bytes.fill(0)
  }
}

async function unwrapLatest(
  parts: RevealSettings,
  announcement: string,
  tenant: string,
  secret: TenantSecret | undefined,
  abort: AbortSignal,
): Promise<OpeningKey> {
  const later = await parts.rewrapped?.(tenant, announcementKid(announcement))
  const asAnnounced = (): Promise<OpeningKey> => OpeningKey.unwrap(parts.kms, announcement, secret, abort)
  if (later === undefined) return asAnnounced()
  return OpeningKey.unwrap(parts.kms, announcement, secret, abort, later).catch((failure: unknown) =>
    // Rewrapped for another key service than this one: the original may open, and else the later failure says more.
    asAnnounced().catch(() => {
      throw failure
    }),
  )
}

function failed(thrown: unknown): Failed {
  if (!(thrown instanceof SidecarError)) throw thrown
  return {
    isOpen: false,
    failure: failureOf(thrown),
    error: thrown,
  }
}

/** What an error of `revealToken` says of the value. */
export function failureOf(error: SidecarError): RevealFailure {
  if (error instanceof TenantSecretGone && error.isDestroyed) return 'destroyed'
  return error.code === 'SEALED_VALUE' ? 'does_not_open' : 'cannot_tell'
}

function openInPlace(found: FoundToken, key: KeyOutcome, requestIndex: number, edits: Edits): RevealedToken {
  const { kid, place } = found
  const outcome = key instanceof OpeningKey ? openFound(found, key, edits) : key
  return { requestIndex, kid, place, outcome }
}

function openFound(found: FoundToken, key: OpeningKey, edits: Edits): Revealed | Failed {
  try {
    const { plaintext, dataClass } = key.open(found.token, found.place, found.candidates)
    const value = anyValueJson(plaintext)
    if (found.wholeValue !== undefined) {
      edits.replace(found.wholeValue.start, found.wholeValue.end, plaintext)
    } else {
      edits.replace(found.start, found.end, textOf(plaintext))
    }
    return { isOpen: true, tenant: key.announcement.context.tenantId, dataClass, value }
  } catch (thrown) {
    return failed(thrown)
  }
}

/** What stands for a value inside text or bytes: the content of a string or of bytes; nothing else is sealed there. */
function textOf(anyValue: Uint8Array): Uint8Array {
  const value = new Fields(anyValue)
  const isText = value.next() && (value.field === ValueType.STRING || value.field === ValueType.BYTES)
  if (!isText || value.end !== anyValue.length) throw doesNotOpen()
  return anyValue.subarray(value.start, value.end)
}
