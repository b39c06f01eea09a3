// US social security numbers as people write them: 3-2-4 digits with dashes or spaces. Nine digits without separators
// are not one: most nine-digit numbers would pass. Ranges: 20 CFR 422.110 as the SSA explains it, never assigned are
// area 000, 666 and 900-999, group 00 and serial 0000.

import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, CLASS, DIGIT, is, isWordBefore } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const SSN_BYTES = 11

/** `at` begins a run of exactly three digits. */
export function detectUsSsn(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const ssnEnd = at + SSN_BYTES
  if (ssnEnd > end) return
  const separator = buf[at + 3]
  if ((separator !== 0x2d && separator !== 0x20) || buf[at + 6] !== separator) return
  const area = number(buf, at, 3)
  const group = number(buf, at + 4, 2)
  const serial = number(buf, at + 7, 4)
  if (area <= 0 || area === 666 || area >= 900 || group <= 0 || serial <= 0) return
  if (is(buf, start, end, ssnEnd, ALNUM) || isWordBefore(buf, start, at)) return
  if (isNumberBefore(buf, start, end, at) || isNumberAfter(buf, start, end, ssnEnd)) return
  matches.add(at, ssnEnd, Detector.US_SSN)
}

/** The value of `count` digits, or -1 when one of them is none. */
function number(buf: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    if ((CLASS[buf[i]] & DIGIT) === 0) return -1
    value = value * 10 + buf[i] - 0x30
  }
  return value
}

function isNumberBefore(buf: Uint8Array, start: number, end: number, at: number): boolean {
  const before = byteAt(buf, start, end, at - 1)
  return (before === 0x2d || before === 0x2e) && is(buf, start, end, at - 2, ALNUM)
}

function isNumberAfter(buf: Uint8Array, start: number, end: number, ssnEnd: number): boolean {
  const after = byteAt(buf, start, end, ssnEnd)
  return (after === 0x2d || after === 0x2e) && is(buf, start, end, ssnEnd + 1, ALNUM)
}
