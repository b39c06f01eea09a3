// MAC addresses (IEEE 802 EUI-48): six pairs of hexadecimal digits with colons, or with dashes behind a word for one.
// They name a device for as long as it lives. Group addresses and those of nobody stay.

import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, HEX, hexDigit, is } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const PAIRS = 6
const COLON = 0x3a

/** `at` is a colon. Only the first colon of an address begins the search. */
export function detectMac(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const first = at - 2
  const macEnd = first + PAIRS * 3 - 1
  if (first < start || macEnd > end) return
  const before = byteAt(buf, start, end, first - 1)
  if (before === COLON || is(buf, start, end, first - 1, ALNUM)) return
  let sum = 0
  let hasLetter = false
  for (let pair = 0; pair < PAIRS; pair++) {
    const pos = first + pair * 3
    if (!is(buf, start, end, pos, HEX) || !is(buf, start, end, pos + 1, HEX)) return
    if (pair < PAIRS - 1 && buf[pos + 2] !== COLON) return
    if (buf[pos] > 0x39 || buf[pos + 1] > 0x39) hasLetter = true
    sum += hexDigit(buf[pos]) + hexDigit(buf[pos + 1])
  }
  if (byteAt(buf, start, end, macEnd) === COLON || is(buf, start, end, macEnd, ALNUM)) return
  const isGroup = (hexDigit(buf[first + 1]) & 1) === 1
  if (isGroup || sum === 0 || (!hasLetter && isTimes(buf, first))) return
  matches.add(first, macEnd, Detector.MAC)
}

/** Six pairs below 60 could be two times of day. */
function isTimes(buf: Uint8Array, first: number): boolean {
  for (let pair = 0; pair < PAIRS; pair++) if (buf[first + pair * 3] > 0x35) return false
  return true
}
