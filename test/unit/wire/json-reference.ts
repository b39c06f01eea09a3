// The same JSON as `src/wire/json-write.ts` writes, in one recursion that holds all of it: what the writer is compared with.
import { SidecarError } from '../../../src/base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../../../src/base/limits.ts'
import { isMessage, MESSAGES } from '../../../src/wire/messages.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
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
} from '../../../src/wire/reader.ts'
import {
  type FieldSpec,
  type MessageName,
  REQUEST_OF,
  type ScalarType,
  Wire,
  wireTypeOf,
} from '../../../src/wire/schema.ts'

/** Offsets per occurrence of a field: start and end of its payload, and 1 when that is packed. */
const SPOT = 3

export function referenceJson(body: Uint8Array, signal: Signal): string {
  const buf = Buffer.from(body.buffer, body.byteOffset, body.length)
  return messageJson(buf, 0, buf.length, REQUEST_OF[signal], 0)
}

function messageJson(buf: Buffer, start: number, end: number, name: MessageName, depth: number): string {
  if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'messages are nested too deep')
  const { fields } = MESSAGES[name]
  const spots = locateFields(buf, start, end, fields)
  let json = ''
  for (let i = 0; i < fields.length; i++) {
    const value = fieldJson(buf, spots[i], fields[i], depth)
    if (value === undefined) continue
    json += `${json === '' ? '' : ','}"${fields[i].name}":${value}`
  }
  return `{${json}}`
}

/** Where each field of a message stands; the fields of one message may come in any order. */
function locateFields(
  buf: Buffer,
  start: number,
  end: number,
  fields: readonly FieldSpec[],
): (number[] | undefined)[] {
  const spots: (number[] | undefined)[] = new Array(fields.length).fill(undefined)
  const cursor = new Fields(buf, start, end)
  while (cursor.next()) {
    const index = fields.findIndex((field) => field.number === cursor.field)
    if (index < 0) continue
    const isPacked = cursor.wireType !== wireTypeOf(fields[index].type)
    if (isPacked && !(fields[index].repeated && cursor.wireType === Wire.LENGTH)) {
      throw malformed('field has the wrong wire type')
    }
    const spot = spots[index] ?? []
    spot.push(cursor.start, cursor.end, isPacked ? 1 : 0)
    spots[index] = spot
  }
  return spots
}

/** The value of one field, or `undefined` when the Collector leaves it out. */
function fieldJson(
  buf: Buffer,
  spots: number[] | undefined,
  spec: FieldSpec,
  depth: number,
): string | undefined {
  const { type } = spec
  if (spots === undefined)
    return spec.always && isMessage(type) ? messageJson(buf, 0, 0, type, depth + 1) : undefined
  if (spec.repeated) return repeatedJson(buf, spots, type, depth)
  // Of several values of a singular field the last one counts; `scan` refuses such a request.
  const start = spots[spots.length - SPOT]
  const end = spots[spots.length - SPOT + 1]
  if (isMessage(type)) return messageJson(buf, start, end, type, depth + 1)
  const hasPresence = spec.oneof !== undefined || spec.optional === true
  return hasPresence || !isDefault(buf, start, end, type) ? scalarJson(buf, start, end, type) : undefined
}

function repeatedJson(
  buf: Buffer,
  spots: number[],
  type: ScalarType | MessageName,
  depth: number,
): string | undefined {
  let json = ''
  for (let i = 0; i < spots.length; i += SPOT) {
    const start = spots[i]
    const end = spots[i + 1]
    const item = isMessage(type)
      ? messageJson(buf, start, end, type, depth + 1)
      : spots[i + 2] === 1
        ? packedJson(buf, start, end, type)
        : scalarJson(buf, start, end, type)
    if (item !== '') json += `${json === '' ? '' : ','}${item}`
  }
  return json === '' ? undefined : `[${json}]`
}

function packedJson(buf: Buffer, start: number, end: number, type: ScalarType): string {
  let json = ''
  for (let pos = start; pos < end; ) {
    const next = fieldEnd(buf, pos, end, wireTypeOf(type))
    json += `${json === '' ? '' : ','}${scalarJson(buf, pos, next, type)}`
    pos = next
  }
  return json
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

function scalarJson(buf: Buffer, start: number, end: number, type: ScalarType): string {
  switch (type) {
    case 'string':
      return quoted(buf.toString('utf8', start, end))
    case 'spanId':
    case 'traceId':
      return `"${buf.toString('hex', start, end)}"`
    case 'bytes':
      return `"${buf.toString('base64', start, end)}"`
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

const SPECIAL = /["\\\u0000-\u001f]/g

/** A JSON string with the escapes that the Collector uses: `\u0008` where JavaScript would write `\b`. */
function quoted(text: string): string {
  return `"${text.replace(SPECIAL, escaped)}"`
}

function escaped(char: string): string {
  switch (char) {
    case '"':
    case '\\':
      return `\\${char}`
    case '\n':
      return '\\n'
    case '\r':
      return '\\r'
    case '\t':
      return '\\t'
    default:
      return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  }
}
