// Decoding base64 in place, to look into credentials without building strings.
import { hasWord } from './bytes.ts'

/** What each character of base64 and base64url stands for; -1: it is none. */
export const SEXTET = sextets()

function sextets(): Int8Array {
  const table = new Int8Array(256).fill(-1)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  for (let i = 0; i < 64; i++) table[alphabet.charCodeAt(i)] = i
  table[0x2d] = 62
  table[0x5f] = 63
  return table
}

const DECODED_BYTES_MAX = 384
const decoded = new Uint8Array(DECODED_BYTES_MAX)

/** Decodes base64 or base64url from [start, end) into a shared buffer, up to its size; how many bytes, or -1. */
function decode(buf: Uint8Array, start: number, end: number): number {
  let bits = 0
  let pending = 0
  let count = 0
  for (let i = start; i < end && count < DECODED_BYTES_MAX; i++) {
    if (buf[i] === 0x3d) break
    const sextet = SEXTET[buf[i]]
    if (sextet < 0) return -1
    bits = ((bits << 6) | sextet) & 0xffff
    pending += 6
    if (pending >= 8) {
      pending -= 8
      decoded[count++] = (bits >> pending) & 0xff
    }
  }
  return count
}

/** Whether [start, end) decodes to JSON that names an algorithm: the header of a JWS or JWE (RFC 7515 §4.1.1). */
export function isJoseHeader(buf: Uint8Array, start: number, end: number): boolean {
  const count = decode(buf, start, end)
  if (count < 8 || decoded[0] !== 0x7b) return false
  for (let i = 1; i + 5 <= count; i++)
    if (decoded[i] === 0x22 && hasWord(decoded, i, count, '"alg"')) return true
  return false
}

/** Whether [start, end) decodes to printable text with a colon after its first character (RFC 7617 §2). */
export function isUserPass(buf: Uint8Array, start: number, end: number): boolean {
  const count = decode(buf, start, end)
  let hasColon = false
  for (let i = 0; i < count; i++) {
    if (decoded[i] < 0x20 || decoded[i] === 0x7f) return false
    if (decoded[i] === 0x3a && i > 0) hasColon = true
  }
  return hasColon
}
