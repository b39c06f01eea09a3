// Stepping through the fields of a message on the hot path: one constant object that is overwritten at each step, so
// nothing is allocated per field. Read it into locals before anything else steps. Bet: reader.ts's `Fields` costs an
// object per message and reads each varint twice; bench/evidence shows the difference.
import { fieldEnd, malformed, readLength, readTag, varintEnd } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'

/** The field that `nextField` last stood on: its tag, where the tag is, and [start, end) of its payload. */
export const field = { tag: 0, fieldStart: 0, start: 0, end: 0 }

/** Steps over the field at `pos` and returns where the next begins. Throws MALFORMED on overruns and groups. */
export function nextField(buf: Uint8Array, pos: number, end: number): number {
  field.fieldStart = pos
  let tag = buf[pos]
  if (tag < 0x80) {
    if (tag < 8) throw malformed('field number 0')
    pos++
  } else {
    tag = readTag(buf, pos, end)
    pos = varintEnd(buf, pos, end)
  }
  field.tag = tag
  let stop: number
  if ((tag & 7) === Wire.LENGTH) {
    const length = buf[pos]
    if (pos < end && length < 0x80) {
      pos++
      stop = pos + length
    } else {
      stop = readLength(buf, pos, end)
      pos = varintEnd(buf, pos, end)
      stop += pos
    }
    if (stop > end) throw malformed('field overruns its parent')
  } else {
    stop = fieldEnd(buf, pos, end, tag & 7)
  }
  field.start = pos
  field.end = stop
  return stop
}
