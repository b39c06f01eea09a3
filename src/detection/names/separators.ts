// What people put between the groups of a number, and what stands behind one that counts or measures.

import { ALPHA, CLASS, percentByte } from '../engine/bytes.ts'

/** Length of a space, dash, dot, slash, underscore or plus at `pos`, also percent-encoded and typographic. */
export function separatorWidth(buf: Uint8Array, pos: number, end: number): number {
  if (pos >= end) return 0
  const byte = buf[pos]
  if (byte === 0x20 || byte === 0x2d || byte === 0x2e || byte === 0x2f || byte === 0x5f || byte === 0x2b)
    return 1
  if (byte === 0x25) {
    const encoded = percentByte(buf, pos, end)
    return encoded === 0x20 || encoded === 0x2f ? 3 : 0
  }
  return wideSeparatorWidth(buf, pos, end)
}

/** U+00A0, U+2000 to U+2015 (spaces and dashes) and U+202F. */
export function wideSeparatorWidth(buf: Uint8Array, pos: number, end: number): number {
  if (buf[pos] === 0xc2) return pos + 1 < end && buf[pos + 1] === 0xa0 ? 2 : 0
  if (buf[pos] !== 0xe2 || pos + 2 >= end || buf[pos + 1] !== 0x80) return 0
  return (buf[pos + 2] >= 0x80 && buf[pos + 2] <= 0x95) || buf[pos + 2] === 0xaf ? 3 : 0
}

const UNITS = [
  'ms',
  'us',
  'ns',
  'µs',
  's',
  'sec',
  'secs',
  'seconds',
  'minutes',
  'hours',
  'days',
  'b',
  'bytes',
  'kb',
  'mb',
  'gb',
  'kib',
  'mib',
  'gib',
  'times',
  'items',
  'rows',
  'requests',
  'records',
  'messages',
  'lines',
  'points',
  'credits',
  'users',
  'recipients',
  'calls',
  'attempts',
  'events',
  'tokens',
  'characters',
  'chars',
  'digits',
  'entries',
  'retries',
]

/** A percent sign, or a word for a measure behind the number: it counts something. */
export function isMeasure(buf: Uint8Array, pos: number, end: number): boolean {
  let first = pos
  while (first < end && first - pos < 2 && buf[first] === 0x20) first++
  if (first < end && buf[first] === 0x25) return percentByte(buf, first, end) < 0
  let last = first
  while (last < end && last - first < 12 && (CLASS[buf[last]] & ALPHA || buf[last] >= 0x80)) last++
  if (last === first) return false
  const word = String.fromCharCode(...buf.subarray(first, last)).toLowerCase()
  return UNITS.includes(word)
}
