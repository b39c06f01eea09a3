// OTLP/JSON to protobuf (OTLP 1.11, "JSON Protobuf Encoding"), as it is read. Deviations from ProtoJSON that OTLP makes:
// ids are hex, enums are integers only, keys are lowerCamelCase only. Unknown keys are ignored, null is absence. What
// JSON parsers disagree about is refused: a key given twice, two values in one AnyValue.
import { SidecarError } from '../base/errors.ts'
import { JsonLexer } from './json-lexer.ts'
import { hexDigit } from './json-string.ts'
import { isMessage, MESSAGES } from './messages.ts'
import type { Signal } from './otlp.ts'
import { malformed } from './reader.ts'
import {
  type FieldSpec,
  MESSAGE_DEPTH_MAX,
  type MessageName,
  REQUEST_OF,
  type ScalarType,
  Wire,
  wireTypeOf,
} from './schema.ts'
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
  const lexer = new JsonLexer(body)
  const writer = new Writer(body.length >> 1)
  readMessage(lexer, writer, REQUEST_OF[signal], 0)
  lexer.expectEnd()
  return writer.finish()
}

function readMessage(lexer: JsonLexer, writer: Writer, name: MessageName, depth: number): void {
  if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'messages are nested too deep')
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
    if ((seen & field.bit) !== 0) throw malformed('json field is repeated')
    seen |= field.bit
    if (field.spec.repeated) readRepeated(lexer, writer, field.spec, depth)
    else readSingular(lexer, writer, field, depth)
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

function readRepeated(lexer: JsonLexer, writer: Writer, spec: FieldSpec, depth: number): void {
  lexer.beginArray()
  if (!lexer.nextElement(true)) return
  const { number, type } = spec
  const packed = wireTypeOf(type) === Wire.LENGTH ? undefined : writer.open(number)
  do {
    if (packed !== undefined)
      writeNumber(lexer, writer, type as ScalarType) // only scalars are packed
    else if (isMessage(type)) readChild(lexer, writer, number, type, depth)
    else writeText(lexer, writer, number, type, true)
  } while (lexer.nextElement(false))
  if (packed !== undefined) writer.close(packed)
}

function readChild(lexer: JsonLexer, writer: Writer, number: number, type: MessageName, depth: number): void {
  const mark = writer.open(number)
  readMessage(lexer, writer, type, depth + 1)
  writer.close(mark)
}

function readSingular(lexer: JsonLexer, writer: Writer, field: JsonField, depth: number): void {
  const { number, type } = field.spec
  if (isMessage(type)) {
    readChild(lexer, writer, number, type, depth)
    return
  }
  const wireType = wireTypeOf(type)
  if (wireType === Wire.LENGTH) {
    writeText(lexer, writer, number, type, field.hasPresence)
    return
  }
  scratch.clear()
  const isZero = writeNumber(lexer, scratch, type)
  if (isZero && !field.hasPresence) return
  writer.tag(number, wireType)
  writer.raw(scratch.finish())
}

/** Holds one number until it is known whether it is written. */
const scratch = new Writer()

function writeText(
  lexer: JsonLexer,
  writer: Writer,
  number: number,
  type: ScalarType,
  hasPresence: boolean,
): void {
  lexer.takeString()
  let bytes = lexer.text.subarray(lexer.start, lexer.end)
  if (type === 'traceId' || type === 'spanId') bytes = fromHex(bytes)
  else if (type === 'bytes') bytes = fromBase64(lexer.stringText())
  if (bytes.length > 0 || hasPresence) writer.bytes(number, bytes)
}

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
  if (digits.length % 2 !== 0) throw malformed('id is no hex')
  const out = new Uint8Array(digits.length / 2)
  for (let i = 0; i < out.length; i++) {
    const high = hexDigit(digits[2 * i])
    const low = hexDigit(digits[2 * i + 1])
    if (high < 0 || low < 0) throw malformed('id is no hex')
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
