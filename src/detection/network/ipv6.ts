// IPv6 addresses (RFC 4291 §2.2), with `::` and an embedded IPv4 tail. Times, MAC addresses, fingerprints and C++ names
// have colons too, so the first group must be from the space that is in use: 2000::/3, fc00::/7, fe80::/10, ff00::/8,
// 64:ff9b::/96 and mapped IPv4. Loopback and unspecified addresses stay.

import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, CLASS, HEX, hexDigit, is, isWordBefore } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { ipv4End } from './ipv4.ts'

const GROUPS = 8
const GROUP_DIGITS_MAX = 4
const COLON = 0x3a

/** `at` is a colon. Only the first colon of an address begins the search. */
export function detectIpv6(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  let first = at
  while (first > start && at - first <= GROUP_DIGITS_MAX && (CLASS[buf[first - 1]] & HEX) !== 0) first--
  if (at - first > GROUP_DIGITS_MAX) return
  const before = byteAt(buf, start, end, first - 1)
  if (before === COLON || before === 0x2e || before === 0x5f || isWordBefore(buf, start, first)) return
  if (first === at && byteAt(buf, start, end, at + 1) !== COLON) return
  const addressEnd = ipv6End(buf, first, end)
  if (addressEnd < 0) return
  const after = byteAt(buf, start, end, addressEnd)
  if (is(buf, start, end, addressEnd, ALNUM) || after === COLON || after === 0x5f) return
  matches.add(first, addressEnd, Detector.IPV6)
}

/** Where the address that begins at `pos` ends, or -1. */
function ipv6End(buf: Uint8Array, pos: number, end: number): number {
  const head = firstGroup(buf, pos, end)
  let groups = 0
  let isCompressed = false
  let hasQuad = false
  let isWide = false
  if (buf[pos] === COLON) {
    isCompressed = true
    pos += 2
  }
  let last = pos
  while (groups < GROUPS) {
    const groupEnd = hexGroupEnd(buf, pos, end)
    if (groupEnd === pos) break
    if (groupEnd < end && buf[groupEnd] === 0x2e) {
      const quadEnd = ipv4End(buf, pos, end)
      if (quadEnd < 0 || groups > GROUPS - 2) break
      groups += 2
      last = quadEnd
      hasQuad = true
      break
    }
    groups++
    if (groupEnd - pos > 2) isWide = true
    last = groupEnd
    if (groupEnd >= end || buf[groupEnd] !== COLON) break
    pos = groupEnd + 1
    if (pos < end && buf[pos] === COLON) {
      if (isCompressed) return -1
      isCompressed = true
      last = ++pos
    }
  }
  // Eight pairs are the EUI-64 of a network card.
  const isComplete = isCompressed ? groups < GROUPS : groups === GROUPS && isWide
  return isComplete && (isInUse(head) || (hasQuad && head < 0)) ? last : -1
}

function hexGroupEnd(buf: Uint8Array, pos: number, end: number): number {
  const limit = Math.min(end, pos + GROUP_DIGITS_MAX)
  while (pos < limit && (CLASS[buf[pos]] & HEX) !== 0) pos++
  return pos
}

/** The value of the first group with its number of digits above bit 16, or -1 when the address begins with `::`. */
function firstGroup(buf: Uint8Array, pos: number, end: number): number {
  if (buf[pos] === COLON) return -1
  const groupEnd = hexGroupEnd(buf, pos, end)
  let value = 0
  for (let i = pos; i < groupEnd; i++) value = value * 16 + hexDigit(buf[i])
  return ((groupEnd - pos) << 16) | value
}

function isInUse(head: number): boolean {
  if (head < 0) return false
  const digits = head >> 16
  const value = head & 0xffff
  if (digits === 2) return value === 0x64
  if (digits !== GROUP_DIGITS_MAX) return false
  return value >> 13 === 1 || value >> 9 === 0x7e || value >> 6 === 0x3fa || value >> 8 === 0xff
}
