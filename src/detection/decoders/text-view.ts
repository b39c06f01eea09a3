// A value as whoever reads it sees it: escapes of URLs, JSON and HTML are what they stand for, full-width characters and
// typographic spaces and dashes are ASCII, and what has no width is gone. Each byte knows where it came from, so that what is
// found in the view is known in the value. Only values in which something of that kind stands have one.
import { ALPHA, CLASS, DIGIT, hexDigit, percentByte } from '../engine/bytes.ts'

/** A longer value is searched as it stands. */
export const VIEW_BYTES_MAX = 1024 * 1024
/** What escapes an escape: `%2540`, `\\u0040`, `&amp;#64;`. */
const LAYERS_MAX = 3
const KEPT_BYTES_MAX = 64 * 1024

const PERCENT = 0x25
const AMPERSAND = 0x26
const BACKSLASH = 0x5c
const SEMICOLON = 0x3b

/** Characters of HTML that have a name which telemetry meets (HTML Living Standard, §13.5). */
const ENTITIES: readonly (readonly [name: string, character: number])[] = [
  ['lt', 0x3c],
  ['gt', 0x3e],
  ['amp', 0x26],
  ['quot', 0x22],
  ['apos', 0x27],
  ['nbsp', 0x20],
  ['commat', 0x40],
  ['period', 0x2e],
  ['colon', 0x3a],
  ['sol', 0x2f],
]

/** 1: an escape may begin here; 2: UTF-8 of a wide character may. */
const MARKS = new Uint8Array(256)
for (const byte of [PERCENT, AMPERSAND, BACKSLASH]) MARKS[byte] = 1
for (const byte of [0xc2, 0xe2, 0xef]) MARKS[byte] = 2

export class TextView {
  bytes = new Uint8Array(1024)
  length = 0
  /** Where the piece of the value begins and ends that a byte stands for. */
  #starts = new Int32Array(1024)
  #ends = new Int32Array(1024)
  #hasChanged = false

  /** Of the value [start, end). False when the view would be the value itself. */
  read(buf: Uint8Array, start: number, end: number): boolean {
    if (end - start > VIEW_BYTES_MAX || !isMarked(buf, start, end)) return false
    this.#reserve(end - start)
    this.length = 0
    this.#hasChanged = false
    for (let pos = start; pos < end; ) pos = this.#take(buf, pos, end)
    if (!this.#hasChanged) return false
    for (let layer = 1; layer < LAYERS_MAX && this.#readAgain(); layer++);
    return true
  }

  /** Where the first byte of [from, to) of the view begins in the value. */
  start(from: number): number {
    return this.#starts[from]
  }

  end(to: number): number {
    return this.#ends[to - 1]
  }

  /** Whether something in [from, to) of the view stands otherwise in the value. */
  isEscaped(from: number, to: number): boolean {
    return this.end(to) - this.start(from) !== to - from || this.#isMapped(from, to)
  }

  release(): void {
    if (this.bytes.length <= KEPT_BYTES_MAX) return
    this.bytes = new Uint8Array(1024)
    this.#starts = new Int32Array(1024)
    this.#ends = new Int32Array(1024)
  }

  #isMapped(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.#ends[i] - this.#starts[i] !== 1) return true
    return false
  }

  #put(byte: number, start: number, end: number): void {
    const at = this.length++
    this.bytes[at] = byte
    this.#starts[at] = start
    this.#ends[at] = end
  }

  /** What stands at `pos`; where the next begins. */
  #take(buf: Uint8Array, pos: number, end: number): number {
    const mark = MARKS[buf[pos]]
    if (mark !== 0) {
      const width = mark === 1 ? escapeAt(buf, pos, end) : wideAt(buf, pos, end)
      if (width > 0) {
        this.#hasChanged = true
        if (decoded >= 0) this.#put(decoded, pos, pos + width)
        return pos + width
      }
    }
    this.#put(buf[pos], pos, pos + 1)
    return pos + 1
  }

  /** The view of the view, in place: it never grows. False when nothing changed. */
  #readAgain(): boolean {
    const { bytes, length } = this
    if (!isMarked(bytes, 0, length)) return false
    let to = 0
    let hasChanged = false
    for (let pos = 0; pos < length; ) {
      const mark = MARKS[bytes[pos]]
      const width = mark === 1 ? escapeAt(bytes, pos, length) : mark === 2 ? wideAt(bytes, pos, length) : 0
      const next = pos + (width > 0 ? width : 1)
      if (width === 0 || decoded >= 0) {
        const [start, stop] = [this.#starts[pos], this.#ends[next - 1]]
        bytes[to] = width > 0 ? decoded : bytes[pos]
        this.#starts[to] = start
        this.#ends[to] = stop
        to++
      }
      if (width > 0) hasChanged = true
      pos = next
    }
    this.length = to
    return hasChanged
  }

  #reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return
    const size = 2 ** Math.ceil(Math.log2(bytes))
    this.bytes = new Uint8Array(size)
    this.#starts = new Int32Array(size)
    this.#ends = new Int32Array(size)
  }
}

/** Whether any escape or wide character that a view changes may stand in it. Plain percent-encoding is for detectors. */
function isMarked(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start; pos < end; pos++) {
    // Four bytes with one branch.
    while (
      pos + 4 <= end &&
      (MARKS[buf[pos]] | MARKS[buf[pos + 1]] | MARKS[buf[pos + 2]] | MARKS[buf[pos + 3]]) === 0
    )
      pos += 4
    const mark = pos < end ? MARKS[buf[pos]] : 0
    if (mark === 0) continue
    if (mark === 2 ? wideAt(buf, pos, end) > 0 : isUnusual(buf, pos, end)) return true
  }
  return false
}

/** Escapes of what needs none, of escapes, and those that are not of URLs. */
function isUnusual(buf: Uint8Array, pos: number, end: number): boolean {
  if (escapeAt(buf, pos, end) === 0) return false
  return (
    buf[pos] !== PERCENT ||
    decoded === PERCENT ||
    decoded === 0x3a ||
    (CLASS[decoded] & (DIGIT | ALPHA)) !== 0
  )
}

/** What the last escape stands for; -1: nothing. */
let decoded = -1

/** How long the escape at `pos` is; 0 when there is none. Of ASCII only: what is beyond is no part of what is looked for. */
function escapeAt(buf: Uint8Array, pos: number, end: number): number {
  const byte = buf[pos]
  if (byte === PERCENT) {
    decoded = percentByte(buf, pos, end)
    return decoded >= 0x20 && decoded < 0x7f ? 3 : 0
  }
  if (byte === BACKSLASH) return backslashAt(buf, pos, end)
  return byte === AMPERSAND ? entityAt(buf, pos, end) : 0
}

/** `\u0040`, `\x40`, and with more backslashes before them. */
function backslashAt(buf: Uint8Array, pos: number, end: number): number {
  let at = pos
  while (at < end && at - pos < 4 && buf[at] === BACKSLASH) at++
  const kind = at < end ? buf[at] | 0x20 : 0
  const digits = kind === 0x75 ? 4 : kind === 0x78 ? 2 : 0
  if (digits === 0 || at + 1 + digits > end) return 0
  const value = hexValue(buf, at + 1, at + 1 + digits)
  if (value < 0x20 || value > 0x7e) return 0
  decoded = value
  return at + 1 + digits - pos
}

function hexValue(buf: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let pos = from; pos < to; pos++) {
    const digit = hexDigit(buf[pos])
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return to > from ? value : -1
}

const ENTITY_BYTES_MAX = 10

/** `&#64;`, `&#x40;`, `&commat;`. */
function entityAt(buf: Uint8Array, pos: number, end: number): number {
  const limit = Math.min(end, pos + ENTITY_BYTES_MAX)
  let stop = pos + 1
  while (stop < limit && buf[stop] !== SEMICOLON) stop++
  if (stop >= limit || stop === pos + 1) return 0
  if (buf[pos + 1] === 0x23) {
    const isHex = (buf[pos + 2] | 0x20) === 0x78
    const value = isHex ? hexValue(buf, pos + 3, stop) : decimalValue(buf, pos + 2, stop)
    if (value < 0x20 || value > 0x7e) return 0
    decoded = value
    return stop + 1 - pos
  }
  for (const [name, character] of ENTITIES) {
    if (name.length !== stop - pos - 1 || !isText(buf, pos + 1, name)) continue
    decoded = character
    return stop + 1 - pos
  }
  return 0
}

function decimalValue(buf: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let pos = from; pos < to; pos++) {
    if ((CLASS[buf[pos]] & DIGIT) === 0) return -1
    value = value * 10 + buf[pos] - 0x30
  }
  return to > from ? value : -1
}

function isText(buf: Uint8Array, pos: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (buf[pos + i] !== text.charCodeAt(i)) return false
  return true
}

/** Width of a character that stands for ASCII or for nothing: U+00A0, U+00AD, U+2000 to U+2015, U+202F, U+2060, U+FEFF, U+FF01 to U+FF5E. */
function wideAt(buf: Uint8Array, pos: number, end: number): number {
  const byte = buf[pos]
  const next = pos + 1 < end ? buf[pos + 1] : 0
  if (byte === 0xc2) {
    if (next !== 0xa0 && next !== 0xad) return 0
    decoded = next === 0xa0 ? 0x20 : -1
    return 2
  }
  const third = pos + 2 < end ? buf[pos + 2] : 0
  if (third === 0) return 0
  if (byte === 0xe2 && next === 0x80) {
    if (third <= 0x8a || third === 0xaf) decoded = 0x20
    else if (third <= 0x8f) decoded = -1
    else if (third <= 0x95) decoded = 0x2d
    else return 0
    return 3
  }
  if (
    (byte === 0xe2 && next === 0x81 && third === 0xa0) ||
    (byte === 0xef && next === 0xbb && third === 0xbf)
  ) {
    decoded = -1
    return 3
  }
  if (byte !== 0xef || (next !== 0xbc && next !== 0xbd)) return 0
  const point = 0xff00 + (next === 0xbc ? third - 0x80 : third - 0x80 + 0x40)
  if (point < 0xff01 || point > 0xff5e) return 0
  decoded = point - 0xff01 + 0x21
  return 3
}
