// IPv4 addresses in dotted decimal. Versions look the same: what tells them apart is what stands around them, so a
// quad after a product (`Chrome/130.0.0.0`), after the word "version", or with a fifth part is none. Loopback,
// unspecified and broadcast addresses name nobody and stay.

import { Detector } from '../detectors.ts'
import { ALNUM, ALPHA, byteAt, CLASS, DIGIT, hasWord, is, isWordBefore } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const VERSION_WORDS =
  'version ver release build revision rev rv firmware plugin upgrade upgraded downgrade patch sdk chrome chromium bios'.split(
    ' ',
  )

/** How long the name of a product before its version may be. */
const PRODUCT_BYTES_MAX = 24

const octets = new Uint8Array(4)

/** `at` begins a run of one to three digits with a dot after it. */
export function detectIpv4(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const quadEnd = ipv4End(buf, at, end)
  if (quadEnd < 0 || isUnspecific()) return
  if (!isFree(buf, start, end, at, quadEnd) || isVersion(buf, start, end, at, quadEnd)) return
  matches.add(at, quadEnd, Detector.IPV4)
}

/** Where the dotted quad at `at` ends, or -1; `octets` holds it then. */
export function ipv4End(buf: Uint8Array, at: number, end: number): number {
  let pos = at
  for (let part = 0; part < 4; part++) {
    if (part > 0 && (pos >= end || buf[pos++] !== 0x2e)) return -1
    const first = pos
    let value = 0
    while (pos < end && pos - first < 4 && (CLASS[buf[pos]] & DIGIT) !== 0)
      value = value * 10 + buf[pos++] - 0x30
    if (pos === first || value > 255 || (pos - first > 1 && buf[first] === 0x30)) return -1
    octets[part] = value
  }
  return pos
}

function isUnspecific(): boolean {
  if (octets[2] === 0 && octets[3] === 0) return true // a network, or a version
  return octets[0] === 0 || octets[0] === 127 || (octets[0] === 255 && octets[3] === 255)
}

/** Nothing that would make it part of a word, a longer dotted number or a version with a suffix. */
function isFree(buf: Uint8Array, start: number, end: number, at: number, quadEnd: number): boolean {
  const before = byteAt(buf, start, end, at - 1)
  if (isWordBefore(buf, start, at) || before === 0x2e || before === 0x5f) return false
  if (is(buf, start, end, quadEnd, ALNUM)) return false
  const after = byteAt(buf, start, end, quadEnd)
  if (after === 0x2e) return !is(buf, start, end, quadEnd + 1, ALNUM)
  return !((after === 0x2d || after === 0x2b) && is(buf, start, end, quadEnd + 1, ALPHA))
}

function isVersion(buf: Uint8Array, start: number, end: number, at: number, quadEnd: number): boolean {
  if (byteAt(buf, start, end, at - 1) === 0x2f && is(buf, start, end, at - 2, ALNUM)) {
    // `host/10.1.2.3` is how Java prints an address; `product/130.0.0.0` is how everybody prints a version.
    const hasPort = byteAt(buf, start, end, quadEnd) === 0x3a && is(buf, start, end, quadEnd + 1, DIGIT)
    return !hasPort && !isPrivate()
  }
  let wordEnd = at
  while (wordEnd > start && at - wordEnd < 4 && isVersionGap(buf[wordEnd - 1])) wordEnd--
  if (wordEnd === at) return false
  let wordStart = wordEnd
  let hasDigit = false
  while (
    wordStart > start &&
    wordEnd - wordStart < PRODUCT_BYTES_MAX &&
    (CLASS[buf[wordStart - 1]] & ALNUM) !== 0
  ) {
    wordStart--
    if ((CLASS[buf[wordStart]] & DIGIT) !== 0) hasDigit = true
  }
  if (wordEnd - wordStart < 2) return false
  // `log4j 1.2.17.1`, `libssl 1.1.1.1`
  if (buf[wordEnd] === 0x20 && at - wordEnd === 1 && isProduct(buf, wordStart, wordEnd, hasDigit)) return true
  for (const word of VERSION_WORDS)
    if (word.length === wordEnd - wordStart && hasWord(buf, wordStart, wordEnd, word)) return true
  return false
}

/** A word of letters around a digit (`log4j`), or a library's. */
function isProduct(buf: Uint8Array, start: number, end: number, hasDigit: boolean): boolean {
  if (hasDigit)
    return end - start > 3 && is(buf, start, end, start, ALPHA) && is(buf, start, end, end - 1, ALPHA)
  return end - start > 3 && hasWord(buf, start, end, 'lib')
}

/** Between "version" and its number: space, colon, equals, quotes, and what puts a name and a version together. */
function isVersionGap(byte: number): boolean {
  if (byte === 0x2d || byte === 0x5f || byte === 0x2e || byte === 0x40) return true
  return byte === 0x20 || byte === 0x3a || byte === 0x3d || byte === 0x22 || byte === 0x27
}

/** RFC 1918, and not of the form x.0.0.0. */
function isPrivate(): boolean {
  if (octets[1] === 0 && octets[2] === 0 && octets[3] === 0) return false
  if (octets[0] === 10) return true
  return (octets[0] === 172 && (octets[1] & 0xf0) === 16) || (octets[0] === 192 && octets[1] === 168)
}
