// OTLP/JSON to protobuf (OTLP 1.11, "JSON Protobuf Encoding"), as it is read. Deviations from ProtoJSON that OTLP makes:
// ids are hex, enums are integers only, keys are lowerCamelCase only. Unknown keys are ignored, null is absence. What
// JSON parsers disagree about is refused: a key given twice, two values in one AnyValue.
import { SidecarError } from '../base/errors.ts'
import { ITEMS_PER_REQUEST_MAX } from '../base/limits.ts'
import type { Cleaned } from './clean.ts'
import { type FaultReason, Faults, ItemFault } from './faults.ts'
import { pathText } from './field-walk.ts'
import { JsonLexer } from './json-lexer.ts'
import { hexDigit } from './json-string.ts'
import { isMessage, MESSAGES } from './messages.ts'
import { Frame, type Signal } from './otlp.ts'
import { malformed } from './reader.ts'
import {
  type FieldSpec,
  idLength,
  MESSAGE_DEPTH_MAX,
  type MessageName,
  REQUEST_OF,
  type ScalarType,
  Wire,
  wireTypeOf,
} from './schema.ts'
import { isUtf8Range, repairedUtf8 } from './utf8.ts'
import { Writer, type WriterState } from './write.ts'

interface JsonField {
  readonly spec: FieldSpec
  readonly nameBytes: Uint8Array
  /** One bit per field; members of a oneof share theirs. */
  readonly bit: number
  /** Zero is written too: a member of a oneof, or `optional`. */
  readonly hasPresence: boolean
}

const FIELDS: ReadonlyMap<string, readonly JsonField[]> = new Map(
  Object.entries(MESSAGES).map(([name, message]) => [
    name,
    message.fields.map((field) => jsonField(message.fields, field)),
  ]),
)

function jsonField(fields: readonly FieldSpec[], spec: FieldSpec): JsonField {
  const first = spec.oneof === undefined ? spec : fields.find((field) => field.oneof === spec.oneof)!
  return {
    spec,
    nameBytes: new TextEncoder().encode(spec.name),
    bit: 1 << fields.indexOf(first),
    hasPresence: spec.oneof !== undefined || spec.optional === true,
  }
}

/**
 * An OTLP/JSON Export request as protobuf. Throws MALFORMED for what is no JSON or no request of this signal, and
 * TOO_DEEP. Numbers of 64 bits keep every digit, given as strings or as numbers. The result is the caller's.
 */
export function jsonToProtobuf(body: Uint8Array, signal: Signal): Uint8Array {
  return read(new JsonReader(body), signal)
}

/**
 * As `jsonToProtobuf`, for what comes from outside: an item that is JSON, but no item, is left out, and so is one with an
 * id of a wrong length or text that is no UTF-8. Throws TOO_LARGE where more are than a request may hold.
 */
export function jsonToSoundItems(body: Uint8Array, signal: Signal): Cleaned {
  const faults = new Faults()
  return { body: read(new JsonReader(body, faults), signal), faults }
}

/** As `jsonToSoundItems`, for a large request: between two slices others have their turn. */
export function* jsonToSoundItemsInSlices(
  body: Uint8Array,
  signal: Signal,
  sliceBytes: number = SLICE_BYTES,
): Generator<void, Cleaned> {
  const faults = new Faults()
  const reader = new JsonReader(body, faults)
  reader.begin(REQUEST_OF[signal])
  while (!reader.readOn(reader.lexer.pos + sliceBytes)) yield
  return { body: reader.writer.finish(), faults }
}

function read(reader: JsonReader, signal: Signal): Uint8Array {
  reader.begin(REQUEST_OF[signal])
  reader.readOn(Number.POSITIVE_INFINITY)
  return reader.writer.finish()
}

/** Of a slice, about a millisecond's. */
const SLICE_BYTES = 16 * 1024
const NO_MARK = -1

/** A message that the reader is in. */
class Level {
  fields: readonly JsonField[] = []
  seen = 0
  isFirst = true
  /** Its frame in the writer. */
  mark = NO_MARK
  /** Of its fields the one in whose array the reader is, in front of an element. */
  array: FieldSpec | undefined
  /** The frame of that array, where its numbers are packed. */
  packed = NO_MARK
  isOfItems = false
}

/** Reads step by step, with a stack of its own, so that it can be left at any step and go on there. */
class JsonReader {
  readonly lexer: JsonLexer
  readonly writer: Writer
  /** Where faults of items go; without, they are the whole request's. */
  readonly #faults: Faults | undefined
  /** The fields that the reader is in, outermost first, with the position of each among its like. */
  readonly #path: FieldSpec[] = []
  readonly #indexes: number[] = []
  readonly #levels: Level[] = []
  #depth = -1
  #isSkipping = false
  #isInItem = false
  // Where the present item began.
  #itemDepth = 0
  #itemPos = 0
  #itemState: WriterState | undefined

  constructor(body: Uint8Array, faults?: Faults) {
    this.lexer = new JsonLexer(body, faults !== undefined)
    this.writer = new Writer(body.length >> 1)
    this.#faults = faults
  }

  get where(): string {
    return pathText(this.#path, this.#indexes)
  }

  begin(message: MessageName): void {
    this.#enter(message, NO_MARK)
  }

  /** Whether the request is at its end; else the reader has come to `untilPos` and goes on at the next call. */
  readOn(untilPos: number): boolean {
    const { lexer } = this
    for (;;) {
      try {
        while (this.#depth >= 0) {
          if (lexer.pos >= untilPos) return false
          this.#step(untilPos)
        }
        lexer.expectEnd()
        return true
      } catch (thrown) {
        this.#leaveOut(thrown)
      }
    }
  }

  #step(untilPos: number): void {
    const level = this.#levels[this.#depth]
    if (this.#isSkipping) {
      if (!this.lexer.skipOn(untilPos)) return
      this.#isSkipping = false
      if (level.array !== undefined) this.#endElement(level)
    } else if (level.array === undefined) this.#field(level)
    else this.#element(level, level.array)
  }

  #enter(name: MessageName, mark: number): void {
    const depth = ++this.#depth
    if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'messages are nested too deep')
    this.#levels[depth] ??= new Level()
    const level = this.#levels[depth]
    level.fields = FIELDS.get(name)!
    level.seen = 0
    level.isFirst = true
    level.mark = mark
    level.array = undefined
    this.lexer.beginObject()
  }

  #leave({ mark }: Level): void {
    if (mark !== NO_MARK) this.writer.close(mark)
    const depth = --this.#depth
    if (depth < 0) return
    const parent = this.#levels[depth]
    if (parent.array === undefined) {
      this.#path.length = depth
      return
    }
    if (parent.isOfItems) this.#isInItem = false
    this.#endElement(parent)
  }

  #field(level: Level): void {
    const { lexer } = this
    if (!lexer.nextKey(level.isFirst)) {
      this.#leave(level)
      return
    }
    level.isFirst = false
    const field = fieldNamed(level.fields, lexer)
    if (field === undefined) {
      this.#isSkipping = true
      return
    }
    if (lexer.takeNull()) return
    this.#path[this.#depth] = field.spec
    this.#indexes[this.#depth] = 0
    if ((level.seen & field.bit) !== 0) throw malformed('json field is repeated')
    level.seen |= field.bit
    if (field.spec.repeated) this.#beginArray(level, field.spec)
    else this.#singular(field)
  }

  #beginArray(level: Level, spec: FieldSpec): void {
    const { lexer, writer } = this
    lexer.beginArray()
    if (!lexer.nextElement(true)) {
      this.#path.length = this.#depth
      return
    }
    const { number, type } = spec
    level.array = spec
    level.packed = wireTypeOf(type) === Wire.LENGTH ? NO_MARK : writer.open(number)
    level.isOfItems = this.#faults !== undefined && isMessage(type) && MESSAGES[type].frame === Frame.ITEM
  }

  #element(level: Level, spec: FieldSpec): void {
    const { lexer, writer } = this
    const { number, type } = spec
    if (isMessage(type)) {
      if (level.isOfItems) this.#beginItem()
      this.#enter(type, writer.open(number))
      return
    }
    if (level.packed === NO_MARK) this.#text(spec, true)
    else writeNumber(lexer, writer, type)
    this.#endElement(level)
  }

  #endElement(level: Level): void {
    const depth = this.#depth
    this.#indexes[depth]++
    this.#path.length = depth + 1
    if (this.lexer.nextElement(false)) return
    if (level.packed !== NO_MARK) this.writer.close(level.packed)
    level.array = undefined
    this.#path.length = depth
  }

  #beginItem(): void {
    this.#itemDepth = this.#depth
    this.#itemPos = this.lexer.pos
    this.#itemState = this.writer.save()
    this.#isInItem = true
  }

  /** An item that is JSON but none of its kind is left out, and the reader goes on behind it. */
  #leaveOut(thrown: unknown): void {
    const state = this.#itemState
    const isFault = thrown instanceof SidecarError && thrown.code === 'MALFORMED'
    if (!this.#isInItem || !isFault || state === undefined) throw thrown
    this.#reject(thrown instanceof ItemFault ? thrown.reason : 'INVALID_JSON')
    this.writer.restore(state)
    this.lexer.goTo(this.#itemPos)
    this.#depth = this.#itemDepth
    this.#path.length = this.#depth + 1
    this.#isInItem = false
    this.#isSkipping = true // throws where it is no JSON either
  }

  #reject(reason: FaultReason): void {
    const faults = this.#faults!
    faults.reject(reason, faults.rejected.size === 0 ? this.where : '')
    if (faults.rejectedItems > ITEMS_PER_REQUEST_MAX)
      throw new SidecarError('TOO_LARGE', 'too many items cannot be read')
  }

  #singular(field: JsonField): void {
    const { number, type } = field.spec
    if (isMessage(type)) {
      this.#enter(type, this.writer.open(number))
      return
    }
    if (wireTypeOf(type) === Wire.LENGTH) this.#text(field.spec, field.hasPresence)
    else this.#number(number, type, field.hasPresence)
    this.#path.length = this.#depth
  }

  #number(number: number, type: ScalarType, hasPresence: boolean): void {
    scratch.clear()
    const isZero = writeNumber(this.lexer, scratch, type)
    if (isZero && !hasPresence) return
    this.writer.tag(number, wireTypeOf(type))
    this.writer.raw(scratch.finish())
  }

  #text(spec: FieldSpec, hasPresence: boolean): void {
    const { lexer } = this
    lexer.takeString()
    let bytes = lexer.text.subarray(lexer.start, lexer.end)
    if (spec.type === 'string') bytes = this.#sound(bytes)
    else if (spec.type === 'bytes') bytes = fromBase64(lexer.stringText())
    else {
      bytes = fromHex(bytes)
      const isRight = bytes.length === 0 || bytes.length === idLength(spec)
      if (this.#faults !== undefined && !isRight) throw new ItemFault('INVALID_ID', 'id has the wrong length')
    }
    if (bytes.length > 0 || hasPresence) this.writer.bytes(spec.number, bytes)
  }

  /** Text that is UTF-8. What JSON itself made of half a surrogate pair is counted, in an item too. */
  #sound(bytes: Uint8Array): Uint8Array {
    const { lexer } = this
    if (lexer.isRepaired) this.#faults?.repair(this)
    if (lexer.isUtf8 || isUtf8Range(bytes, 0, bytes.length)) return bytes
    if (this.#isInItem) throw new ItemFault('INVALID_UTF8', 'text is no utf-8')
    this.#faults?.repair(this)
    return repairedUtf8(bytes, 0, bytes.length)
  }
}

/** The field that the lexer's current string names. */
function fieldNamed(fields: readonly JsonField[], lexer: JsonLexer): JsonField | undefined {
  const length = lexer.end - lexer.start
  for (const field of fields) {
    if (field.nameBytes.length !== length) continue
    let same = 0
    while (same < length && field.nameBytes[same] === lexer.text[lexer.start + same]) same++
    if (same === length) return field
  }
  return undefined
}

/** Holds one number until it is known whether it is written. */
const scratch = new Writer()

/** Writes a number or bool without its tag; returns whether it is the default of its type. */
function writeNumber(lexer: JsonLexer, writer: Writer, type: ScalarType): boolean {
  if (type === 'bool') {
    const flag = lexer.takeBool()
    writer.varint(flag ? 1 : 0)
    return !flag
  }
  if (type === 'double') {
    const value = doubleOf(takeNumberText(lexer))
    writer.double(value)
    return Object.is(value, 0)
  }
  // Only integers, not the names that ProtoJSON would allow, and not integers in strings either.
  const value = integerOf(type === 'enum' ? lexer.takeNumber() : takeNumberText(lexer), type)
  if (type === 'fixed32') writer.fixed32(Number(value))
  else if (type === 'fixed64' || type === 'sfixed64') writer.fixed64(value)
  else if (type === 'sint32') writer.varint(Number(value < 0n ? -2n * value - 1n : 2n * value))
  else writer.varint64(value)
  return value === 0n
}

function takeNumberText(lexer: JsonLexer): string {
  if (!lexer.atString()) return lexer.takeNumber()
  lexer.takeString()
  return lexer.stringText()
}

const INTEGER = /^(-?[0-9]{1,20})(?:\.0+)?(?:[eE]\+?([0-9]{1,2}))?$/
const DOUBLE = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

const RANGES: Readonly<Partial<Record<ScalarType, readonly [bigint, bigint]>>> = {
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
}

function integerOf(text: string, type: ScalarType): bigint {
  const match = INTEGER.exec(text)
  if (match === null) throw malformed('json number is no integer')
  const exponent = match[2] === undefined ? 0n : BigInt(match[2])
  const value = BigInt(match[1]) * 10n ** exponent
  const [min, max] = RANGES[type]! // every integer type has a row
  if (value < min || value > max) throw malformed('json number is out of range')
  return value
}

function doubleOf(text: string): number {
  if (text === 'NaN') return Number.NaN
  if (text === 'Infinity') return Number.POSITIVE_INFINITY
  if (text === '-Infinity') return Number.NEGATIVE_INFINITY
  const value = DOUBLE.test(text) ? Number(text) : Number.NaN
  if (!Number.isFinite(value)) throw malformed('json number is no double')
  return value
}

function fromHex(digits: Uint8Array): Uint8Array {
  if (digits.length % 2 !== 0) throw new ItemFault('INVALID_ID', 'id is no hex')
  const out = new Uint8Array(digits.length / 2)
  for (let i = 0; i < out.length; i++) {
    const high = hexDigit(digits[2 * i])
    const low = hexDigit(digits[2 * i + 1])
    if (high < 0 || low < 0) throw new ItemFault('INVALID_ID', 'id is no hex')
    out[i] = high * 16 + low
  }
  return out
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

function fromBase64(text: string): Uint8Array {
  const digits = text.replace(/={1,2}$/, '')
  if (!BASE64.test(text) || digits.length % 4 === 1) throw malformed('bytes are no base64')
  return Buffer.from(digits, 'base64')
}
