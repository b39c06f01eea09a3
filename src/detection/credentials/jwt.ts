// JSON Web Tokens in compact form: a header that decodes to JSON with an "alg", then two more parts (JWS) or four (JWE).

import { Detector } from '../detectors.ts'
import { isJoseHeader } from '../engine/base64.ts'
import { BASE64URL, byteAt, is, isAfterPercentByte, skip } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const DOT = 0x2e
const HEADER_BYTES_MIN = 10
const PARTS_MAX = 5

/** `at` is the `J` of `eyJ`, which is how `{"` begins in base64. */
export function detectJwt(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const first = at - 2
  if (byteAt(buf, start, end, first) !== 0x65 || byteAt(buf, start, end, first + 1) !== 0x79) return
  if (is(buf, start, end, first - 1, BASE64URL) && !isAfterPercentByte(buf, start, first)) return
  const headerEnd = skip(buf, first, end, BASE64URL)
  if (headerEnd - first < HEADER_BYTES_MIN || byteAt(buf, start, end, headerEnd) !== DOT) return
  let last = skip(buf, headerEnd + 1, end, BASE64URL)
  if (byteAt(buf, start, end, last) !== DOT || !isJoseHeader(buf, first, headerEnd)) return
  for (let parts = 3; parts <= PARTS_MAX && byteAt(buf, start, end, last) === DOT; parts++) {
    const next = skip(buf, last + 1, end, BASE64URL)
    if (next === last + 1 && parts > 3) break
    last = next
  }
  matches.add(first, last, Detector.JWT)
}
