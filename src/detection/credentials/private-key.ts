// Private keys as PEM writes them (RFC 7468), also cut short, and with line ends that were escaped on the way.
import { Detector } from '../detectors.ts'
import { hasWord } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

const BEGIN = '-----begin '
const END = '-----end '
const KEY = 'private key'
const LABEL_BYTES_MAX = 64
const KEY_BYTES_MAX = 65_536

/** `at` is a dash. The match goes from the first dash of BEGIN to the last of END, or to where the key is cut. */
export function detectPrivateKey(buf: Uint8Array, end: number, at: number, matches: Matches): void {
  if (at < matches.privateKeyEnd || buf[at + 5] === 0x2d || !hasWord(buf, at, end, BEGIN)) return
  if (!isLabel(buf, at + BEGIN.length, end)) return
  const limit = Math.min(end, at + KEY_BYTES_MAX)
  let last = limit
  for (let pos = at + BEGIN.length; pos < limit; pos++) {
    if (buf[pos] !== 0x2d || !hasWord(buf, pos, limit, END)) continue
    last = dashesEnd(buf, pos + END.length, limit)
    break
  }
  matches.privateKeyEnd = last
  matches.add(at, last, Detector.PRIVATE_KEY)
}

/** `RSA PRIVATE KEY`, `PGP PRIVATE KEY BLOCK` and the like. */
function isLabel(buf: Uint8Array, from: number, end: number): boolean {
  const limit = Math.min(end, from + LABEL_BYTES_MAX)
  for (let pos = from; pos < limit && buf[pos] !== 0x2d; pos++) if (hasWord(buf, pos, limit, KEY)) return true
  return false
}

/** Behind the dashes that end the label of END. */
function dashesEnd(buf: Uint8Array, from: number, limit: number): number {
  let pos = from
  while (pos < limit && pos - from < LABEL_BYTES_MAX && buf[pos] !== 0x2d) pos++
  while (pos < limit && buf[pos] === 0x2d) pos++
  return pos
}
