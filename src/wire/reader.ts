// Reading protobuf, strictly. Where the parsers of different languages disagree about a byte string, an attacker can
// show one meaning to us and another to the next hop, so we accept only what all of them read alike: tags and lengths
// of at most five bytes, varints of at most 64 bits, no groups, no field number 0, and frames that end where they said.
import { SidecarError } from '../base/errors.ts'
import { Wire } from './schema.ts'

/** Largest length of a protobuf field, bytes; every runtime refuses 2 GiB and more. */
const LENGTH_MAX = 0x7fff_ffff

export function malformed(message: string): SidecarError {
  return new SidecarError('MALFORMED', message)
}

/** Position after the varint at `pos`. Throws MALFORMED when it is cut off or longer than 64 bits. */
export function varintEnd(buf: Uint8Array, pos: number, end: number): number {
  const last = pos + 9
  for (let i = pos; i < end; i++) {
    if (buf[i] < 0x80) {
      if (i === last && buf[i] > 1) throw malformed('varint over 64 bits')
      return i + 1
    }
    if (i === last) throw malformed('varint over 64 bits')
  }
  throw malformed('varint is cut off')
}

/** The tag at `pos`, unsigned. Throws MALFORMED over 32 bits, for field number 0 and for groups. */
export function readTag(buf: Uint8Array, pos: number, end: number): number {
  const tag = readVarint32(buf, pos, end)
  if (tag >>> 3 === 0) throw malformed('field number 0')
  return tag
}

/** The length at `pos`. Throws MALFORMED when it is over 2 GiB; whether it fits its parent is the caller's check. */
export function readLength(buf: Uint8Array, pos: number, end: number): number {
  const length = readVarint32(buf, pos, end)
  if (length > LENGTH_MAX) throw malformed('length over 2 GiB')
  return length
}

function readVarint32(buf: Uint8Array, pos: number, end: number): number {
  let value = 0
  for (let i = 0; i < 5; i++) {
    if (pos + i >= end) throw malformed('varint is cut off')
    const byte = buf[pos + i]
    if (i === 4 && byte > 0x0f) break
    value = (value | ((byte & 0x7f) << (7 * i))) >>> 0
    if (byte < 0x80) return value
  }
  throw malformed('tag or length over 32 bits')
}

/** Position after the field whose payload begins at `pos`. Throws MALFORMED for groups, unknown types and overruns. */
export function fieldEnd(buf: Uint8Array, pos: number, end: number, wireType: number): number {
  let next: number
  switch (wireType) {
    case Wire.VARINT:
      return varintEnd(buf, pos, end)
    case Wire.FIXED64:
      next = pos + 8
      break
    case Wire.FIXED32:
      next = pos + 4
      break
    case Wire.LENGTH:
      next = contentStart(buf, pos, end) + readLength(buf, pos, end)
      break
    default:
      throw malformed('wire type is a group or unknown')
  }
  if (next > end) throw malformed('field overruns its parent')
  return next
}

/** Position after the length varint at `pos`: where the content begins. */
export function contentStart(buf: Uint8Array, pos: number, end: number): number {
  return buf[pos] < 0x80 && pos < end ? pos + 1 : varintEnd(buf, pos, end)
}

/** The varint at `pos` as an unsigned 64-bit integer. */
export function readUint64(buf: Uint8Array, pos: number, end: number): bigint {
  const stop = varintEnd(buf, pos, end)
  let low = 0
  let high = 0n
  let shift = 0
  for (let i = pos; i < stop; i++, shift += 7) {
    if (shift < 28) low |= (buf[i] & 0x7f) << shift
    else high |= BigInt(buf[i] & 0x7f) << BigInt(shift)
  }
  return high | BigInt(low)
}

/** The varint at `pos` as a signed 64-bit integer. */
export function readInt64(buf: Uint8Array, pos: number, end: number): bigint {
  return BigInt.asIntN(64, readUint64(buf, pos, end))
}

/** The varint at `pos` as an int32 or enum: the low 32 bits, as every runtime takes them. */
export function readInt32(buf: Uint8Array, pos: number, end: number): number {
  const stop = varintEnd(buf, pos, end)
  let value = 0
  for (let i = pos, shift = 0; i < stop && shift < 32; i++, shift += 7) value |= (buf[i] & 0x7f) << shift
  return value
}

/** Eight bytes at `pos`, little-endian, unsigned. The caller has checked that they are there. */
export function readFixed64(buf: Uint8Array, pos: number): bigint {
  return (BigInt(readFixed32(buf, pos + 4)) << 32n) | BigInt(readFixed32(buf, pos))
}

/** Four bytes at `pos`, little-endian, unsigned. The caller has checked that they are there. */
export function readFixed32(buf: Uint8Array, pos: number): number {
  return (buf[pos] | (buf[pos + 1] << 8) | (buf[pos + 2] << 16) | (buf[pos + 3] << 24)) >>> 0
}

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

/** Eight bytes at `pos` as a double. The caller has checked that they are there. */
export function readDouble(buf: Uint8Array, pos: number): number {
  for (let i = 0; i < 8; i++) floatBytes[i] = buf[pos + i]
  return float[0]
}

/**
 * A cursor over the fields of one message, for code off the hot path. After `next()` returned true, `field`,
 * `wireType` and [start, end) describe a field; [start, end) is its payload without tag and length.
 */
export class Fields {
  readonly buf: Uint8Array
  #next: number
  #limit: number
  field = 0
  wireType = 0
  /** Where the tag is. */
  fieldStart = 0
  /** Where the length is, or the payload of a field without one. */
  lengthAt = 0
  start = 0
  end = 0

  constructor(buf: Uint8Array, start = 0, end = buf.length) {
    this.buf = buf
    this.#next = start
    this.#limit = end
  }

  /** Goes on with the fields of [start, end). */
  reset(start: number, end: number): void {
    this.#next = start
    this.#limit = end
  }

  /** False at the end of the message; throws MALFORMED on a field that no runtime or not every runtime accepts. */
  next(): boolean {
    if (this.#next >= this.#limit) return false
    this.fieldStart = this.#next
    const tag = readTag(this.buf, this.#next, this.#limit)
    const at = varintEnd(this.buf, this.#next, this.#limit)
    this.field = tag >>> 3
    this.wireType = tag & 7
    this.lengthAt = at
    this.#next = fieldEnd(this.buf, at, this.#limit, this.wireType)
    this.start = this.wireType === Wire.LENGTH ? contentStart(this.buf, at, this.#limit) : at
    this.end = this.#next
    return true
  }

  /** Throws MALFORMED unless the field has this wire type. */
  expect(wireType: number): void {
    if (this.wireType !== wireType) throw malformed('field has the wrong wire type')
  }
}
