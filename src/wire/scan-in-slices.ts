// The scan of a large request, in slices: between two of them others have their turn. Whatever fits a slice is walked by
// `scan.ts` itself; only messages, attributes and lists that are longer are taken apart here, down to pieces that fit. So
// both hear and refuse the same, which a property test holds.
import { SidecarError } from '../base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../base/limits.ts'
import type { Edits } from './edits.ts'
import { locate, located, openLocated } from './key-value.ts'
import { type Frame, type Place, type Signal, ValueType } from './otlp.ts'
import { contentStart, fieldEnd, malformed, readTag, varintEnd } from './reader.ts'
import { Scan, type ScanBounds, type Visitor } from './scan.ts'
import {
  ARGUMENT_SHIFT,
  FRAME_OF,
  messageIndex,
  Op,
  once,
  SCAN_TABLE,
  SLOTS,
  WIRE_SHIFT,
} from './scan-table.ts'
import { REQUEST_OF, Wire } from './schema.ts'

/** Walked in one go: a millisecond when every byte of it is looked at closely. */
const SLICE_BYTES = 16 * 1024
const ANY_VALUE = messageIndex('AnyValue')

/** As `scan`, with what it returns, which stops after each slice. `edits` are needed here: nobody else may use them until the end. */
export function* scanInSlices(
  buf: Uint8Array,
  signal: Signal,
  visitor: Visitor,
  edits: Edits,
  bounds: ScanBounds,
  sliceBytes: number = SLICE_BYTES,
): Generator<void, number> {
  edits.reset(buf.length)
  const scan = new Scan(buf, visitor, edits, bounds)
  yield* new Slices(scan, sliceBytes).walk(0, buf.length, messageIndex(REQUEST_OF[signal]))
  return scan.doubts
}

class Slices {
  readonly #scan: Scan
  readonly #sliceBytes: number

  constructor(scan: Scan, sliceBytes: number) {
    this.#scan = scan
    this.#sliceBytes = sliceBytes
  }

  /** The fields of a message: those that fit are gathered until they make a slice. */
  *walk(start: number, end: number, message: number): Generator<void, void> {
    const scan = this.#scan
    const { buf } = scan
    let seen = 0
    let gathered = start
    for (let pos = start; pos < end; ) {
      const fieldStart = pos
      const tag = readTag(buf, pos, end)
      const lengthAt = varintEnd(buf, pos, end)
      pos = fieldEnd(buf, lengthAt, end, tag & 7)
      const isLong = pos - fieldStart > this.#sliceBytes
      if (!isLong && pos - gathered < this.#sliceBytes) continue
      const until = isLong ? fieldStart : pos
      if (until > gathered) seen = scan.walk(gathered, until, message, seen)
      yield
      if (isLong) seen = yield* this.#long(fieldStart, pos, message, seen)
      gathered = pos
    }
    if (end > gathered) scan.walk(gathered, end, message, seen)
  }

  /** One field that does not fit, whose framing is checked. Returns what is seen then. */
  *#long(fieldStart: number, end: number, message: number, seen: number): Generator<void, number> {
    const scan = this.#scan
    const { buf, edits } = scan
    const tag = readTag(buf, fieldStart, end)
    const entry = tag < SLOTS * 8 ? SCAN_TABLE[message * SLOTS + (tag >>> 3)] : 0
    const operation = entry & 0xf
    const isTakenApart = operation === Op.MESSAGE || operation === Op.ATTRIBUTE || operation === Op.VALUE
    if (!isTakenApart || (tag & 7) !== Wire.LENGTH) return scan.walk(fieldStart, end, message, seen)
    seen = once(seen, entry)
    const lengthAt = varintEnd(buf, fieldStart, end)
    const start = contentStart(buf, lengthAt, end)
    const argument = (entry >>> ARGUMENT_SHIFT) & 0xff
    edits.openFrame(lengthAt, start, end)
    if (operation === Op.MESSAGE) yield* this.#message(start, end, argument)
    else {
      scan.place = argument as Place // the table holds places for both
      if (operation === Op.ATTRIBUTE) yield* this.#attribute(fieldStart, start, end, 0, true)
      else yield* this.#value(start, end, 0, true)
    }
    edits.closeFrames(1)
    return seen
  }

  *#message(start: number, end: number, message: number): Generator<void, void> {
    const scan = this.#scan
    const frame = FRAME_OF[message] as Frame | -1
    if (frame < 0) {
      yield* this.walk(start, end, message)
      return
    }
    const valuesBefore = scan.enter(frame as Frame, start, end) // not -1
    for (const _ of this.walk(start, end, message)) {
      scan.checkValues(frame as Frame, valuesBefore)
      yield
    }
    scan.leave(frame as Frame, start, end, valuesBefore)
  }

  *#attribute(
    fieldStart: number,
    start: number,
    end: number,
    depth: number,
    isReported: boolean,
  ): Generator<void, void> {
    const scan = this.#scan
    const { buf, edits, visitor } = scan
    scan.values++
    locate(buf, start, end)
    const { keyStart, keyEnd, valueStart, valueEnd } = located
    openLocated(edits)
    if (located.hasUnknown) scan.unknownIn(start, end)
    scan.check(keyStart, keyEnd)
    const { place } = scan
    const isTaken =
      !isReported || visitor.attribute(place, depth, fieldStart, end, keyStart, keyEnd, valueStart, valueEnd)
    edits.closeFrames(1)
    yield* this.#value(valueStart, valueEnd, depth, !isTaken)
    edits.closeFrames(1)
    if (isReported) visitor.attributeEnd(depth)
  }

  *#value(start: number, end: number, depth: number, isReported: boolean): Generator<void, void> {
    const scan = this.#scan
    if (end - start <= this.#sliceBytes) {
      scan.value(start, end, depth, isReported)
      return
    }
    const { buf, edits, visitor } = scan
    let seen = 0
    for (let pos = start; pos < end; ) {
      const tag = readTag(buf, pos, end)
      const lengthAt = varintEnd(buf, pos, end)
      pos = fieldEnd(buf, lengthAt, end, tag & 7)
      const entry = tag < SLOTS * 8 ? SCAN_TABLE[ANY_VALUE * SLOTS + (tag >>> 3)] : 0
      if (entry === 0) {
        scan.unknown(tag & 7, lengthAt, pos)
        continue
      }
      if (((entry >>> WIRE_SHIFT) & 7) !== (tag & 7)) throw malformed('field has the wrong wire type')
      seen = once(seen, entry)
      const type = tag >>> 3 > ValueType.BYTES ? ValueType.INT : ((tag >>> 3) as ValueType)
      if ((tag & 7) !== Wire.LENGTH) {
        if (isReported) visitor.scalar(scan.place, type, lengthAt, pos, start, end)
        continue
      }
      const inner = contentStart(buf, lengthAt, end)
      if (type === ValueType.STRING) scan.check(inner, pos)
      edits.openFrame(lengthAt, inner, pos)
      if (type === ValueType.ARRAY || type === ValueType.KVLIST) {
        yield* this.#list(inner, pos, type, depth, isReported)
      } else if (isReported) {
        visitor.scalar(scan.place, type, inner, pos, start, end)
        yield
      }
      edits.closeFrames(1)
    }
  }

  *#list(
    start: number,
    end: number,
    type: ValueType,
    depth: number,
    isReported: boolean,
  ): Generator<void, void> {
    const scan = this.#scan
    const { buf, edits } = scan
    const isTooDeep = edits.openFrameCount > MESSAGE_DEPTH_MAX - 3
    let sliceStart = start
    for (let pos = start; pos < end; ) {
      const fieldStart = pos
      const tag = readTag(buf, pos, end)
      const lengthAt = varintEnd(buf, pos, end)
      pos = fieldEnd(buf, lengthAt, end, tag & 7)
      if (tag >>> 3 === 1) {
        if (isTooDeep) throw new SidecarError('TOO_DEEP', 'values are nested too deep')
        if ((tag & 7) !== Wire.LENGTH) throw malformed('field has the wrong wire type')
        const inner = contentStart(buf, lengthAt, end)
        edits.openFrame(lengthAt, inner, pos)
        const isLong = pos - inner > this.#sliceBytes
        if (type === ValueType.KVLIST) {
          if (isLong) yield* this.#attribute(fieldStart, inner, pos, depth + 1, isReported)
          else scan.attribute(fieldStart, inner, pos, depth + 1, isReported)
        } else {
          scan.values++
          if (isLong) yield* this.#value(inner, pos, depth, isReported)
          else scan.value(inner, pos, depth, isReported)
        }
        edits.closeFrames(1)
      } else scan.unknown(tag & 7, lengthAt, pos)
      if (pos - sliceStart < this.#sliceBytes) continue
      yield
      sliceStart = pos
    }
  }
}
