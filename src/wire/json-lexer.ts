// JSON (RFC 8259) over bytes, without building values: OTLP/JSON turns into protobuf as it is read, so a request never
// exists as a tree, an int64 never passes through a double, and no error message quotes what it was about.
import { isUtf8 } from 'node:buffer'
import { SidecarError } from '../errors.ts'
import { malformed } from './reader.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OBJECT_START = 0x7b
const OBJECT_END = 0x7d
const ARRAY_START = 0x5b
const ARRAY_END = 0x5d

/** Containers inside containers in a value that is skipped. Skipping keeps one bit for each. */
const SKIP_DEPTH_MAX = 512
/** Longest number, bytes. A double needs 24; more digits than this mean nothing in OTLP. */
const NUMBER_BYTES_MAX = 1024

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

export class JsonLexer {
  readonly buf: Uint8Array
  pos = 0
  /** Content of the last string, without its quotes: [start, end) of `text`. */
  text: Uint8Array
  start = 0
  end = 0

  /** Throws MALFORMED when the body is not UTF-8. */
  constructor(buf: Uint8Array) {
    if (!isUtf8(buf)) throw malformed('json is not utf-8')
    this.buf = buf
    this.text = buf
  }

  /** The next byte that is no white space, not consumed; -1 at the end. */
  peek(): number {
    const { buf } = this
    let pos = this.pos
    while (
      pos < buf.length &&
      (buf[pos] === 0x20 || buf[pos] === 0x0a || buf[pos] === 0x0d || buf[pos] === 0x09)
    )
      pos++
    this.pos = pos
    return pos < buf.length ? buf[pos] : -1
  }

  atString(): boolean {
    return this.peek() === QUOTE
  }

  /** Consumes `null` if it is next. */
  takeNull(): boolean {
    if (this.peek() !== 0x6e) return false
    this.#literal('null')
    return true
  }

  takeBool(): boolean {
    const isTrue = this.peek() === 0x74
    this.#literal(isTrue ? 'true' : 'false')
    return isTrue
  }

  beginObject(): void {
    this.#expect(OBJECT_START)
  }

  /** The next key of an object, as the current string, up to its colon; false at the object's end. */
  nextKey(isFirst: boolean): boolean {
    if (this.peek() === OBJECT_END) {
      this.pos++
      return false
    }
    if (!isFirst) this.#expect(COMMA)
    this.takeString()
    this.#expect(COLON)
    return true
  }

  beginArray(): void {
    this.#expect(ARRAY_START)
  }

  /** Whether an array has another element; false at its end. */
  nextElement(isFirst: boolean): boolean {
    const next = this.peek()
    if (next === ARRAY_END) {
      this.pos++
      return false
    }
    if (!isFirst) {
      this.#expect(COMMA)
      if (this.peek() === ARRAY_END) throw malformed('json is not well formed')
    }
    return true
  }

  /** Throws MALFORMED unless nothing but white space is left. */
  expectEnd(): void {
    if (this.peek() !== -1) throw malformed('json has bytes behind its end')
  }

  /** Consumes a string and makes it the current one. */
  takeString(): void {
    this.#expect(QUOTE)
    const { buf } = this
    const start = this.pos
    let pos = start
    let hasEscape = false
    while (pos < buf.length && buf[pos] !== QUOTE) {
      if (buf[pos] < 0x20) throw malformed('json string holds a control character')
      if (buf[pos] === BACKSLASH) {
        hasEscape = true
        pos++
      }
      pos++
    }
    if (pos >= buf.length) throw malformed('json string is cut off')
    this.pos = pos + 1
    if (hasEscape) {
      this.text = unescaped(buf, start, pos)
      this.start = 0
      this.end = this.text.length
    } else {
      this.text = buf
      this.start = start
      this.end = pos
    }
  }

  /** The current string as text. For short ones: numbers, ids, base64. */
  stringText(): string {
    return Buffer.from(this.text.buffer, this.text.byteOffset + this.start, this.end - this.start).toString(
      'latin1',
    )
  }

  /** Consumes a number and returns it as it is written. */
  takeNumber(): string {
    this.peek()
    const { buf, pos: start } = this
    let pos = start
    while (pos < buf.length && isNumberByte(buf[pos])) pos++
    if (pos - start > NUMBER_BYTES_MAX) throw malformed('json number is too long')
    this.pos = pos
    const text = Buffer.from(buf.buffer, buf.byteOffset + start, pos - start).toString('latin1')
    if (!NUMBER.test(text)) throw malformed('json is not well formed')
    return text
  }

  /** Consumes any value. Iterative, so that depth costs no stack. */
  skip(): void {
    const isArray: boolean[] = []
    do {
      const hasInner = this.#skipOne(isArray)
      if (!hasInner) this.#closeFinished(isArray)
    } while (isArray.length > 0)
  }

  /** Consumes a scalar or an empty container; or the start of one, and returns true, when a value of it comes next. */
  #skipOne(isArray: boolean[]): boolean {
    const next = this.peek()
    if (next === OBJECT_START || next === ARRAY_START) {
      if (isArray.length === SKIP_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'json is nested too deep')
      this.pos++
      const hasInner = next === ARRAY_START ? this.nextElement(true) : this.nextKey(true)
      if (hasInner) isArray.push(next === ARRAY_START)
      return hasInner
    }
    if (next === QUOTE) this.takeString()
    else if (next === 0x6e) this.#literal('null')
    else if (next === 0x74 || next === 0x66) this.takeBool()
    else this.takeNumber()
    return false
  }

  /** After a value: closes the containers that end here. */
  #closeFinished(isArray: boolean[]): void {
    while (isArray.length > 0) {
      const hasMore = isArray[isArray.length - 1] ? this.nextElement(false) : this.nextKey(false)
      if (hasMore) return
      isArray.pop()
    }
  }

  #literal(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.buf[this.pos + i] !== word.charCodeAt(i)) throw malformed('json is not well formed')
    }
    this.pos += word.length
  }

  #expect(byte: number): void {
    if (this.peek() !== byte) throw malformed('json is not well formed')
    this.pos++
  }
}

function isNumberByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    (byte | 0x20) === 0x65
  )
}

/** UTF-8 of a string's content with its escapes resolved. A lone surrogate becomes U+FFFD. */
function unescaped(buf: Uint8Array, start: number, end: number): Uint8Array {
  const out = new Uint8Array(end - start) // an escape is never shorter than what it stands for
  let write = 0
  for (let pos = start; pos < end; ) {
    if (buf[pos] !== BACKSLASH) {
      out[write++] = buf[pos++]
      continue
    }
    const kind = buf[pos + 1]
    if (kind !== 0x75) {
      out[write++] = simpleEscape(kind)
      pos += 2
      continue
    }
    let code = hex4(buf, pos + 2, end)
    pos += 6
    if (code >= 0xd800 && code <= 0xdfff) {
      const low =
        code < 0xdc00 && buf[pos] === BACKSLASH && buf[pos + 1] === 0x75 ? hex4(buf, pos + 2, end) : 0
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
        pos += 6
      } else {
        code = 0xfffd
      }
    }
    write = writeUtf8(out, write, code)
  }
  return out.subarray(0, write)
}

function simpleEscape(kind: number): number {
  switch (kind) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return kind
    case 0x62:
      return 0x08
    case 0x66:
      return 0x0c
    case 0x6e:
      return 0x0a
    case 0x72:
      return 0x0d
    case 0x74:
      return 0x09
    default:
      throw malformed('json string holds an unknown escape')
  }
}

function hex4(buf: Uint8Array, pos: number, end: number): number {
  if (pos + 4 > end) throw malformed('json string holds an unknown escape')
  let code = 0
  for (let i = 0; i < 4; i++) {
    const digit = hexDigit(buf[pos + i])
    if (digit < 0) throw malformed('json string holds an unknown escape')
    code = code * 16 + digit
  }
  return code
}

/** Value of a hexadecimal digit in either case, or -1. */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function writeUtf8(out: Uint8Array, at: number, code: number): number {
  if (code < 0x80) {
    out[at] = code
    return at + 1
  }
  if (code < 0x800) {
    out[at] = 0xc0 | (code >> 6)
    out[at + 1] = 0x80 | (code & 0x3f)
    return at + 2
  }
  if (code < 0x10000) {
    out[at] = 0xe0 | (code >> 12)
    out[at + 1] = 0x80 | ((code >> 6) & 0x3f)
    out[at + 2] = 0x80 | (code & 0x3f)
    return at + 3
  }
  out[at] = 0xf0 | (code >> 18)
  out[at + 1] = 0x80 | ((code >> 12) & 0x3f)
  out[at + 2] = 0x80 | ((code >> 6) & 0x3f)
  out[at + 3] = 0x80 | (code & 0x3f)
  return at + 4
}
