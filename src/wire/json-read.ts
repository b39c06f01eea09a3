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
import { Writer } from './write.ts'

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

function read(reader: JsonReader, signal: Signal): Uint8Array {
  reader.message(REQUEST_OF[signal], 0)
  reader.lexer.expectEnd()
  return reader.writer.finish()
}

class JsonReader {
  readonly lexer: JsonLexer
  readonly writer: Writer
  /** Where faults of items go; without, they are the whole request's. */
  readonly #faults: Faults | undefined
  /** The fields that the reader is in, outermost first, with the position of each among its like. */
  readonly #path: FieldSpec[] = []
  readonly #indexes: number[] = []
  #isInItem = false

  constructor(body: Uint8Array, faults?: Faults) {
    this.lexer = new JsonLexer(body, faults !== undefined)
    this.writer = new Writer(body.length >> 1)
    this.#faults = faults
  }

  get where(): string {
    return pathText(this.#path, this.#indexes)
  }

  message(name: MessageName, depth: number): void {
    if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'messages are nested too deep')
    const { lexer } = this
    const fields = FIELDS.get(name)!
    let seen = 0
    lexer.beginObject()
    for (let isFirst = true; lexer.nextKey(isFirst); isFirst = false) {
      const field = fieldNamed(fields, lexer)
      if (field === undefined) {
        lexer.skip()
        continue
      }
      if (lexer.takeNull()) continue
      this.#path[depth] = field.spec
      this.#indexes[depth] = 0
      if ((seen & field.bit) !== 0) throw malformed('json field is repeated')
      seen |= field.bit
      if (field.spec.repeated) this.#repeated(field.spec, depth)
      else this.#singular(field, depth)
      this.#path.length = depth
    }
  }

  #repeated(spec: FieldSpec, depth: number): void {
    const { lexer, writer } = this
    lexer.beginArray()
    if (!lexer.nextElement(true)) return
    const { number, type } = spec
    const isItem = this.#faults !== undefined && isMessage(type) && MESSAGES[type].frame === Frame.ITEM
    const packed = wireTypeOf(type) === Wire.LENGTH ? undefined : writer.open(number)
    do {
      if (packed !== undefined)
        writeNumber(lexer, writer, type as ScalarType) // only scalars are packed
      else if (!isMessage(type)) this.#text(spec, true)
      else if (isItem) this.#item(number, type, depth)
      else this.#child(number, type, depth)
      this.#indexes[depth]++
    } while (lexer.nextElement(false))
    if (packed !== undefined) writer.close(packed)
  }

  /** One that is JSON but no item of this kind is left out, and the reader goes on behind it. */
  #item(number: number, type: MessageName, depth: number): void {
    const { lexer, writer } = this
    const { pos } = lexer
    const state = writer.save()
    this.#isInItem = true
    try {
      this.#child(number, type, depth)
    } catch (thrown) {
      if (!(thrown instanceof SidecarError) || thrown.code !== 'MALFORMED') throw thrown
      writer.restore(state)
      lexer.pos = pos
      lexer.skip() // throws where it is no JSON either
      this.#reject(thrown instanceof ItemFault ? thrown.reason : 'INVALID_JSON')
      this.#path.length = depth + 1
    } finally {
      this.#isInItem = false
    }
  }

  #reject(reason: FaultReason): void {
    const faults = this.#faults!
    faults.reject(reason, faults.rejected.size === 0 ? this.where : '')
    if (faults.rejectedItems > ITEMS_PER_REQUEST_MAX)
      throw new SidecarError('TOO_LARGE', 'too many items cannot be read')
  }

  #child(number: number, type: MessageName, depth: number): void {
    const mark = this.writer.open(number)
    this.message(type, depth + 1)
    this.writer.close(mark)
  }

  #singular(field: JsonField, depth: number): void {
    const { number, type } = field.spec
    if (isMessage(type)) {
      this.#child(number, type, depth)
      return
    }
    const wireType = wireTypeOf(type)
    if (wireType === Wire.LENGTH) {
      this.#text(field.spec, field.hasPresence)
      return
    }
    scratch.clear()
    const isZero = writeNumber(this.lexer, scratch, type)
    if (isZero && !field.hasPresence) return
    this.writer.tag(number, wireType)
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
