// The inside of a JSON string (RFC 8259 §7).
import { malformed } from './reader.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Of the last `unescaped`: whether it had to put U+FFFD for half of a surrogate pair. */
export const unescaping = { isRepaired: false }

/** UTF-8 of a string's content with its escapes resolved. A lone surrogate becomes U+FFFD. */
export function unescaped(buf: Uint8Array, start: number, end: number): Uint8Array {
  const out = new Uint8Array(end - start) // an escape is never shorter than what it stands for
  let write = 0
  unescaping.isRepaired = false
  for (let pos = start; pos < end; ) {
    if (buf[pos] !== BACKSLASH) {
      out[write++] = buf[pos++]
      continue
    }
    const kind = buf[pos + 1]
    if (kind !== 0x75) {
      out[write++] = simpleEscape(kind)
      pos += 2
      continue
    }
    let code = hex4(buf, pos + 2, end)
    pos += 6
    if (code >= 0xd800 && code <= 0xdfff) {
      const low =
        code < 0xdc00 && buf[pos] === BACKSLASH && buf[pos + 1] === 0x75 ? hex4(buf, pos + 2, end) : 0
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
        pos += 6
      } else {
        code = 0xfffd
        unescaping.isRepaired = true
      }
    }
    write = writeUtf8(out, write, code)
  }
  return out.subarray(0, write)
}

function simpleEscape(kind: number): number {
  switch (kind) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return kind
    case 0x62:
      return 0x08
    case 0x66:
      return 0x0c
    case 0x6e:
      return 0x0a
    case 0x72:
      return 0x0d
    case 0x74:
      return 0x09
    default:
      throw malformed('json string holds an unknown escape')
  }
}

function hex4(buf: Uint8Array, pos: number, end: number): number {
  if (pos + 4 > end) throw malformed('json string holds an unknown escape')
  let code = 0
  for (let i = 0; i < 4; i++) {
    const digit = hexDigit(buf[pos + i])
    if (digit < 0) throw malformed('json string holds an unknown escape')
    code = code * 16 + digit
  }
  return code
}

/** Value of a hexadecimal digit in either case, or -1. */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function writeUtf8(out: Uint8Array, at: number, code: number): number {
  if (code < 0x80) {
    out[at] = code
    return at + 1
  }
  if (code < 0x800) {
    out[at] = 0xc0 | (code >> 6)
    out[at + 1] = 0x80 | (code & 0x3f)
    return at + 2
  }
  if (code < 0x10000) {
    out[at] = 0xe0 | (code >> 12)
    out[at + 1] = 0x80 | ((code >> 6) & 0x3f)
    out[at + 2] = 0x80 | (code & 0x3f)
    return at + 3
  }
  out[at] = 0xf0 | (code >> 18)
  out[at + 1] = 0x80 | ((code >> 12) & 0x3f)
  out[at + 2] = 0x80 | ((code >> 6) & 0x3f)
  out[at + 3] = 0x80 | (code & 0x3f)
  return at + 4
}
