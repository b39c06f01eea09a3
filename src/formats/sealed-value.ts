// The token that stands where a value stood: its grammar, its associated data, and the two keys derived from a data key.
// Format and argument: proto/sealed-value.md §2, §4. Keys that seal and open are in sealing-key.ts and opening-key.ts.
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { lengthPrefixed, u32, utf8 } from './key-context.ts'
import { hkdfSha256 } from './key-derivation.ts'
import { readPlace } from './value-place.ts'

export const TOKEN_PREFIX = 'enc.v1.'
/** Of every name that is a hash: 16 bytes, so that nobody finds two things of one name. */
export const KID_CHARS = 22
const KID_BYTES = 16
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
  /** Where the value stands: what value-place.ts makes. */
  readonly place: string
  readonly dataClass: string
  /** The IDS_BYTES of the span or log record around it; absent outside. */
  readonly ids?: Uint8Array | undefined
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

/**
 * Derives both keys. `announced` is the announcement's text without its commitment, so that an edited one opens nothing.
 * `dataKey` stays the caller's, who zeroes it. `tenantSecret` is 32 bytes or absent.
 */
export function deriveKeys(
  dataKey: Uint8Array,
  announced: string,
  tenantSecret: Uint8Array | undefined,
): DerivedKeys {
  const info = Buffer.concat([Buffer.from(`${FORMAT_LABEL}\0`), utf8(announced)])
  const okm = hkdfSha256(dataKey, tenantSecret ?? new Uint8Array(0), info, 64)
  const key = createSecretKey(okm.subarray(0, 32))
  const commitment = okm.slice(32)
  okm.fill(0)
  return { key, commitment }
}

/** `b64` of the first 16 bytes of `SHA-256(label ‖ 0x00 ‖ bytes)`. */
export function shortHash(label: string, bytes: Uint8Array): string {
  const digest = createHash('sha256').update(`${label}\0`).update(bytes).digest()
  return digest.subarray(0, KID_BYTES).toString('base64url')
}

/** A trace id and a span id; zeros where a record has none. */
export const IDS_BYTES = 24
const TRACE_ID_BYTES = 16
const BLOCK_BYTES = 16

/** The ids of a record as values are bound to them. */
export function idsOf(traceId: Uint8Array | undefined, spanId: Uint8Array | undefined): Uint8Array {
  const ids = new Uint8Array(IDS_BYTES)
  if (traceId !== undefined) ids.set(traceId)
  if (spanId !== undefined) ids.set(spanId, TRACE_ID_BYTES)
  return ids
}

/**
 * Associated data of a value (proto/sealed-value.md §4). With `hasIds` its last IDS_BYTES are for the ids, zero for now: all
 * before them is the same for every value of a class at a place.
 */
export function associatedData(tenant: string, dataClass: string, place: string, hasIds: boolean): Buffer {
  const { number, path } = readPlace(place)
  const head = [
    ...[FORMAT_LABEL, tenant, dataClass].map((part) => lengthPrefixed(utf8(part))),
    Uint8Array.of(number, hasIds ? 1 : 0),
    u32(path.length),
    ...path.map((key) => lengthPrefixed(utf8(key.toWellFormed()))),
  ]
  const size = head.reduce((sum, part) => sum + part.length, 0)
  const padded = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  return Buffer.concat(head, padded + (hasIds ? IDS_BYTES : 0))
}

/** Sizes up to which a short plaintext is filled, and the step from the last one on. */
const SIZE_CLASSES = [16, 32, 64, 128, 256] as const
const SIZE_STEP = 256
const PAD_BYTE = 0x80

/** `plaintext ‖ 0x80 ‖ zeros` up to its size class (ISO/IEC 7816-4), so that a token tells less of the length. */
export function padded(plaintext: Uint8Array): Uint8Array {
  const size = plaintext.length + 1
  const full = SIZE_CLASSES.find((each) => each >= size) ?? Math.ceil(size / SIZE_STEP) * SIZE_STEP
  const out = new Uint8Array(full)
  out.set(plaintext)
  out[plaintext.length] = PAD_BYTE
  return out
}

/** `undefined` for what `padded` did not make. */
export function unpadded(bytes: Uint8Array): Uint8Array | undefined {
  const end = bytes.findLastIndex((byte) => byte !== 0)
  if (end < 0 || bytes[end] !== PAD_BYTE) return undefined
  const plaintext = bytes.subarray(0, end)
  return padded(plaintext).length === bytes.length ? plaintext : undefined
}

/** Whether a text can be the name that a hash gives. */
export function isKid(text: string): boolean {
  return base64urlBytes(text)?.length === KID_BYTES
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

/** Where tokens stand in a text, in order. What begins like one and is none goes into `damaged`, where it begins. */
export function findTokens(text: string, damaged?: number[]): TokenAt[] {
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
  if (damaged !== undefined) addDamaged(text, found, damaged)
  return found
}

/** What is left of a token when it was cut, at the least; less of one is a text that speaks of tokens. */
const REMAINS = /enc\.v1\.[A-Za-z0-9_-]{8}/g

/** Remains outside of the tokens that were found. */
function addDamaged(text: string, found: readonly TokenAt[], damaged: number[]): void {
  let next = 0
  for (const { index } of text.matchAll(REMAINS)) {
    while (next < found.length && found[next]!.end <= index) next++
    const token = found[next]
    if (token === undefined || token.start > index) damaged.push(index)
  }
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
