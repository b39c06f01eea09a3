// JSON (RFC 8259) over bytes, without building values: OTLP/JSON turns into protobuf as it is read, so a request never
// exists as a tree, an int64 never passes through a double, and no error message quotes what it was about.
import { isUtf8 } from 'node:buffer'
import { SidecarError } from '../base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../base/limits.ts'
import { unescaped, unescaping } from './json-string.ts'
import { malformed } from './reader.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OBJECT_START = 0x7b
const OBJECT_END = 0x7d
const ARRAY_START = 0x5b
const ARRAY_END = 0x5d

/** Containers inside containers in a value that is skipped: each message may be an element of a list. */
const SKIP_DEPTH_MAX = 2 * MESSAGE_DEPTH_MAX
/** Longest number, bytes. A double needs 24; more digits than this mean nothing in OTLP. */
export const NUMBER_BYTES_MAX = 1024

/** Sign, digits, fraction, exponent. */
export const JSON_NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/

export class JsonLexer {
  readonly buf: Uint8Array
  pos = 0
  /** Content of the last string, without its quotes: [start, end) of `text`. */
  text: Uint8Array
  start = 0
  end = 0

  /** Whether all of the body is. Where it is not, only strings can hold what is none. */
  readonly isUtf8: boolean
  /** Whether the last string had half of a surrogate pair, which is U+FFFD now. */
  isRepaired = false
  /** The containers that are being skipped, outermost first: whether each is an array. */
  readonly #skipped: boolean[] = []

  /** Throws MALFORMED when the body is not UTF-8, unless the caller looks at strings itself. */
  constructor(buf: Uint8Array, checksStrings = false) {
    this.isUtf8 = isUtf8(buf)
    if (!this.isUtf8 && !checksStrings) throw malformed('json is not utf-8')
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

  atObject(): boolean {
    return this.peek() === OBJECT_START
  }

  atNumber(): boolean {
    const next = this.peek()
    return next === 0x2d || (next >= 0x30 && next <= 0x39)
  }

  /** Whether an object or an array comes next. */
  atContainer(): boolean {
    const next = this.peek()
    return next === OBJECT_START || next === ARRAY_START
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

  /** The current string as text, whatever it holds. */
  decodedText(): string {
    return Buffer.from(this.text.buffer, this.text.byteOffset + this.start, this.end - this.start).toString()
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
    this.isRepaired = false
    if (hasEscape) {
      this.text = unescaped(buf, start, pos)
      this.isRepaired = unescaping.isRepaired
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
    if (!JSON_NUMBER.test(text)) throw malformed('json is not well formed')
    return text
  }

  /** Consumes any value, and stops at `untilPos` where it is longer: false, and the next call goes on. Depth costs no stack. */
  skipOn(untilPos: number): boolean {
    const isArray = this.#skipped
    do {
      const hasInner = this.#skipOne(isArray)
      if (!hasInner) this.#closeFinished(isArray)
      if (this.pos >= untilPos && isArray.length > 0) return false
    } while (isArray.length > 0)
    return true
  }

  /** Reads on at `pos`, whatever was skipped meanwhile. */
  goTo(pos: number): void {
    this.pos = pos
    this.#skipped.length = 0
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
    else this.#skipNumber()
    return false
  }

  /** Digits alone need no look at their form, and most numbers are. */
  #skipNumber(): void {
    const { buf, pos: start } = this
    let pos = start
    while (pos < buf.length && buf[pos] >= 0x30 && buf[pos] <= 0x39) pos++
    const isPlain =
      pos > start && (pos === start + 1 || buf[start] !== 0x30) && pos - start <= NUMBER_BYTES_MAX
    if (isPlain && pos < buf.length && !isNumberByte(buf[pos])) this.pos = pos
    else this.takeNumber()
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
