// `user:password@` in URLs and connection strings (RFC 3986 §3.2.1). Real passwords hold raw `@` and `/`, which the
// grammar forbids and drivers accept, so the last `@` of the authority decides.

import { Detector } from '../detectors.ts'
import { byteAt, CLASS, DIGIT, URL_END } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const AUTHORITY_BYTES_MAX = 512

/** `at` is the colon of `://`. */
export function detectUrlCredentials(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (byteAt(buf, start, end, at + 1) !== 0x2f || byteAt(buf, start, end, at + 2) !== 0x2f) return
  const first = at + 3
  const limit = Math.min(end, first + AUTHORITY_BYTES_MAX)
  let colonAt = -1
  let atSign = -1
  let hasSlash = false
  for (let i = first; i < limit && (CLASS[buf[i]] & URL_END) === 0; i++) {
    const byte = buf[i]
    if (byte === 0x40) {
      atSign = i
      if (hasSlash) break
    } else if (byte === 0x3a) {
      if (byteAt(buf, start, end, i + 1) === 0x2f && byteAt(buf, start, end, i + 2) === 0x2f) break // the next URL
      if (colonAt < 0) colonAt = i
    } else if (!hasSlash && (byte === 0x2f || byte === 0x3f || byte === 0x23)) {
      // `host:8080/…` is a port, and no `@` behind it ends a password.
      if (atSign >= 0 || colonAt < 0 || isPort(buf, colonAt + 1, i)) break
      hasSlash = true
    }
  }
  if (colonAt < 0 || atSign <= colonAt + 1) return
  if (isMask(buf, first, atSign)) return
  matches.add(first, atSign, Detector.URL_CREDENTIALS)
}

function isPort(buf: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((CLASS[buf[i]] & DIGIT) === 0) return false
  return true
}

/** `[REDACTED:…]` and `***:***` are what is left of credentials. */
function isMask(buf: Uint8Array, first: number, last: number): boolean {
  if (isRedacted(buf, first, last)) return true
  for (let i = first; i < last; i++) if (buf[i] !== 0x2a && buf[i] !== 0x3a) return false
  return true
}

const REDACTED = '[REDACTED'

/** Whether [first, last) is exactly one default mask: `[REDACTED]` or `[REDACTED:<class>]`. */
export function isRedacted(buf: Uint8Array, first: number, last: number): boolean {
  if (last - first < REDACTED.length + 1 || buf[last - 1] !== 0x5d) return false
  for (let i = 0; i < REDACTED.length; i++) if (buf[first + i] !== REDACTED.charCodeAt(i)) return false
  if (last - first === REDACTED.length + 1) return true
  if (buf[first + REDACTED.length] !== 0x3a || last - first > REDACTED.length + 2 + 64) return false
  for (let i = first + REDACTED.length + 1; i < last - 1; i++) {
    const lower = buf[i] | 0x20
    const isName =
      (lower >= 0x61 && lower <= 0x7a) || (CLASS[buf[i]] & DIGIT) !== 0 || buf[i] === 0x5f || buf[i] === 0x2d
    if (!isName) return false
  }
  return true
}
