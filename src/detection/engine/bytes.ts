// What a byte can be part of, as flags in one table: a detector asks one lookup per byte.

export const DIGIT = 1
export const ALPHA = 2
/** 0-9, a-f, A-F */
export const HEX = 4
/** A character of an e-mail's local part as mailboxes use them; bytes over 0x7F are UTF-8 (RFC 6531). */
export const LOCAL = 8
/** A character of a domain name, dots excluded; bytes over 0x7F are UTF-8 (RFC 5890 U-labels). */
export const LABEL = 16
/** base64url, RFC 4648 §5 */
export const BASE64URL = 32
/** token68 of RFC 9110 §11.2, what a bearer or basic credential is made of */
export const TOKEN68 = 64
/** Ends a URL or a bare parameter: white space, controls, quotes, angle brackets, backtick */
export const URL_END = 128

export const ALNUM = DIGIT | ALPHA

export const CLASS: Uint8Array = classTable()

function classTable(): Uint8Array {
  const table = new Uint8Array(256)
  const add = (characters: string, flags: number): void => {
    for (const character of characters) table[character.charCodeAt(0)] |= flags
  }
  add('0123456789', DIGIT | HEX | LOCAL | LABEL | BASE64URL | TOKEN68)
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  add(letters + letters.toUpperCase(), ALPHA | LOCAL | LABEL | BASE64URL | TOKEN68)
  add('abcdefABCDEF', HEX)
  add("._%+-'", LOCAL)
  add('-', LABEL | BASE64URL | TOKEN68)
  add('_', BASE64URL | TOKEN68)
  add('.~+/=', TOKEN68)
  add('"\'<>`', URL_END)
  for (let byte = 0; byte <= 0x20; byte++) table[byte] |= URL_END
  table[0x7f] |= URL_END
  for (let byte = 0x80; byte < 256; byte++) table[byte] |= LOCAL | LABEL
  return table
}

/** Whether the byte at `pos` has one of `flags`; positions outside [start, end) have none. */
export function is(buf: Uint8Array, start: number, end: number, pos: number, flags: number): boolean {
  return pos >= start && pos < end && (CLASS[buf[pos]] & flags) !== 0
}

/** The byte at `pos`, or -1 outside [start, end). */
export function byteAt(buf: Uint8Array, start: number, end: number, pos: number): number {
  return pos >= start && pos < end ? buf[pos] : -1
}

/** First position from `pos` on whose byte has none of `flags`. */
export function skip(buf: Uint8Array, pos: number, end: number, flags: number): number {
  while (pos < end && (CLASS[buf[pos]] & flags) !== 0) pos++
  return pos
}

export function isLetter(byte: number): boolean {
  return (CLASS[byte] & ALPHA) !== 0
}

export function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a
}

export function isQuote(byte: number): boolean {
  return byte === 0x22 || byte === 0x27 || byte === 0x60
}

/** 0-15, or -1 when the byte is no hex digit. */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/** The byte that `%XX` at `pos` stands for, or -1 when there is no such triple. */
export function percentByte(buf: Uint8Array, pos: number, end: number): number {
  if (pos + 3 > end || pos < 0 || buf[pos] !== 0x25) return -1
  const high = hexDigit(buf[pos + 1])
  const low = hexDigit(buf[pos + 2])
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

/** Whether the bytes at `pos` are `word` (lower case ASCII), in any case. */
export function hasWord(buf: Uint8Array, pos: number, end: number, word: string): boolean {
  if (pos < 0 || pos + word.length > end) return false
  for (let i = 0; i < word.length; i++) if (lowerCase(buf[pos + i]) !== word.charCodeAt(i)) return false
  return true
}

export function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

/** Whether the triple that `pos` ends with is `%XX`: then a digit or letter before `pos` is no character of a word. */
export function isAfterPercentByte(buf: Uint8Array, start: number, pos: number): boolean {
  return pos - 3 >= start && percentByte(buf, pos - 3, pos) >= 0
}

/** Whether a word goes on to the left of `pos`. A percent-encoded byte that is no letter or digit ends one. */
export function isWordBefore(buf: Uint8Array, start: number, pos: number): boolean {
  if (pos <= start || (CLASS[buf[pos - 1]] & ALNUM) === 0) return false
  if (!isAfterPercentByte(buf, start, pos)) return true
  return (CLASS[percentByte(buf, pos - 3, pos)] & ALNUM) !== 0
}
