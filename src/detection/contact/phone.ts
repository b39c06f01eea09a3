// Telephone numbers: international ones with their + (E.164: an assigned country code and at most 15 digits), and North
// American ones in their written forms. Bare digits are never one: ids, epochs and amounts would all pass.

import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, CLASS, DIGIT, hasWord, is, isWordBefore, percentByte } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { extensionEnd } from '../names/readers.ts'
import { isMeasure } from '../names/separators.ts'

const DIGITS_MIN = 8
const DIGITS_MAX = 15
const BYTES_MAX = 32
const COMPLETE_DIGITS_MIN = 11
const NANP_DIGITS = 10

const digits = new Uint8Array(DIGITS_MAX + 1)

/** Country codes (ITU-T E.164.D): one bit per number of three digits; shorter codes cover their range. */
const ASSIGNED = assignedCodes()

function assignedCodes(): Uint8Array {
  const table = new Uint8Array(1000)
  const codes =
    '1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 ' +
    '90 91 92 93 94 95 98 211 212 213 216 218 22 23 24 25 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299 ' +
    '35 37 38 42 50 59 67 68 690 691 692 80 85 87 88 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 ' +
    '979 99'
  for (const code of codes.split(' ')) {
    const width = 10 ** (3 - code.length)
    table.fill(1, Number(code) * width, (Number(code) + 1) * width)
  }
  return table
}

/** `at` is the first digit after a `+` (or `%2B`) that stands right before it. */
export function detectInternationalPhone(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  const plusAt = buf[at - 1] === 0x2b ? at - 1 : at - 3
  if (buf[at] === 0x30 || isWordBefore(buf, start, plusAt) || byteAt(buf, start, end, plusAt - 1) === 0x2b)
    return
  const numberEnd = collect(buf, at, end)
  if (numberEnd < 0) return
  const extended = extensionEnd(buf, numberEnd, end)
  const phoneEnd = extended > 0 ? extended : numberEnd
  if (
    is(buf, start, end, phoneEnd, ALNUM) ||
    isMeasure(buf, phoneEnd, end) ||
    isDifference(buf, start, plusAt)
  )
    return
  const code = digits[0] * 100 + digits[1] * 10 + digits[2]
  if (ASSIGNED[code] === 0 || (digits[0] === 1 && (count !== 11 || !isNanp(1)))) return
  matches.add(plusAt, phoneEnd, Detector.PHONE)
}

/** Whether a plus, plain or percent-encoded, stands right before `at`. */
export function isAfterPlus(buf: Uint8Array, start: number, at: number): boolean {
  if (at > start && buf[at - 1] === 0x2b) return true
  return at - 3 >= start && percentByte(buf, at - 3, at) === 0x2b
}

let count = 0

/** Reads digits in groups into `digits`: the end, or -1 when there are too few or too many. */
function collect(buf: Uint8Array, at: number, end: number): number {
  count = 0
  let last = at
  const limit = Math.min(end, at + BYTES_MAX)
  for (let pos = at; pos < limit; ) {
    if ((CLASS[buf[pos]] & DIGIT) === 0) {
      const next = afterSeparator(buf, pos, limit)
      // Most numbers are complete by now: what comes after a gap is another number.
      if (next < 0 || count >= COMPLETE_DIGITS_MIN) break
      pos = next
      continue
    }
    if (count > DIGITS_MAX) return -1
    digits[count++] = buf[pos++] - 0x30
    last = pos
  }
  return count >= (isSmallIsland() ? DIGITS_MIN - 1 : DIGITS_MIN) && count <= DIGITS_MAX ? last : -1
}

/** Saint Helena, Niue and Tokelau have numbers of four digits. */
function isSmallIsland(): boolean {
  const code = digits[0] * 100 + digits[1] * 10 + digits[2]
  return code === 290 || code === 683 || code === 690
}

/** Words for numbers that grow and shrink: what follows with a plus is a difference. */
const DIFFERENCES =
  'offset delta drift diff difference change lag skew jitter adjust adjustment correction shift utc gmt seq pos'.split(
    ' ',
  )

function isDifference(buf: Uint8Array, start: number, plusAt: number): boolean {
  let wordEnd = plusAt
  while (
    wordEnd > start &&
    plusAt - wordEnd < 3 &&
    (buf[wordEnd - 1] === 0x20 || buf[wordEnd - 1] === 0x3d || buf[wordEnd - 1] === 0x3a)
  )
    wordEnd--
  for (const word of DIFFERENCES) {
    const first = wordEnd - word.length
    if (first >= start && hasWord(buf, first, wordEnd, word) && !is(buf, start, wordEnd, first - 1, ALNUM))
      return true
  }
  return false
}

/** Position of the digit after one separator — space, dash, dot, parenthesis, or two of them (") ") — or -1. */
function afterSeparator(buf: Uint8Array, pos: number, end: number): number {
  for (let i = pos; i < end && i < pos + 3; i++) {
    if ((CLASS[buf[i]] & DIGIT) !== 0) return i
    const byte = buf[i]
    if (byte === 0x25 && percentByte(buf, i, end) === 0x20) {
      i += 2
      continue
    }
    if (byte !== 0x20 && byte !== 0x2d && byte !== 0x2e && byte !== 0x28 && byte !== 0x29) return -1
  }
  return pos + 3 < end && (CLASS[buf[pos + 3]] & DIGIT) !== 0 ? pos + 3 : -1
}

/** Area and exchange codes begin with 2-9, and neither is a service code (N11). */
function isNanp(offset: number): boolean {
  if (digits[offset] < 2 || digits[offset + 3] < 2) return false
  return (
    !(digits[offset + 1] === 1 && digits[offset + 2] === 1) &&
    !(digits[offset + 4] === 1 && digits[offset + 5] === 1)
  )
}

/** `at` begins a run of exactly three digits: (415) 555-2671, 415-555-2671, 415.555.2671, 1-415-555-2671. */
export function detectNorthAmericanPhone(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  let first = at
  let pos = at + 3
  let separator = byteAt(buf, start, end, pos)
  if (separator === 0x29) {
    if (byteAt(buf, start, end, at - 1) !== 0x28) return
    first = at - 1
    pos += byteAt(buf, start, end, pos + 1) === 0x20 ? 2 : 1
    separator = byteAt(buf, start, end, pos + 3)
    if (separator !== 0x2d && separator !== 0x20 && separator !== 0x2e) return
  } else if (separator === 0x2d || separator === 0x2e) pos++
  else return
  const numberEnd = pos + 8
  if (numberEnd > end || buf[pos + 3] !== separator || !readNanp(buf, at, pos, first < at)) return
  const extended = extensionEnd(buf, numberEnd, end)
  const phoneEnd = extended > 0 ? extended : numberEnd
  if (
    first === at &&
    byteAt(buf, start, end, at - 1) === separator &&
    byteAt(buf, start, end, at - 2) === 0x31
  )
    first = at - 2
  if (isPartOfLonger(buf, start, end, first, phoneEnd)) return
  matches.add(first, phoneEnd, Detector.PHONE)
}

/** Nothing else is written as three digits in parentheses, three and four: whatever the area. */
function readNanp(buf: Uint8Array, areaAt: number, exchangeAt: number, isFormatted: boolean): boolean {
  for (let i = 0; i < NANP_DIGITS; i++) {
    const at = i < 3 ? areaAt + i : i < 6 ? exchangeAt + i - 3 : exchangeAt + i - 2
    if ((CLASS[buf[at]] & DIGIT) === 0) return false
    digits[i] = buf[at] - 0x30
  }
  return isFormatted || isNanp(0)
}

/** Digits, dashes or dots around it make it part of an id or a version; a plus before it, of an international number. */
function isPartOfLonger(
  buf: Uint8Array,
  start: number,
  end: number,
  first: number,
  phoneEnd: number,
): boolean {
  if (isWordBefore(buf, start, first) || is(buf, start, end, phoneEnd, ALNUM)) return true
  const before = byteAt(buf, start, end, first - 1)
  if (before === 0x2b) return true
  if ((before === 0x2d || before === 0x2e) && is(buf, start, end, first - 2, ALNUM)) return true
  const after = byteAt(buf, start, end, phoneEnd)
  return (after === 0x2d || after === 0x2e) && is(buf, start, end, phoneEnd + 1, ALNUM)
}
