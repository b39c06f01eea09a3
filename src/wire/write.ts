// Writing protobuf: sizes, varints, and the few messages that the sidecar adds to a request.
import { strict as assert } from 'node:assert'

/** Bytes of `value` as a varint; `value` is a non-negative safe integer. */
export function varintSize(value: number): number {
  let size = 1
  while (value > 0x7f) {
    value = Math.floor(value / 128)
    size++
  }
  return size
}

/** Writes a non-negative safe integer at `pos` and returns the position after it. */
export function writeVarint(out: Uint8Array, pos: number, value: number): number {
  while (value > 0x7f) {
    out[pos++] = (value % 128) | 0x80
    value = Math.floor(value / 128)
  }
  out[pos++] = value
  return pos
}

const SIZE_MIN = 256
const encoder = new TextEncoder()
const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

/** Integers per frame: where its length stands in the buffer, its length once it is closed. */
const FRAME = 2

export interface WriterState {
  readonly pos: number
  readonly frameCount: number
  readonly extraBytes: number
}

/**
 * Builds one protobuf message, front to back. A nested message is written between `open` and `close`. Room for one
 * byte of its length is kept in front of it; where a length needs more, `finish` makes room for all of them in one pass,
 * so that deep nesting costs no more than shallow.
 */
export class Writer {
  #buf: Uint8Array
  #pos = 0
  /** Open frames, and closed ones whose length needs more than one byte, in order of position. */
  #frames: Int32Array = new Int32Array(64)
  #frameCount = 0
  /** Bytes that `finish` will insert for the frames closed so far. */
  #extraBytes = 0

  constructor(sizeHint: number = SIZE_MIN) {
    this.#buf = new Uint8Array(Math.max(sizeHint, SIZE_MIN))
  }

  /** Bytes that `finish` returns, once every frame is closed. */
  get size(): number {
    return this.#pos + this.#extraBytes
  }

  /** What was written. The caller's, as long as this writer is not used again. */
  finish(): Uint8Array {
    if (this.#extraBytes === 0) return this.#buf.subarray(0, this.#pos)
    const out = new Uint8Array(this.size)
    let read = 0
    let write = 0
    for (let at = 0; at < this.#frameCount * FRAME; at += FRAME) {
      const lengthAt = this.#frames[at]
      out.set(this.#buf.subarray(read, lengthAt), write)
      write = writeVarint(out, write + lengthAt - read, this.#frames[at + 1])
      read = lengthAt + 1
    }
    out.set(this.#buf.subarray(read, this.#pos), write)
    return out
  }

  /** Makes the writer empty and keeps its buffer: what `finish` returned before may be overwritten. */
  clear(): void {
    this.#pos = 0
    this.#frameCount = 0
    this.#extraBytes = 0
  }

  /** Where the writer is, for `restore`: what was written since is then forgotten, also where messages are still open. */
  save(): WriterState {
    return { pos: this.#pos, frameCount: this.#frameCount, extraBytes: this.#extraBytes }
  }

  restore({ pos, frameCount, extraBytes }: WriterState): void {
    this.#pos = pos
    this.#frameCount = frameCount
    this.#extraBytes = extraBytes
  }

  tag(field: number, wireType: number): void {
    this.varint(field * 8 + wireType)
  }

  /** A non-negative safe integer. */
  varint(value: number): void {
    this.#ensure(10)
    this.#pos = writeVarint(this.#buf, this.#pos, value)
  }

  /** A 64-bit integer; a negative one as two's complement. */
  varint64(value: bigint): void {
    this.#ensure(10)
    let rest = BigInt.asUintN(64, value)
    while (rest > 0x7fn) {
      this.#buf[this.#pos++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buf[this.#pos++] = Number(rest)
  }

  fixed32(value: number): void {
    this.#ensure(4)
    for (let i = 0; i < 4; i++) this.#buf[this.#pos++] = (value >>> (8 * i)) & 0xff
  }

  fixed64(value: bigint): void {
    const bits = BigInt.asUintN(64, value)
    this.fixed32(Number(bits & 0xffff_ffffn))
    this.fixed32(Number(bits >> 32n))
  }

  double(value: number): void {
    float[0] = value
    this.raw(floatBytes)
  }

  /** Bytes as they are, without tag and length. */
  raw(bytes: Uint8Array): void {
    this.#ensure(bytes.length)
    this.#buf.set(bytes, this.#pos)
    this.#pos += bytes.length
  }

  /** A length-delimited field. */
  bytes(field: number, bytes: Uint8Array): void {
    this.tag(field, 2)
    this.varint(bytes.length)
    this.raw(bytes)
  }

  /** A string field; lone surrogates become U+FFFD, as in any UTF-8 encoder. */
  string(field: number, text: string): void {
    const mark = this.open(field)
    // At most three bytes for each UTF-16 unit.
    this.#ensure(text.length * 3)
    this.#pos += encoder.encodeInto(text, this.#buf.subarray(this.#pos)).written
    this.close(mark)
  }

  /** Begins a nested message; give the result to `close`. Messages close in reverse order of opening. */
  open(field: number): number {
    this.tag(field, 2)
    this.#ensure(1)
    const mark = this.#frameCount++
    const at = mark * FRAME
    if (at + FRAME > this.#frames.length) this.#frames = grownFrames(this.#frames)
    this.#frames[at] = this.#pos++
    this.#frames[at + 1] = this.#extraBytes
    return mark
  }

  /** Ends the message that `open` began. */
  close(mark: number): void {
    const at = mark * FRAME
    const length = this.size - this.#frames[at] - 1 - this.#frames[at + 1]
    if (length > 0x7f) {
      this.#frames[at + 1] = length
      this.#extraBytes += varintSize(length) - 1
      return
    }
    // A short message has no long one inside: its frame is the last.
    assert(mark === this.#frameCount - 1, 'messages close in reverse order of opening')
    this.#buf[this.#frames[at]] = length
    this.#frameCount = mark
  }

  #ensure(count: number): void {
    if (this.#pos + count <= this.#buf.length) return
    const grown = new Uint8Array(Math.max(this.#pos + count, this.#buf.length * 2))
    grown.set(this.#buf.subarray(0, this.#pos))
    this.#buf = grown
  }
}

function grownFrames(frames: Int32Array): Int32Array {
  const grown = new Int32Array(frames.length * 2)
  grown.set(frames)
  return grown
}

/** Content of an AnyValue that holds a string: what replaces [valueStart, valueEnd). */
export function stringValue(text: string): Uint8Array {
  const writer = new Writer(text.length * 3 + 8)
  writer.string(1, text)
  return writer.finish()
}

/** Content of a KeyValue that holds a string. */
export function stringKeyValue(key: string, text: string): Uint8Array {
  const writer = new Writer((key.length + text.length) * 3 + 16)
  writeStringKeyValue(writer, key, text)
  return writer.finish()
}

/** A whole string attribute with tag and length, as field `field` of its parent (9 in a Span, 1 in a Resource). */
export function stringAttribute(field: number, key: string, text: string): Uint8Array {
  const writer = new Writer((key.length + text.length) * 3 + 24)
  const mark = writer.open(field)
  writeStringKeyValue(writer, key, text)
  writer.close(mark)
  return writer.finish()
}

/** A whole bytes attribute with tag and length, as field `field` of its parent. */
export function bytesAttribute(field: number, key: string, bytes: Uint8Array): Uint8Array {
  const writer = new Writer(key.length * 3 + bytes.length + 24)
  const mark = writer.open(field)
  writer.string(1, key)
  const value = writer.open(2)
  writer.bytes(7, bytes)
  writer.close(value)
  writer.close(mark)
  return writer.finish()
}

/** A length-delimited field with tag and length around `content`. */
export function messageField(field: number, content: Uint8Array): Uint8Array {
  const writer = new Writer(content.length + 16)
  writer.bytes(field, content)
  return writer.finish()
}

function writeStringKeyValue(writer: Writer, key: string, text: string): void {
  writer.string(1, key)
  const value = writer.open(2)
  writer.string(1, text)
  writer.close(value)
}
