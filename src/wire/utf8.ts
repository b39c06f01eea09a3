// UTF-8 as RFC 3629 has it and as strict protobuf runtimes read it: no overlong forms, no surrogates, nothing above
// U+10FFFF. Most text is short ASCII, so that is looked for first; the bet is that little else comes.
import { isUtf8 } from 'node:buffer'

const HIGH_BITS = 0x80808080 | 0
const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
/** Below this, a loop beats the view object that the runtime's own check needs. */
const LOOP_BYTES_MAX = 96
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const

/** A buffer as words of four bytes, for `isAsciiRange`. */
export interface Words {
  readonly words: Int32Array
  /** What to add to an offset into the buffer for one into the words. */
  readonly shift: number
}

/** Bytes of `buf` by fours; those of its last word are looked at one by one. */
export function wordsOf(buf: Uint8Array): Words {
  const shift = buf.byteOffset & 3
  const count = IS_LITTLE_ENDIAN ? (shift + buf.length) >>> 2 : 0
  return { words: new Int32Array(buf.buffer, buf.byteOffset - shift, count), shift }
}

/** Whether [start, end) of `buf` is ASCII. */
export function isAsciiRange(buf: Uint8Array, { words, shift }: Words, start: number, end: number): boolean {
  if (start >= end) return true
  const from = start + shift
  const last = end + shift - 1
  const lastWord = last >>> 2
  let word = from >>> 2
  if (lastWord >= words.length) return isAsciiByBytes(buf, start, end)
  let bits = words[word] & (HIGH_BITS << ((from & 3) << 3))
  if (word === lastWord) return (bits & (HIGH_BITS >>> ((3 - (last & 3)) << 3))) === 0
  for (word++; word < lastWord; word++) bits |= words[word] & HIGH_BITS
  return (bits | (words[lastWord] & (HIGH_BITS >>> ((3 - (last & 3)) << 3)))) === 0
}

function isAsciiByBytes(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start; pos < end; pos++) if (buf[pos] >= 0x80) return false
  return true
}

/** Whether [start, end) of `buf` is UTF-8. */
export function isUtf8Range(buf: Uint8Array, start: number, end: number): boolean {
  if (end - start > LOOP_BYTES_MAX) return isUtf8(buf.subarray(start, end))
  return validEnd(buf, start, end) === end
}

/** [start, end) with each run of bytes that belong to no character replaced by one U+FFFD. A copy. */
export function repairedUtf8(buf: Uint8Array, start: number, end: number): Uint8Array {
  const out = new Uint8Array(2 * (end - start) + 2) // at worst every other byte is a run, and grows by two
  let write = 0
  for (let pos = start; pos < end; ) {
    const stop = validEnd(buf, pos, end)
    out.set(buf.subarray(pos, stop), write)
    write += stop - pos
    pos = stop
    while (pos < end && sequenceEnd(buf, pos, end) < 0) pos++
    if (pos === stop) continue
    out.set(REPLACEMENT, write)
    write += REPLACEMENT.length
  }
  return out.slice(0, write)
}

/** Where the characters that begin at `start` end: `end`, or the first byte that belongs to none. */
function validEnd(buf: Uint8Array, start: number, end: number): number {
  for (let pos = start; pos < end; ) {
    if (buf[pos] < 0x80) {
      pos++
      continue
    }
    const next = sequenceEnd(buf, pos, end)
    if (next < 0) return pos
    pos = next
  }
  return end
}

/** End of the character at `pos`, or -1 where there is none (RFC 3629 §4). */
function sequenceEnd(buf: Uint8Array, pos: number, end: number): number {
  const lead = buf[pos]
  if (lead < 0x80) return pos + 1
  if (lead < 0xc2 || lead > 0xf4) return -1
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (pos + size > end) return -1
  // The second byte alone tells overlong forms, surrogates and what is above U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (buf[pos + 1] < low || buf[pos + 1] > high) return -1
  for (let i = 2; i < size; i++) if ((buf[pos + i] & 0xc0) !== 0x80) return -1
  return pos + size
}
