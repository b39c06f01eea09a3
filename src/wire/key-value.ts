// Key and value of a KeyValue in any order, between any unknown fields: the shape that is rare, so off the fast path.
import { ABSENT_KEY, ABSENT_VALUE, type Edits } from './edits.ts'
import { contentStart, fieldEnd, malformed, readTag, varintEnd } from './reader.ts'
import { messageIndex, once, SCAN_TABLE, SLOTS, WIRE_SHIFT } from './scan-table.ts'

export const KEY_TAG = 0x0a
export const VALUE_TAG = 0x12

const KEY_VALUE = messageIndex('KeyValue')

/** Result of `locate`, overwritten by the next call: an object per attribute would cost more than the walk. */
export const located = {
  keyLengthAt: 0,
  keyStart: 0,
  keyEnd: 0,
  valueLengthAt: 0,
  valueStart: 0,
  valueEnd: 0,
  /** Whether there is a field beside them that the table does not know. */
  hasUnknown: false,
}

/** Finds key and value of a KeyValue in whatever order and between whatever unknown fields they stand. */
export function locate(buf: Uint8Array, start: number, end: number): void {
  // A key or value that is not there is an empty range, at the start and at the end, where an edit still creates it.
  located.keyLengthAt = ABSENT_KEY
  located.keyStart = located.keyEnd = start
  located.valueLengthAt = ABSENT_VALUE
  located.valueStart = located.valueEnd = end
  located.hasUnknown = false
  let seen = 0
  let pos = start
  while (pos < end) {
    const tag = readTag(buf, pos, end)
    const lengthAt = varintEnd(buf, pos, end)
    pos = fieldEnd(buf, lengthAt, end, tag & 7)
    const entry = tag < SLOTS * 8 ? SCAN_TABLE[KEY_VALUE * SLOTS + (tag >>> 3)] : 0
    if (entry === 0) {
      located.hasUnknown = true
      continue
    }
    if (((entry >>> WIRE_SHIFT) & 7) !== (tag & 7)) throw malformed('field has the wrong wire type')
    seen = once(seen, entry)
    if (tag === KEY_TAG) {
      located.keyLengthAt = lengthAt
      located.keyStart = contentStart(buf, lengthAt, end)
      located.keyEnd = pos
    } else if (tag === VALUE_TAG) {
      located.valueLengthAt = lengthAt
      located.valueStart = contentStart(buf, lengthAt, end)
      located.valueEnd = pos
    }
  }
}

/** Opens key and value. The last one opened gets the edits at a place that both touch: a value that is not there. */
export function openLocated(edits: Edits): void {
  const isAbsent = located.valueLengthAt === ABSENT_VALUE
  if (isAbsent) edits.openFrame(located.keyLengthAt, located.keyStart, located.keyEnd)
  edits.openFrame(located.valueLengthAt, located.valueStart, located.valueEnd)
  if (!isAbsent) edits.openFrame(located.keyLengthAt, located.keyStart, located.keyEnd)
}
