// The exact grammar of tokens in bytes (proto/sealed-value.md §4, §6): what stands in a value, without decoding it to text.
import { KID_CHARS, NONCE_BYTES, TAG_BYTES, TOKEN_PREFIX } from './sealed-value.ts'

export const PSEUDONYM_PREFIX = 'tok.v1.'
const PREFIX_CHARS = TOKEN_PREFIX.length
const NONCE_CHARS = (NONCE_BYTES * 4) / 3
const CLASS_CHARS_MAX = 64
const PSEUDONYM_CHARS_MAX = 22
const DOT = 0x2e

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** The six bits of a character of base64url; -1 for any other byte. */
const SEXTET = Int8Array.from({ length: 256 }, (_, byte) => ALPHABET.indexOf(String.fromCharCode(byte)))

/** What the last token found says of itself. */
export const token = { kid: '', isSealed: false }

/** End of the token that begins at `pos`, or -1. Sets `token`. */
export function tokenEnd(buf: Uint8Array, pos: number, end: number): number {
  if (hasText(buf, pos, end, TOKEN_PREFIX)) return sealedEnd(buf, pos + PREFIX_CHARS, end)
  if (hasText(buf, pos, end, PSEUDONYM_PREFIX)) return pseudonymEnd(buf, pos + PREFIX_CHARS, end)
  return -1
}

function sealedEnd(buf: Uint8Array, kidAt: number, end: number): number {
  const payloadAt = kidAt + KID_CHARS + 1
  if (payloadAt + NONCE_CHARS > end || base64urlEnd(buf, kidAt, end) !== payloadAt - 1) return -1
  if (buf[payloadAt - 1] !== DOT) return -1
  let bits = 0
  for (let i = 0; i < 6; i++) bits = bits * 64 + SEXTET[buf[payloadAt + i]]
  const bytes = Math.floor(bits / 16) + NONCE_BYTES + TAG_BYTES
  const tokenStop = payloadAt + Math.ceil((bytes * 4) / 3)
  if (tokenStop > end || base64urlEnd(buf, payloadAt, tokenStop) !== tokenStop) return -1
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
  const classEnd = base64urlEnd(buf, classAt, Math.min(end, classAt + CLASS_CHARS_MAX + 1))
  const kidAt = classEnd + 1
  if (classEnd === classAt || classEnd - classAt > CLASS_CHARS_MAX || buf[classEnd] !== DOT) return -1
  const macAt = kidAt + KID_CHARS + 1
  if (macAt >= end || base64urlEnd(buf, kidAt, end) !== macAt - 1 || buf[macAt - 1] !== DOT) return -1
  const macEnd = base64urlEnd(buf, macAt, Math.min(end, macAt + PSEUDONYM_CHARS_MAX + 1))
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
    if (hasText(buf, at, end, TOKEN_PREFIX) || hasText(buf, at, end, PSEUDONYM_PREFIX)) return at
  }
  return -1
}

export function hasText(buf: Uint8Array, pos: number, end: number, expected: string): boolean {
  if (pos < 0 || pos + expected.length > end) return false
  for (let i = 0; i < expected.length; i++) if (buf[pos + i] !== expected.charCodeAt(i)) return false
  return true
}

/** Whether [start, end) is nothing but characters of base64url. */
export function isBase64url(buf: Uint8Array, start: number, end: number): boolean {
  return base64urlEnd(buf, start, end) === end
}

function base64urlEnd(buf: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && SEXTET[buf[at]] >= 0) at++
  return at
}

function text(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
}
