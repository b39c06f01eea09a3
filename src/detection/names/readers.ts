// Reads what no pattern of characters describes: telephone numbers as people write them in their country, dates, card
// numbers that have no issuer range of ours, plates. All only behind their names.

import { ALNUM, ALPHA, CLASS, DIGIT, is, isWordBefore, percentByte } from '../engine/bytes.ts'
import { hasLuhnDigit } from '../national/check-digits.ts'
import { wideSeparatorWidth } from './separators.ts'

const PHONE_DIGITS_MIN = 5
const PHONE_DIGITS_MAX = 16
const EXTENSION_DIGITS_MAX = 6

/** A number to call: digits in groups, a plus, parentheses, an extension. */
export function readPhone(buf: Uint8Array, start: number, end: number, at: number): number {
  let digits = 0
  let last = -1
  for (let pos = at; pos < end; ) {
    if ((CLASS[buf[pos]] & DIGIT) !== 0) {
      if (++digits > PHONE_DIGITS_MAX) return -1
      last = ++pos
      continue
    }
    const width = phoneGap(buf, pos, end)
    if (width === 0) break
    pos += width
  }
  if (digits < PHONE_DIGITS_MIN || isWordBefore(buf, start, at) || isDateFirst(buf, at, last)) return -1
  const extended = extensionEnd(buf, last, end)
  if (extended > 0) return extended
  return is(buf, start, end, last, ALNUM) || (buf[last] === 0x3a && is(buf, start, end, last + 1, DIGIT))
    ? -1
    : last
}

/** 2024.11.30, 2024-11-30: a day or a version. */
function isDateFirst(buf: Uint8Array, at: number, last: number): boolean {
  if (
    last - at < 10 ||
    (buf[at] !== 0x31 && buf[at] !== 0x32) ||
    (buf[at + 1] !== 0x39 && buf[at + 1] !== 0x30)
  )
    return false
  const separator = buf[at + 4]
  return (separator === 0x2d || separator === 0x2e || separator === 0x2f) && buf[at + 7] === separator
}

/** Up to three signs between groups of digits, with a digit after them. */
function phoneGap(buf: Uint8Array, pos: number, end: number): number {
  let at = pos
  for (let signs = 0; signs < 3 && at < end; signs++) {
    const width = phoneSignWidth(buf, at, end)
    if (width === 0) break
    at += width
  }
  return at > pos && is(buf, pos, end, at, DIGIT) ? at - pos : 0
}

function phoneSignWidth(buf: Uint8Array, pos: number, end: number): number {
  const byte = buf[pos]
  if (
    byte === 0x20 ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x2f ||
    byte === 0x28 ||
    byte === 0x29 ||
    byte === 0x2b
  )
    return 1
  if (byte === 0x25) {
    const encoded = percentByte(buf, pos, end)
    return encoded === 0x20 || encoded === 0x28 || encoded === 0x29 ? 3 : 0
  }
  return wideSeparatorWidth(buf, pos, end)
}

/** "x123", " ext. 123", ";ext=123"; -1 without. */
export function extensionEnd(buf: Uint8Array, at: number, end: number): number {
  let pos = at
  while (pos < end && (buf[pos] === 0x20 || buf[pos] === 0x3b || buf[pos] === 0x2c)) pos++
  const word = pos
  while (pos < end && pos - word < 9 && (CLASS[buf[pos]] & ALPHA) !== 0) pos++
  if (!isExtensionWord(buf, word, pos)) return -1
  while (pos < end && (buf[pos] === 0x2e || buf[pos] === 0x20 || buf[pos] === 0x3d || buf[pos] === 0x3a))
    pos++
  const first = pos
  while (pos < end && pos - first <= EXTENSION_DIGITS_MAX && (CLASS[buf[pos]] & DIGIT) !== 0) pos++
  return pos === first || is(buf, at, end, pos, ALNUM) ? -1 : pos
}

function isExtensionWord(buf: Uint8Array, start: number, end: number): boolean {
  if (end - start === 1) return (buf[start] | 0x20) === 0x78
  const word = String.fromCharCode(...buf.subarray(start, end)).toLowerCase()
  return word === 'ext' || word === 'extn' || word === 'extension'
}

/** 1990-01-31, 31.01.1990, 1/31/90, 19900131, 31 January 1990; the end, or -1. */
export function readDate(buf: Uint8Array, start: number, end: number, at: number): number {
  const first = digitsEnd(buf, at, end)
  const length = first - at
  if (length === 8) return isFree(buf, start, end, first) ? first : -1
  if (length !== 4 && (length > 2 || length === 0)) return -1
  const separator = first < end ? buf[first] : 0
  if (separator === 0x20) return monthNameEnd(buf, first + 1, end)
  if (separator !== 0x2d && separator !== 0x2e && separator !== 0x2f) return -1
  const second = digitsEnd(buf, first + 1, end)
  if (second === first + 1 || second - first > 3 || second >= end || buf[second] !== separator) return -1
  const third = digitsEnd(buf, second + 1, end)
  const tail = third - second - 1
  return (length === 4 ? tail === 1 || tail === 2 : tail === 2 || tail === 4) &&
    isFree(buf, start, end, third)
    ? third
    : -1
}

function monthNameEnd(buf: Uint8Array, from: number, end: number): number {
  let pos = from
  while (pos < end && pos - from < 12 && (CLASS[buf[pos]] & ALPHA || buf[pos] >= 0x80)) pos++
  if (pos - from < 3) return -1
  while (pos < end && (buf[pos] === 0x20 || buf[pos] === 0x2c || buf[pos] === 0x2e)) pos++
  const year = digitsEnd(buf, pos, end)
  return year - pos === 4 ? year : -1
}

function digitsEnd(buf: Uint8Array, at: number, end: number): number {
  let pos = at
  while (pos < end && pos - at < 9 && (CLASS[buf[pos]] & DIGIT) !== 0) pos++
  return pos
}

/** A time after a date may stay; more digits or letters make it something else. */
function isFree(buf: Uint8Array, start: number, end: number, pos: number): boolean {
  return !is(buf, start, end, pos, ALNUM) || (buf[pos] | 0x20) === 0x74
}

const card = new Uint8Array(19)

/** 12 to 19 digits with Luhn's check digit, of whatever issuer. */
export function readCard(buf: Uint8Array, start: number, end: number, at: number): number {
  let count = 0
  let pos = at
  for (; pos < end; ) {
    if ((CLASS[buf[pos]] & DIGIT) !== 0) {
      if (count === card.length) return -1
      card[count++] = buf[pos++]
      continue
    }
    const width = phoneSignWidth(buf, pos, end)
    if (width === 0 || !is(buf, start, end, pos + width, DIGIT)) break
    pos += width
  }
  if (count < 12 || is(buf, start, end, pos, ALNUM)) return -1
  return hasLuhnDigit(String.fromCharCode(...card.subarray(0, count))) ? pos : -1
}

const PLATE_CHARACTERS_MAX = 10

/** Letters and digits in one to three groups, at least one of them a digit. */
export function readPlate(buf: Uint8Array, start: number, end: number, at: number): number {
  let count = 0
  let pos = at
  for (let group = 0; group < 3; group++) {
    const first = pos
    while (pos < end && pos - first <= PLATE_CHARACTERS_MAX && isPlateByte(buf[pos])) pos++
    if (pos === first || is(buf, start, end, pos, ALNUM)) return count >= 4 ? first - 1 : -1
    count += pos - first
    if (pos >= end || (buf[pos] !== 0x20 && buf[pos] !== 0x2d) || !isPlateByte(buf[pos + 1])) break
    pos++
  }
  return count >= 4 && count <= PLATE_CHARACTERS_MAX ? pos : -1
}

function isPlateByte(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (CLASS[byte] & DIGIT) !== 0
}
