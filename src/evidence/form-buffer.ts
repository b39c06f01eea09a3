// The primitives of the canonical form (proto/evidence.md §1), written into one buffer that is reused and grows.
import { copy } from '../wire/edits.ts'

const BUFFER_BYTES_MIN = 64 * 1024
/** A buffer that one huge span made larger than this is given back, bytes. */
const BUFFER_BYTES_KEPT = 8 * 1024 * 1024

export class FormBuffer {
  /** Bytes written; may be set back to write again from there. */
  size = 0
  #bytes = new Uint8Array(BUFFER_BYTES_MIN)

  /** Empties the buffer, and gives it back when it has grown too large. */
  reset(): void {
    this.size = 0
    if (this.#bytes.length > BUFFER_BYTES_KEPT) this.#bytes = new Uint8Array(BUFFER_BYTES_MIN)
  }

  /** What was written from `start` on, as a view that the next write changes. */
  written(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.size)
  }

  /** A copy of [start, end). */
  slice(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end)
  }

  /** Writes over what is there. */
  put(bytes: Uint8Array, at: number): void {
    this.#bytes.set(bytes, at)
  }

  /** Writes a u32 over what is there. */
  putU32(value: number, at: number): void {
    putU32(this.#bytes, at, value)
  }

  /** An id of zero bytes only is the empty id. */
  id(buf: Uint8Array, start: number, end: number): void {
    let i = start
    while (i < end && buf[i] === 0) i++
    this.bytes(buf, i === end ? end : start, end)
  }

  bytes(buf: Uint8Array, start: number, end: number): void {
    const length = end - start
    const at = this.#room(4 + length)
    putU32(this.#bytes, at, length)
    copy(buf, start, end, this.#bytes, at + 4)
  }

  byte(byte: number): void {
    const at = this.#room(1)
    this.#bytes[at] = byte
  }

  u32(value: number): void {
    const at = this.#room(4)
    putU32(this.#bytes, at, value)
  }

  /** Eight little-endian bytes at `from`, turned round; zero when `from` is -1. */
  fixed64(buf: Uint8Array, from: number): void {
    const at = this.#room(8)
    const out = this.#bytes
    for (let i = 0; i < 8; i++) out[at + i] = from < 0 ? 0 : buf[from + 7 - i]
  }

  varint64(buf: Uint8Array, start: number, end: number): void {
    let low = 0
    let high = 0
    for (let i = start, shift = 0; i < end; i++, shift += 7) {
      const bits = buf[i] & 0x7f
      if (shift < 32) low |= bits << shift
      if (shift === 28) high = bits >>> 4
      else if (shift > 28) high |= bits << (shift - 32)
    }
    const at = this.#room(8)
    putU32(this.#bytes, at, high)
    putU32(this.#bytes, at + 4, low)
  }

  double(buf: Uint8Array, from: number): void {
    this.fixed64(buf, from)
    const out = this.#bytes
    const at = this.size - 8
    const isSpecial = (out[at] & 0x7f) === 0x7f && out[at + 1] >= 0xf0
    const isNotANumber = isSpecial && ((out[at + 1] & 0x0f) !== 0 || !isZero(out, at + 2, at + 8))
    if (isNotANumber) {
      out.fill(0, at, at + 8)
      out[at] = 0x7f
      out[at + 1] = 0xf8
    } else if (out[at] === 0x80 && isZero(out, at + 1, at + 8)) {
      out[at] = 0
    }
  }

  /** Makes room for `bytes` more and returns where they go. */
  #room(bytes: number): number {
    const at = this.size
    this.size = at + bytes
    if (this.size > this.#bytes.length) this.#grow(this.size)
    return at
  }

  #grow(bytes: number): void {
    const larger = new Uint8Array(Math.max(bytes, this.#bytes.length * 2))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

function putU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

function isZero(buf: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (buf[i] !== 0) return false
  return true
}
