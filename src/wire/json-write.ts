// Protobuf to OTLP/JSON, as the Collector writes it (pdata 1.65, what its file exporter uses): fields in the order of
// their definition, zero and empty ones left out, 64-bit integers as strings, ids as lower-case hex, bytes as base64,
// enums as integers, and the messages that are no pointers in Go always there. Long since every kind of value is written
// by the one state machine that can stand still inside of it.
//
// JSON of a request can be many times its size, so it is never held whole: the writer stands still when the caller's
// buffer is full and goes on from there. What it remembers is where it is in each message above it, which their depth
// bounds. Fields of one message may come in any order, so a message is passed over once to see where each field is, and
// once more for each repeated one: linear, without a list of places that a message of empty fields could blow up.
import { constants, isUtf8 } from 'node:buffer'
import { SidecarError } from '../base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../base/limits.ts'
import { isMessage, MESSAGES } from './messages.ts'
import type { Signal } from './otlp.ts'
import {
  Fields,
  fieldEnd,
  malformed,
  readDouble,
  readFixed32,
  readFixed64,
  readInt32,
  readInt64,
  readUint64,
} from './reader.ts'
import { type FieldSpec, type MessageName, REQUEST_OF, type ScalarType, Wire, wireTypeOf } from './schema.ts'

/** Room that one step may need: a field's name, punctuation and a number. */
const STEP_BYTES = 128
/** The longest escape, a closing quote, and a byte to spare. */
const ESCAPE_BYTES = 8
const PIECE_BYTES = 64 * 1024

const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const HEX = Buffer.from('0123456789abcdef')

/** A message as the writer needs it: by index of the field, and by its number. */
interface CompiledMessage {
  readonly fields: readonly FieldSpec[]
  /** `"name":` */
  readonly labels: readonly Buffer[]
  readonly wireTypes: readonly number[]
  /** Index of the field by its number, -1 for those that OTLP does not have. */
  readonly indexes: Int8Array
}

const FIELD_NUMBER_MAX = 31
const compiled = new Map<MessageName, CompiledMessage>()

function compile(name: MessageName): CompiledMessage {
  const known = compiled.get(name)
  if (known) return known
  const { fields } = MESSAGES[name]
  const indexes = new Int8Array(FIELD_NUMBER_MAX + 1).fill(-1)
  for (const [index, { number }] of fields.entries()) indexes[number] = index
  const made = {
    fields,
    labels: fields.map((field) => Buffer.from(`"${field.name}":`)),
    wireTypes: fields.map(({ type }) => wireTypeOf(type)),
    indexes,
  }
  compiled.set(name, made)
  return made
}

/** How far one message is. */
class Level {
  message: CompiledMessage = compile('AnyValue')
  index = -1
  isFirst = true
  isInArray = false
  /** Whether the array has an item yet; one without is left out with its name. */
  hasItems = false
  readonly cursor: Fields
  /** Of each field: a repeated one's first tag and last end, or the last payload of another; -1 when absent. */
  readonly spots = new Int32Array(2 * (FIELD_NUMBER_MAX + 1))

  constructor(buf: Uint8Array) {
    this.cursor = new Fields(buf)
  }

  open(message: CompiledMessage, start: number, end: number): void {
    this.message = message
    this.index = -1
    this.isFirst = true
    this.isInArray = false
    this.#locate(start, end)
  }

  #locate(start: number, end: number): void {
    const { cursor, spots } = this
    const { fields, indexes, wireTypes } = this.message
    spots.fill(-1, 0, 2 * fields.length)
    cursor.reset(start, end)
    while (cursor.next()) {
      const index = cursor.field > FIELD_NUMBER_MAX ? -1 : indexes[cursor.field]
      if (index < 0) continue
      const { repeated } = fields[index]
      if (cursor.wireType !== wireTypes[index] && !(repeated && cursor.wireType === Wire.LENGTH)) {
        throw malformed('field has the wrong wire type')
      }
      // Of several values of a singular field the last one counts; `scan` refuses such a request.
      if (!repeated) spots[2 * index] = cursor.start
      else if (spots[2 * index] < 0) spots[2 * index] = cursor.fieldStart
      spots[2 * index + 1] = cursor.end
    }
  }
}

type TextForm = 'none' | 'utf8' | 'hex' | 'base64'

/**
 * One encoded Export request as one line of OTLP/JSON, without a line end, a piece at a time. Bytes of a string that are
 * no UTF-8 become U+FFFD: JSON cannot carry them. Unknown fields are left out. `body` should have passed `scan` and must
 * not change; `fill` throws MALFORMED and TOO_DEEP.
 */
export class JsonWriter {
  readonly #buf: Buffer
  readonly #levels: Level[] = []
  #depth = -1
  #isStarted = false
  readonly #root: MessageName
  // A text or a packed field that the buffer had no room for.
  #form: TextForm = 'none'
  #textPos = 0
  #textEnd = 0
  /** Up to here the text is known to be UTF-8. */
  #validEnd = 0
  #packedPos = 0
  #packedEnd = 0
  #packedType: ScalarType = 'fixed64'

  constructor(body: Uint8Array, signal: Signal) {
    this.#buf = Buffer.from(body.buffer, body.byteOffset, body.length)
    this.#root = REQUEST_OF[signal]
  }

  /** True when everything has been written. */
  get isDone(): boolean {
    return this.#isStarted && this.#depth < 0
  }

  /** Writes from `at` until `out` is full or nothing is left; returns where it stopped. `out` has 256 bytes or more. */
  fill(out: Buffer, at: number): number {
    let pos = at
    while (!this.isDone && pos + STEP_BYTES <= out.length) {
      if (this.#form !== 'none') pos = this.#text(out, pos)
      else if (this.#packedPos < this.#packedEnd) pos = this.#packedItem(out, pos)
      else if (!this.#isStarted) pos = this.#start(out, pos)
      else pos = this.#step(out, pos)
    }
    return pos
  }

  #start(out: Buffer, at: number): number {
    this.#isStarted = true
    return this.#open(out, at, this.#root, 0, this.#buf.length)
  }

  #open(out: Buffer, at: number, name: MessageName, start: number, end: number): number {
    this.#depth++
    if (this.#depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'messages are nested too deep')
    let level = this.#levels[this.#depth]
    if (!level) {
      level = new Level(this.#buf)
      this.#levels.push(level)
    }
    level.open(compile(name), start, end)
    out[at] = OPEN_OBJECT
    return at + 1
  }

  /** One field or item of the innermost message, or its end. */
  #step(out: Buffer, at: number): number {
    const level = this.#levels[this.#depth]
    if (level.isInArray) return this.#item(out, at, level)
    level.index++
    const { index } = level
    const { fields } = level.message
    if (index >= fields.length) {
      this.#depth--
      out[at] = CLOSE_OBJECT
      return at + 1
    }
    const spec = fields[index]
    const { type } = spec
    const start = level.spots[2 * index]
    const end = level.spots[2 * index + 1]
    if (start < 0) {
      if (!spec.always || !isMessage(type)) return at
      return this.#open(out, label(out, at, level), type, 0, 0)
    }
    if (spec.repeated) {
      level.isInArray = true
      level.hasItems = false
      level.cursor.reset(start, end)
      return at
    }
    if (isMessage(type)) return this.#open(out, label(out, at, level), type, start, end)
    const hasPresence = spec.oneof !== undefined || spec.optional === true
    if (!hasPresence && isDefault(this.#buf, start, end, type)) return at
    return this.#scalar(out, label(out, at, level), start, end, type)
  }

  #item(out: Buffer, at: number, level: Level): number {
    const { cursor, index, message } = level
    const { number, type } = message.fields[index]
    while (cursor.next()) {
      if (cursor.field !== number) continue
      const isPacked = cursor.wireType !== message.wireTypes[index]
      if (isPacked && cursor.start === cursor.end) continue
      let pos = at
      if (level.hasItems) out[pos++] = COMMA
      else {
        pos = label(out, pos, level)
        out[pos++] = OPEN_ARRAY
        level.hasItems = true
      }
      if (isMessage(type)) return this.#open(out, pos, type, cursor.start, cursor.end)
      if (!isPacked) return this.#scalar(out, pos, cursor.start, cursor.end, type)
      this.#packedPos = cursor.start
      this.#packedEnd = cursor.end
      this.#packedType = type
      return this.#packedValue(out, pos)
    }
    level.isInArray = false
    if (!level.hasItems) return at
    out[at] = CLOSE_ARRAY
    return at + 1
  }

  #packedItem(out: Buffer, at: number): number {
    out[at] = COMMA
    return this.#packedValue(out, at + 1)
  }

  #packedValue(out: Buffer, at: number): number {
    const type = this.#packedType
    const start = this.#packedPos
    this.#packedPos = fieldEnd(this.#buf, start, this.#packedEnd, wireTypeOf(type))
    return this.#scalar(out, at, start, this.#packedPos, type)
  }

  #scalar(out: Buffer, at: number, start: number, end: number, type: ScalarType): number {
    if (type !== 'string' && type !== 'traceId' && type !== 'spanId' && type !== 'bytes')
      return at + out.write(numberJson(this.#buf, start, end, type), at, 'latin1')
    this.#form = type === 'string' ? 'utf8' : type === 'bytes' ? 'base64' : 'hex'
    this.#textPos = start
    this.#textEnd = end
    this.#validEnd = start
    out[at] = QUOTE
    return at + 1
  }

  /** As much of the text as there is room for, and its closing quote when that was the rest. */
  #text(out: Buffer, at: number): number {
    let pos = at
    if (this.#form === 'utf8') pos = this.#utf8(out, pos)
    else if (this.#form === 'hex') pos = this.#hex(out, pos)
    else pos = this.#base64(out, pos)
    if (this.#textPos < this.#textEnd) return pos
    this.#form = 'none'
    out[pos] = QUOTE
    return pos + 1
  }

  #utf8(out: Buffer, at: number): number {
    const buf = this.#buf
    const end = this.#textEnd
    const limit = out.length - ESCAPE_BYTES
    let from = this.#textPos
    let to = at
    while (from < end && to < limit) {
      const byte = buf[from]
      if (byte >= 0x80 && from >= this.#validEnd) {
        this.#textPos = from
        to = this.#checked(out, to, limit)
        if (this.#textPos === from && this.#validEnd <= from) break
        from = this.#textPos
        continue
      }
      to = writeEscaped(out, to, byte)
      from++
    }
    this.#textPos = from
    return to
  }

  /** Beyond ASCII: finds out how far the text is UTF-8, or writes a piece of it that is not. */
  #checked(out: Buffer, at: number, limit: number): number {
    const start = this.#textPos
    // A control character takes six bytes, a byte that is no UTF-8 three.
    const room = Math.floor((limit - at) / 6)
    if (room < 4) return at
    const stop = sequenceStart(this.#buf, Math.min(this.#textEnd, start + room), this.#textEnd)
    if (isUtf8(this.#buf.subarray(start, stop))) {
      this.#validEnd = stop
      return at
    }
    let to = at
    for (const byte of Buffer.from(this.#buf.toString('utf8', start, stop))) to = writeEscaped(out, to, byte)
    this.#textPos = stop
    return to
  }

  #hex(out: Buffer, at: number): number {
    let to = at
    while (this.#textPos < this.#textEnd && to < out.length - ESCAPE_BYTES) {
      const byte = this.#buf[this.#textPos++]
      out[to++] = HEX[byte >> 4]
      out[to++] = HEX[byte & 0x0f]
    }
    return to
  }

  #base64(out: Buffer, at: number): number {
    const start = this.#textPos
    // Whole groups of three bytes, so that pieces join to what the whole would be.
    const room = Math.floor((out.length - ESCAPE_BYTES - at) / 4) * 3
    const stop = Math.min(this.#textEnd, start + room)
    this.#textPos = stop
    return at + out.write(this.#buf.toString('base64', start, stop), at, 'latin1')
  }
}

/** The same as one text. Throws MALFORMED, TOO_DEEP, and TOO_LARGE when it would be longer than a string may be. */
export function protobufToJson(body: Uint8Array, signal: Signal): string {
  const writer = new JsonWriter(body, signal)
  const pieces: Buffer[] = []
  let bytes = 0
  while (!writer.isDone) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const length = writer.fill(piece, 0)
    pieces.push(piece.subarray(0, length))
    bytes += length
    // Empty messages of two bytes grow fifteen-fold, past what V8 allows for a string.
    if (bytes > constants.MAX_STRING_LENGTH)
      throw new SidecarError('TOO_LARGE', 'request is too large as json')
  }
  return Buffer.concat(pieces, bytes).toString('utf8')
}

/** The comma and the name of the field that the level is at. */
function label(out: Buffer, at: number, level: Level): number {
  let pos = at
  if (!level.isFirst) out[pos++] = COMMA
  level.isFirst = false
  const name = level.message.labels[level.index]
  for (let i = 0; i < name.length; i++) out[pos++] = name[i]
  return pos
}

/** The escapes that the Collector uses: `\u0008` where JavaScript would write `\b`. */
function writeEscaped(out: Buffer, at: number, byte: number): number {
  if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
    out[at] = byte
    return at + 1
  }
  out[at] = BACKSLASH
  const short = byte === 0x0a ? 0x6e : byte === 0x0d ? 0x72 : byte === 0x09 ? 0x74 : byte >= 0x20 ? byte : 0
  if (short !== 0) {
    out[at + 1] = short
    return at + 2
  }
  out[at + 1] = LOWER_U
  out[at + 2] = HEX[0]
  out[at + 3] = HEX[0]
  out[at + 4] = HEX[byte >> 4]
  out[at + 5] = HEX[byte & 0x0f]
  return at + 6
}

/**
 * The place at or up to three bytes before `stop` where a text can be cut without a change of what it decodes to: before
 * a byte that continues nothing. Four continuation bytes in a row belong to no sequence together, so `stop` itself will do.
 */
function sequenceStart(buf: Uint8Array, stop: number, end: number): number {
  if (stop === end) return stop
  for (let back = 0; back < 4; back++) if ((buf[stop - back] & 0xc0) !== 0x80) return stop - back
  return stop
}

/** Whether a scalar is zero or empty; an id also when it is all zeros. */
function isDefault(buf: Buffer, start: number, end: number, type: ScalarType): boolean {
  if (type === 'string' || type === 'bytes') return start === end
  if (type === 'double') return readDouble(buf, start) === 0
  // What is left is zero exactly when its payload is, apart from the continuation bits of a varint.
  const mask = wireTypeOf(type) === Wire.VARINT ? 0x7f : 0xff
  for (let i = start; i < end; i++) if ((buf[i] & mask) !== 0) return false
  return true
}

type NumberType = Exclude<ScalarType, 'string' | 'traceId' | 'spanId' | 'bytes'>

function numberJson(buf: Buffer, start: number, end: number, type: NumberType): string {
  switch (type) {
    case 'bool':
      return readUint64(buf, start, end) === 0n ? 'false' : 'true'
    case 'double':
      return doubleJson(readDouble(buf, start))
    case 'enum':
    case 'int32':
      return String(readInt32(buf, start, end))
    case 'sint32': {
      const zigzag = readInt32(buf, start, end)
      return String((zigzag >>> 1) ^ -(zigzag & 1))
    }
    case 'uint32':
      return String(readInt32(buf, start, end) >>> 0)
    case 'fixed32':
      return String(readFixed32(buf, start))
    case 'fixed64':
      return `"${readFixed64(buf, start)}"`
    case 'sfixed64':
      return `"${BigInt.asIntN(64, readFixed64(buf, start))}"`
    case 'int64':
      return `"${readInt64(buf, start, end)}"`
    case 'uint64':
      return `"${readUint64(buf, start, end)}"`
  }
}

const SHORT_EXPONENT = /e([+-])([0-9])$/

/** Go and JavaScript write the same shortest digits, Go with two of them in an exponent. What is no number is a string. */
function doubleJson(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`
  return Object.is(value, -0) ? '-0' : String(value).replace(SHORT_EXPONENT, 'e$10$2')
}
