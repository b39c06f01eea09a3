// Payment card numbers (ISO/IEC 7812): 12 to 19 digits, in one run or in groups with one kind of separator, from an
// issuer range that exists, with a valid Luhn digit. Digits inside a longer run, a hexadecimal id or a fraction are none.

import { isAfterPlus } from '../contact/phone.ts'
import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, CLASS, DIGIT, HEX, is, isAfterPercentByte } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { separatorWidth } from '../names/separators.ts'
import { isIssued } from './issuers.ts'

const DIGITS_MIN = 12
const DIGITS_MAX = 19
/** How far a token around the number is read to tell a hexadecimal id from a word. */
const TOKEN_BYTES_MAX = 40

const digits = new Uint8Array(DIGITS_MAX)

/** [`at`, `runEnd`) is a whole run of digits. Returns the end of the card that begins there, or -1. */
export function detectPaymentCard(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  runEnd: number,
  matches: Matches,
): number {
  if (runEnd - at > DIGITS_MAX) return -1
  if (runEnd - at < DIGITS_MIN && !hasSeparator(buf, runEnd, end)) return -1
  const cardEnd = collect(buf, at, runEnd, end)
  // With a plus in front, up to 15 digits are a telephone number.
  if (cardEnd >= 0 && count <= 15 && isAfterPlus(buf, start, at)) return -1
  if (cardEnd < 0 || !isIssued(firstFour(), count) || !hasLuhnDigit(count)) return -1
  if (isArticle(at, cardEnd)) return -1
  if (isInsideFraction(buf, start, end, at, cardEnd) || isInsideWord(buf, start, end, at, cardEnd)) return -1
  matches.add(at, cardEnd, Detector.PAYMENT_CARD)
  return cardEnd
}

/** Digits that `collect` found. */
let count = 0

function hasSeparator(buf: Uint8Array, pos: number, end: number): boolean {
  return separatorLength(buf, pos, end) > 0
}

/** Length of what stands between groups at `pos`: one sign, two spaces, or a line break; 0 when there is none. */
function separatorLength(buf: Uint8Array, pos: number, end: number): number {
  if (pos >= end) return 0
  const byte = buf[pos]
  if (byte === 0x20) return pos + 1 < end && buf[pos + 1] === 0x20 ? 2 : 1
  if (byte === 0x0d) return pos + 1 < end && buf[pos + 1] === 0x0a ? 2 : 0
  return byte === 0x0a ? 1 : separatorWidth(buf, pos, end)
}

/** Reads groups of digits with the same separator into `digits`; the end, or -1 when the grouping is none of a card. */
function collect(buf: Uint8Array, at: number, runEnd: number, end: number): number {
  count = 0
  let pos = at
  let groupEnd = runEnd
  let separator = -1
  for (;;) {
    const isPlain = separator < 0 && groupEnd - pos >= DIGITS_MIN
    if (!isPlain && (groupEnd - pos > (separator === 0x0a ? 11 : 8) || (separator < 0 && groupEnd - pos < 4)))
      return -1
    if (count + groupEnd - pos > DIGITS_MAX) return -1
    while (pos < groupEnd) digits[count++] = buf[pos++] - 0x30
    const length = isPlain ? 0 : separatorLength(buf, pos, end)
    if (length === 0 || (separator >= 0 && buf[pos] !== separator)) break
    const next = pos + length
    if (!is(buf, next, end, next, DIGIT)) break
    groupEnd = next
    while (groupEnd < end && groupEnd - next <= 11 && (CLASS[buf[groupEnd]] & DIGIT) !== 0) groupEnd++
    // A card that is complete is not continued by a number of another length ("4111 1111 1111 1111 12/27").
    if (isComplete(count) && (groupEnd - next > 3 || count !== 16 || groupEnd - next < 3))
      return isTight(separator) ? -1 : pos
    if (groupEnd - next < 3 && !(count === 12 && groupEnd - next === 1)) return -1
    separator = buf[pos]
    pos = next
  }
  if (count < DIGITS_MIN || (separator >= 0 && count < 13)) return count === 12 ? pos : -1
  return pos
}

/** Digits with which groups may end: not at twelve while more of the same kind follow. */
function isComplete(count: number): boolean {
  return count >= 13
}

/** Signs that keep what they stand between together: with more digits behind one, the number is something else. */
function isTight(separator: number): boolean {
  return separator === 0x2d || separator === 0x2e || separator === 0x2f || separator === 0x5f
}

function firstFour(): number {
  return digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
}

function hasLuhnDigit(length: number): boolean {
  let sum = 0
  let first = digits[0]
  let isSame = true
  for (let i = 0; i < length; i++) {
    const digit = digits[length - 1 - i]
    if (digit !== first) isSame = false
    first = digit
    if ((i & 1) === 0) sum += digit
    else sum += digit > 4 ? digit * 2 - 9 : digit * 2
  }
  return !isSame && sum % 10 === 0
}

/** 0.4111111111111111 */
function isInsideFraction(buf: Uint8Array, start: number, end: number, at: number, cardEnd: number): boolean {
  if (byteAt(buf, start, end, at - 1) === 0x2e && is(buf, start, end, at - 2, DIGIT)) return true
  return byteAt(buf, start, end, cardEnd) === 0x2e && is(buf, start, end, cardEnd + 1, DIGIT)
}

/**
 * Letters may touch a card ("PAN4111…"), but a run of nothing but hexadecimal digits is an id; and a group of digits
 * with a dash and more digits before it is the rest of something longer.
 */
function isInsideWord(buf: Uint8Array, start: number, end: number, at: number, cardEnd: number): boolean {
  if (isTrackOne(buf, start, end, at, cardEnd)) return false
  const before = isAfterPercentByte(buf, start, at) ? at : wordStart(buf, start, at)
  const after = wordEnd(buf, end, cardEnd)
  if (before < at || after > cardEnd) {
    for (let i = before; i < after; i++) {
      if (i === at) i = cardEnd
      if (i < after && (CLASS[buf[i]] & HEX) === 0) return false
    }
    return true
  }
  return byteAt(buf, start, end, at - 1) === 0x2d && is(buf, start, end, at - 2, DIGIT)
}

/** ISO/IEC 7813: `%B`, the number, `^`. */
function isTrackOne(buf: Uint8Array, start: number, end: number, at: number, cardEnd: number): boolean {
  return (
    (byteAt(buf, start, end, at - 1) | 0x20) === 0x62 &&
    byteAt(buf, start, end, at - 2) === 0x25 &&
    byteAt(buf, start, end, cardEnd) === 0x5e
  )
}

/** A number of thirteen digits in one run that is an article's (GTIN) is taken for one. */
function isArticle(at: number, cardEnd: number): boolean {
  if (count !== 13 || cardEnd - at !== 13) return false
  let sum = 0
  for (let i = 0; i < 13; i++) sum += digits[i] * (i % 2 === 0 ? 1 : 3)
  return sum % 10 === 0
}

function wordStart(buf: Uint8Array, start: number, at: number): number {
  let pos = at
  while (pos > start && at - pos < TOKEN_BYTES_MAX && (CLASS[buf[pos - 1]] & ALNUM) !== 0) pos--
  return pos
}

function wordEnd(buf: Uint8Array, end: number, at: number): number {
  let pos = at
  while (pos < end && pos - at < TOKEN_BYTES_MAX && (CLASS[buf[pos]] & ALNUM) !== 0) pos++
  return pos
}
