// Bearer and basic credentials (RFC 6750, RFC 7617) wherever an Authorization header ends up: in a header attribute, a
// logged request, a curl command. The match is the credential, not the scheme's name.

import { Detector } from '../detectors.ts'
import { isUserPass } from '../engine/base64.ts'
import { ALPHA, CLASS, DIGIT, hasWord, is, isWordBefore, skip, TOKEN68 } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const BEARER_BYTES_MIN = 8
/** A word of so many letters is not one that stands after "bearer" in a sentence. */
const BEARER_WORD_BYTES_MIN = 24
const BASIC_BYTES_MIN = 6
const SPACES_MAX = 8

/** `at` is a `b`, which may begin the name of a scheme. */
export function detectAuthorization(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): void {
  const isBearer = hasWord(buf, at, end, 'bearer')
  const isBasic = !isBearer && hasWord(buf, at, end, 'basic')
  if ((!isBearer && !isBasic) || at < matches.authorizationEnd) return
  const wordEnd = at + (isBearer ? 6 : 5)
  const first = afterSpaces(buf, wordEnd, end)
  if (first === wordEnd || isWordBefore(buf, start, at)) return
  const last68 = skip(buf, first, end, TOKEN68)
  matches.authorizationEnd = last68
  if (isBearer && (mask & (1 << Detector.BEARER)) !== 0 && isToken(buf, first, last68)) {
    matches.add(first, last68, Detector.BEARER)
  }
  if (
    isBasic &&
    (mask & (1 << Detector.BASIC)) !== 0 &&
    last68 - first >= BASIC_BYTES_MIN &&
    isUserPass(buf, first, last68)
  ) {
    matches.add(first, last68, Detector.BASIC)
  }
}

function afterSpaces(buf: Uint8Array, at: number, end: number): number {
  let pos = at
  for (let i = 0; i < SPACES_MAX && pos < end; i++) {
    if (buf[pos] === 0x20 || buf[pos] === 0x2b) pos++
    else if (buf[pos] === 0x25 && pos + 2 < end && buf[pos + 1] === 0x32 && buf[pos + 2] === 0x30) pos += 3
    else break
  }
  return pos
}

/** "Bearer authentication failed" is a sentence: a token has a digit or mixes cases, or is longer than words are. */
function isToken(buf: Uint8Array, first: number, last: number): boolean {
  if (last - first < BEARER_BYTES_MIN) return false
  if (last - first >= BEARER_WORD_BYTES_MIN) return true
  let hasLower = false
  for (let i = first; i < last; i++) {
    if ((CLASS[buf[i]] & DIGIT) !== 0) return true
    if ((CLASS[buf[i]] & ALPHA) === 0) continue
    if (buf[i] >= 0x61) hasLower = true
    else if (hasLower && is(buf, first, last, i, ALPHA)) return true
  }
  return false
}
