// International bank account numbers (ISO 13616): a country that issues them, its length, and mod-97 equal to 1. With
// spaces or dashes between groups, in either case; a lower-case one that could be a hexadecimal id is none.

import { Detector } from '../detectors.ts'
import { ALNUM, CLASS, DIGIT, HEX, is, isWordBefore, lowerCase, percentByte } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

/** IBAN registry: lengths by country. */
const LENGTHS =
  'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 ' +
  'FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 ' +
  'LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
  'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'

const lengthOf = lengthTable()

function lengthTable(): Uint8Array {
  const table = new Uint8Array(26 * 26)
  for (const row of LENGTHS.split(' '))
    table[countryIndex(row.charCodeAt(0), row.charCodeAt(1))] = Number(row.slice(2))
  return table
}

function countryIndex(first: number, second: number): number {
  return ((first | 0x20) - 0x61) * 26 + (second | 0x20) - 0x61
}

/** `at` is the first of the two check digits; two letters stand before it. */
export function detectIban(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const first = at - 2
  const length = lengthOf[countryIndex(buf[first], buf[first + 1])]
  if (length === 0 || isWordBefore(buf, start, first)) return
  const ibanEnd = read(buf, first, end, length)
  if (ibanEnd < 0 || is(buf, start, end, ibanEnd, ALNUM) || remainder !== 1) return
  if (isLikeHex && isLower && length % 8 === 0) return
  matches.add(first, ibanEnd, Detector.IBAN)
}

/** Behind the word IBAN, people also put a space after the country. The end of one that begins at `at`, or -1. */
export function ibanEnd(buf: Uint8Array, start: number, end: number, at: number): number {
  const length = at + 2 < end ? lengthOf[countryIndex(buf[at], buf[at + 1])] : 0
  if (!(length > 0) || isWordBefore(buf, start, at)) return -1
  let sum = 0
  let count = 0
  let pos = at
  for (; pos < end && count < length; ) {
    if ((CLASS[buf[pos]] & ALNUM) !== 0) {
      if (count >= 4) sum = appended(sum, buf[pos])
      else head[count] = buf[pos]
      count++
      pos++
      continue
    }
    const width = separatorLength(buf, pos, end)
    if (width === 0) return -1
    pos += width
  }
  if (count < length || is(buf, start, end, pos, ALNUM)) return -1
  for (const byte of head) sum = appended(sum, byte)
  return sum === 1 ? pos : -1
}

const head = new Uint8Array(4)

function appended(sum: number, byte: number): number {
  if ((CLASS[byte] & DIGIT) !== 0) return (sum * 10 + byte - 0x30) % 97
  return (sum * 100 + lowerCase(byte) - 0x61 + 10) % 97
}

let remainder = 0
let isLikeHex = false
let isLower = false

/** Reads `length` letters and digits; the country and check digits count last (ISO 7064). */
function read(buf: Uint8Array, first: number, end: number, length: number): number {
  remainder = 0
  isLikeHex = true
  isLower = true
  let pos = first + 4
  for (let i = 4; i < length; i++) {
    const separator = separatorLength(buf, pos, end)
    if (separator > 0 && !is(buf, first, end, pos + separator, ALNUM)) return -1
    pos += separator
    if (pos >= end || (CLASS[buf[pos]] & ALNUM) === 0) return -1
    add(buf[pos++])
  }
  for (let i = first; i < first + 4; i++) add(buf[i])
  return pos
}

function add(byte: number): void {
  if ((CLASS[byte] & HEX) === 0) isLikeHex = false
  if ((CLASS[byte] & DIGIT) !== 0) {
    remainder = (remainder * 10 + byte - 0x30) % 97
    return
  }
  if (byte < 0x61) isLower = false
  remainder = (remainder * 100 + lowerCase(byte) - 0x61 + 10) % 97
}

function separatorLength(buf: Uint8Array, pos: number, end: number): number {
  if (pos >= end) return 0
  if (buf[pos] === 0x20 || buf[pos] === 0x2d || buf[pos] === 0x2b) return 1
  return percentByte(buf, pos, end) === 0x20 ? 3 : 0
}
