// The token that stands where a value stood: its grammar, its associated data, and the two keys derived from a data key.
// Format and argument: proto/sealed-value.md §2, §4. Keys that seal and open are in sealing-key.ts and opening-key.ts.
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { type KmsContext, lengthPrefixed, serialiseContext, utf8 } from './key-context.ts'
import { hkdfSha256 } from './key-derivation.ts'

export const TOKEN_PREFIX = 'enc.v1.'
export const KID_CHARS = 12
export const NONCE_BYTES = 12
export const TAG_BYTES = 16
export const CLASS_PATTERN = /^[A-Za-z0-9_-]{1,64}$/

const FORMAT_LABEL = 'betrace/sealed-value/v1'
const NONCE_CHARS = 16

/** Every reason why a value does not open has this one answer, so that none of them can be told apart from outside. */
export function doesNotOpen(cause?: unknown): SidecarError {
  return new SidecarError('SEALED_VALUE', 'sealed value does not open', cause === undefined ? {} : { cause })
}

/** One value to seal. The bytes stay the caller's. */
export interface SealItem {
  /** The encoded AnyValue. */
  readonly plaintext: Uint8Array
  /** Where the value stands, proto/sealed-value.md §5. */
  readonly attributeKey: string
  readonly dataClass: string
  /** 16 bytes; only read when the key is bound to traces. */
  readonly traceId?: Uint8Array
}

export interface Sealer {
  /** Resource attribute key, `betrace.key.<kid>`. */
  readonly announcementKey: string
  /** Its value. */
  readonly announcement: string
  /** Tokens in the order of `items`. Throws INTERNAL for a class that the announcement does not list. */
  sealAll(items: readonly SealItem[]): string[]
}

export interface DerivedKeys {
  readonly key: KeyObject
  /** 32 bytes, public: announced, and checked before anything is opened. */
  readonly commitment: Uint8Array
}

/** Derives both keys. `dataKey` stays the caller's, who zeroes it. `tenantSecret` is 32 bytes or absent. */
export function deriveKeys(
  dataKey: Uint8Array,
  context: KmsContext,
  tenantSecret: Uint8Array | undefined,
): DerivedKeys {
  const info = Buffer.concat([Buffer.from(`${FORMAT_LABEL}\0`), serialiseContext(context)])
  const okm = hkdfSha256(dataKey, tenantSecret ?? new Uint8Array(0), info, 64)
  const key = createSecretKey(okm.subarray(0, 32))
  const commitment = okm.slice(32)
  okm.fill(0)
  return { key, commitment }
}

/** `b64(SHA-256(label ‖ 0x00 ‖ bytes))`, cut to the length of a kid. */
export function shortHash(label: string, bytes: Uint8Array): string {
  return createHash('sha256').update(`${label}\0`).update(bytes).digest('base64url').slice(0, KID_CHARS)
}

/** Associated data of a value, `traceId` empty where the value is not bound to a trace. */
export function associatedData(
  tenant: string,
  dataClass: string,
  attributeKey: string,
  traceId: Uint8Array,
): Buffer {
  return Buffer.concat([associatedDataPrefix(tenant, dataClass, attributeKey), lengthPrefixed(traceId)])
}

/** The last part of the associated data; absent and empty are the same. */
export const lengthPrefixedTraceId = (traceId: Uint8Array | undefined): Buffer =>
  lengthPrefixed(traceId ?? new Uint8Array(0))

/** Everything but the trace id, which a sealing key keeps per class and attribute key. */
export function associatedDataPrefix(tenant: string, dataClass: string, attributeKey: string): Buffer {
  const parts = [FORMAT_LABEL, tenant, dataClass, attributeKey.toWellFormed()]
  return Buffer.concat(parts.map((part) => lengthPrefixed(utf8(part))))
}

/** Characters of base64url for so many bytes. */
export const base64urlChars = (bytes: number): number => Math.ceil((bytes * 4) / 3)

/** Bytes of a base64url text in canonical spelling; `undefined` for any other. */
export function base64urlBytes(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

export interface TokenAt {
  readonly kid: string
  readonly start: number
  readonly end: number
}

export interface TokenParts {
  readonly kid: string
  readonly nonce: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

const HEAD = new RegExp(`enc\\.v1\\.([A-Za-z0-9_-]{${KID_CHARS}})\\.([A-Za-z0-9_-]{${NONCE_CHARS}})`, 'g')
const NOT_BASE64URL = /[^A-Za-z0-9_-]/g

/** Where tokens stand in a text, in order. What looks like one but is shorter than it says is not one. */
export function findTokens(text: string): TokenAt[] {
  const found: TokenAt[] = []
  const head = new RegExp(HEAD)
  for (let match = head.exec(text); match !== null; match = head.exec(text)) {
    const payloadStart = match.index + TOKEN_PREFIX.length + KID_CHARS + 1
    const end = payloadStart + payloadChars(match[2]!)
    if (end <= base64urlRunEnd(text, payloadStart)) {
      found.push({ kid: match[1]!, start: match.index, end })
      head.lastIndex = end
    } else {
      head.lastIndex = match.index + TOKEN_PREFIX.length
    }
  }
  return found
}

/** The parts of a text that is exactly one token, in canonical spelling; `undefined` for anything else. */
export function parseToken(token: string): TokenParts | undefined {
  const [at] = findTokens(token)
  if (at === undefined || at.start !== 0 || at.end !== token.length) return undefined
  const payload = base64urlBytes(token.slice(TOKEN_PREFIX.length + KID_CHARS + 1))
  if (payload === undefined) return undefined
  return {
    kid: at.kid,
    nonce: payload.subarray(0, NONCE_BYTES),
    ciphertext: payload.subarray(NONCE_BYTES, payload.length - TAG_BYTES),
    tag: payload.subarray(payload.length - TAG_BYTES),
  }
}

/** The nonce opens with the ciphertext's length, which makes a token self-delimiting. */
function payloadChars(nonceText: string): number {
  const ciphertextBytes = Buffer.from(nonceText, 'base64url').readUInt32BE(0)
  return base64urlChars(NONCE_BYTES + ciphertextBytes + TAG_BYTES)
}

function base64urlRunEnd(text: string, from: number): number {
  NOT_BASE64URL.lastIndex = from
  return NOT_BASE64URL.exec(text)?.index ?? text.length
}
