// Bytes of which nobody knows whether they are a message: read without throwing, since most are not.
import { Wire } from './schema.ts'

const VARINT_BYTES_MAX = 10

/** A field, overwritten by the next `fieldIn`. */
const field = { wireType: 0, start: 0, end: 0 }
let value = 0

/** The field at `pos` of what may be a message that ends at `end`; `undefined` when it is none. */
export function fieldIn(buf: Uint8Array, pos: number, end: number): typeof field | undefined {
  const payload = takeVarint(buf, pos, end)
  if (payload < 0 || value < 8 || value > 0xffff_ffff) return undefined
  field.wireType = value & 7
  field.start = payload
  field.end = payloadEnd(buf, payload, end)
  if (field.wireType === Wire.LENGTH) field.start = field.end - value
  return field.end < 0 || field.end > end ? undefined : field
}

/** End of the payload, or -1. Of one with a length, `value` is that. */
function payloadEnd(buf: Uint8Array, pos: number, end: number): number {
  switch (field.wireType) {
    case Wire.VARINT:
      return takeVarint(buf, pos, end)
    case Wire.FIXED64:
      return pos + 8
    case Wire.FIXED32:
      return pos + 4
    case Wire.LENGTH: {
      const start = takeVarint(buf, pos, end)
      return start < 0 ? -1 : start + value
    }
    default:
      return -1
  }
}

/** Position after the varint at `pos`, or -1; sets `value`, which is exact below 2^53. */
function takeVarint(buf: Uint8Array, pos: number, end: number): number {
  value = 0
  for (let i = 0, scale = 1; i < VARINT_BYTES_MAX && pos < end; i++, scale *= 128) {
    const byte = buf[pos++]
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return pos
  }
  return -1
}
