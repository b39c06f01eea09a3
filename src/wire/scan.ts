// One strict pass over an Export request, driven by the tables of `schema.ts`. The bet: offsets and small integers
// only; no object, string or closure per message or attribute. `bench/wire.ts` holds it to that.
// It is long because the walk is one: attributes, values and messages call each other.
import { SidecarError } from '../base/errors.ts'
import {
  EVENTS_PER_REQUEST_MAX,
  GROUPS_PER_REQUEST_MAX,
  MESSAGE_DEPTH_MAX,
  METRICS_PER_REQUEST_MAX,
  VALUES_OF_ONE_MAX,
  VALUES_PER_REQUEST_MAX,
} from '../base/limits.ts'
import { Edits } from './edits.ts'
import { KEY_TAG, locate, located, openLocated, VALUE_TAG } from './key-value.ts'
import { Frame, type Place, type Signal, ValueType } from './otlp.ts'
import { contentStart, Fields, fieldEnd, malformed, readLength, readTag, varintEnd } from './reader.ts'
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
import { isAsciiRange, isUtf8Range, type Words, wordsOf } from './utf8.ts'

/** What a scan reports. All positions are offsets into the scanned buffer. */
export interface Visitor {
  /** A message begins; [start, end) is its content. */
  enter(frame: Frame, start: number, end: number): void
  /** It ends, with the same range. It is still open for edits: an insert at `end` appends to it. */
  leave(frame: Frame, start: number, end: number): void
  /** Content of a free-text field. */
  text(place: Place, start: number, end: number): void
  /**
   * One KeyValue. [fieldStart, end) is the whole field with its tag, so what a drop removes. [valueStart, valueEnd) is
   * the content of its AnyValue, 0-length when there is none. `depth` 0 is an attribute, more is an entry of a kvlist.
   * Return true to take the value whole: what is inside is then checked, not reported.
   */
  attribute(
    place: Place,
    depth: number,
    fieldStart: number,
    end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean
  /**
   * A scalar in a value that was not taken. [start, end) is its payload (content of a string or bytes, the varint, the
   * 8 bytes), [valueStart, valueEnd) the AnyValue that holds it. Arrays and kvlists come as their scalars; an AnyValue
   * with nothing set is not reported.
   */
  scalar(
    place: Place,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void
  /** After the scalars and entries inside `attribute` of the same depth, once for each. */
  attributeEnd(depth: number): void
  /** A field that the table does not know, also inside what was taken whole. [start, end) is its payload. */
  unknown?(wireType: number, start: number, end: number): void
}

/** What a scan puts up with, beyond framing. */
export interface ScanBounds {
  /** By `Frame`. */
  readonly frames: Float64Array
  /** Attributes, entries and elements, in a request. */
  readonly values: number
  /** … and in one resource, scope or item. */
  readonly valuesOfOne: number
  /** Whether ids and text are looked at, so that the scan can doubt them. */
  readonly isChecked: boolean
}

/** What a scan doubts, as bits: an id that is neither absent nor as long as it must be, text that is no UTF-8. */
export const Doubt = { ID: 1, TEXT: 2 } as const

const FRAME_COUNT = Object.keys(Frame).length
const NO_FRAMES_BOUND = new Float64Array(FRAME_COUNT).fill(Number.POSITIVE_INFINITY)

/** For what is our own or an operator's: files, and requests that were accepted. */
export const UNBOUNDED: ScanBounds = {
  frames: NO_FRAMES_BOUND,
  values: Number.POSITIVE_INFINITY,
  valuesOfOne: Number.POSITIVE_INFINITY,
  isChecked: false,
}

/** As many as there are, but sound. */
export const CHECKED: ScanBounds = { ...UNBOUNDED, isChecked: true }

/** For requests from outside. Items have their bound in the pipeline, where they are counted also when refused. */
export const REQUEST_BOUNDS: ScanBounds = {
  frames: requestFrames(),
  values: VALUES_PER_REQUEST_MAX,
  valuesOfOne: VALUES_OF_ONE_MAX,
  isChecked: true,
}

function requestFrames(): Float64Array {
  const frames = NO_FRAMES_BOUND.slice()
  frames[Frame.RESOURCE_GROUP] = GROUPS_PER_REQUEST_MAX
  frames[Frame.SCOPE_GROUP] = GROUPS_PER_REQUEST_MAX
  frames[Frame.METRIC] = METRICS_PER_REQUEST_MAX
  frames[Frame.EVENT] = EVENTS_PER_REQUEST_MAX
  frames[Frame.LINK] = EVENTS_PER_REQUEST_MAX
  return frames
}

function tooMuch(): SidecarError {
  return new SidecarError(
    'TOO_LARGE',
    'request has more attributes, values, groups or events than one may have',
  )
}

const STRING_TAG = 0x0a

const ANY_VALUE = messageIndex('AnyValue')
const KEY_VALUE = messageIndex('KeyValue')

/** Keeps the stack of open frames for scans without edits, where nobody reads it. */
const unusedEdits = new Edits()

/**
 * Reads an encoded Export request of `signal` once, front to back, and calls `visitor`. With `edits`, these are reset
 * and the visitor may edit while the scan runs. Throws MALFORMED or TOO_DEEP; what the visitor did until then is to be
 * thrown away. Accepts nothing that another protobuf runtime would refuse or read differently, save that strings need
 * not be UTF-8. A visitor may scan another buffer only with edits of its own.
 *
 * Returns bits of `Doubt`. Where `bounds` ask for it, 0 means that every id has its length and every string is UTF-8; of
 * what is doubted, the visitor heard as of anything else.
 */
export function scan(
  buf: Uint8Array,
  signal: Signal,
  visitor: Visitor,
  edits: Edits = unusedEdits,
  bounds: ScanBounds = UNBOUNDED,
): number {
  edits.reset(buf.length)
  const walk = new Scan(buf, visitor, edits, bounds)
  walk.walk(0, buf.length, messageIndex(REQUEST_OF[signal]), 0)
  return walk.doubts
}

/** Attributes up to this size are looked at in one go, with their tags and lengths: larger ones would be so at each depth. */
const ASCII_AT_ONCE_MAX = 256

/** @internal The walk itself; `scan-in-slices.ts` takes its steps one by one. */
export class Scan {
  readonly buf: Uint8Array
  readonly visitor: Visitor
  readonly edits: Edits
  readonly words: Words
  doubts = 0
  /** Up to here text need not be looked at: the attribute that the walk is in is ASCII, or nobody asked. */
  asciiEnd: number
  /** Attributes, entries of kvlists and elements of arrays so far. */
  values = 0
  readonly #bounds: ScanBounds
  readonly #frameCounts = new Int32Array(FRAME_COUNT)
  /** Where the attribute or value stands that the walk is in. */
  place: Place = 0

  constructor(buf: Uint8Array, visitor: Visitor, edits: Edits, bounds: ScanBounds) {
    // A plain view, whatever the caller has: a Buffer has another hidden class and would make the walk polymorphic.
    this.buf = new Uint8Array(buf.buffer, buf.byteOffset, buf.length)
    this.words = wordsOf(buf)
    this.visitor = visitor
    this.edits = edits
    this.#bounds = bounds
    this.asciiEnd = bounds.isChecked ? 0 : buf.length
  }

  /** Looks at a string. */
  check(start: number, end: number): void {
    if (end <= this.asciiEnd || isAsciiRange(this.buf, this.words, start, end)) return
    if (!isUtf8Range(this.buf, start, end)) this.doubts |= Doubt.TEXT
  }

  /**
   * Fields of one message, other than KeyValue, AnyValue and what is inside those: all of them, or a part that begins
   * and ends between two. `seen` is what was returned for the part before.
   */
  walk(pos: number, end: number, message: number, seen: number): number {
    const { buf, edits } = this
    const row = message * SLOTS
    while (pos < end) {
      const fieldStart = pos
      let tag = buf[pos]
      if (tag > 7 && tag < 0x80) pos++
      else {
        tag = readTag(buf, pos, end)
        pos = varintEnd(buf, pos, end)
      }
      const entry = tag < SLOTS * 8 ? SCAN_TABLE[row + (tag >>> 3)] : 0
      if ((entry & 0xf) <= Op.PACKABLE) {
        seen = once(seen, entry)
        const payload = pos
        pos = plainField(buf, pos, end, tag & 7, entry)
        if (entry === 0) this.unknown(tag & 7, payload, pos)
        continue
      }
      if ((tag & 7) !== Wire.LENGTH) throw malformed('field has the wrong wire type')
      seen = once(seen, entry)
      const lengthAt = pos
      if (pos >= end) throw malformed('length is cut off')
      let length = buf[pos++]
      if (length >= 0x80) {
        length = readLength(buf, lengthAt, end)
        pos = varintEnd(buf, lengthAt, end)
      }
      const stop = pos + length
      if (stop > end) throw malformed('field overruns its parent')
      edits.openFrame(lengthAt, pos, stop)
      if ((entry & 0xf) === Op.ATTRIBUTE) {
        this.place = ((entry >>> ARGUMENT_SHIFT) & 0xff) as Place // the table holds places for ATTRIBUTE
        this.attribute(fieldStart, pos, stop, 0, true)
      } else {
        this.content(pos, stop, entry)
      }
      edits.closeFrames(1)
      pos = stop
    }
    return seen
  }

  /** What is in an open frame, by its entry in the table. */
  content(start: number, end: number, entry: number): void {
    const argument = (entry >>> ARGUMENT_SHIFT) & 0xff
    switch (entry & 0xf) {
      case Op.TEXT:
        this.check(start, end)
        this.visitor.text(argument as Place, start, end) // places again, here and for VALUE
        break
      case Op.ID:
        if (end - start !== argument && end !== start) this.doubts |= Doubt.ID
        break
      case Op.VALUE:
        this.place = argument as Place
        this.value(start, end, 0, true)
        break
      default:
        this.message(start, end, argument)
    }
  }

  message(start: number, end: number, message: number): void {
    const frame = FRAME_OF[message]
    if (frame < 0) {
      this.walk(start, end, message, 0)
      return
    }
    const valuesBefore = this.enter(frame as Frame, start, end) // FRAME_OF holds frames and -1
    this.walk(start, end, message, 0)
    this.leave(frame as Frame, start, end, valuesBefore)
  }

  /** Returns how many values were seen before. */
  enter(frame: Frame, start: number, end: number): number {
    if (++this.#frameCounts[frame] > this.#bounds.frames[frame]) throw tooMuch()
    this.visitor.enter(frame, start, end)
    return this.values
  }

  leave(frame: Frame, start: number, end: number, valuesBefore: number): void {
    this.checkValues(frame, valuesBefore)
    this.visitor.leave(frame, start, end)
  }

  /** Checked between attributes only where there is time for it: a request that is read in one go is small. */
  checkValues(frame: Frame, valuesBefore: number): void {
    const { values, valuesOfOne } = this.#bounds
    if (this.values > values) throw tooMuch()
    const isOne = frame === Frame.RESOURCE || frame === Frame.SCOPE || frame === Frame.ITEM
    if (isOne && this.values - valuesBefore > valuesOfOne) throw tooMuch()
  }

  /** One KeyValue, whose frame is open. */
  attribute(fieldStart: number, start: number, end: number, depth: number, isReported: boolean): void {
    const { buf, edits } = this
    this.values++
    let isDoubtful = end > this.asciiEnd
    if (isDoubtful && end - start <= ASCII_AT_ONCE_MAX && isAsciiRange(buf, this.words, start, end)) {
      this.asciiEnd = end
      isDoubtful = false
    }
    // The usual shapes: key and value, or value and key as the Collector writes them, nothing else around, and lengths
    // of one byte.
    let keyStart = start + 2
    let keyEnd = keyStart < end ? keyStart + buf[start + 1] : end
    let valueStart = keyEnd + 2
    let valueEnd = end
    const isPair =
      valueStart <= end &&
      buf[start + 1] < 0x80 &&
      buf[keyEnd + 1] < 0x80 &&
      valueStart + buf[keyEnd + 1] === end
    if (isPair && buf[start] === KEY_TAG && buf[keyEnd] === VALUE_TAG) {
      edits.openFrame(keyEnd + 1, valueStart, valueEnd)
      edits.openFrame(start + 1, keyStart, keyEnd)
    } else if (isPair && buf[start] === VALUE_TAG && buf[keyEnd] === KEY_TAG) {
      const firstEnd = keyEnd
      keyStart = valueStart
      keyEnd = end
      valueStart = start + 2
      valueEnd = firstEnd
      edits.openFrame(start + 1, valueStart, valueEnd)
      edits.openFrame(firstEnd + 1, keyStart, keyEnd)
    } else {
      locate(buf, start, end)
      keyStart = located.keyStart
      keyEnd = located.keyEnd
      valueStart = located.valueStart
      valueEnd = located.valueEnd
      openLocated(edits)
      if (located.hasUnknown) this.unknownIn(start, end)
    }
    if (isDoubtful) this.check(keyStart, keyEnd)
    const isTaken =
      !isReported ||
      this.visitor.attribute(this.place, depth, fieldStart, end, keyStart, keyEnd, valueStart, valueEnd)
    edits.closeFrames(1)
    this.value(valueStart, valueEnd, depth, !isTaken)
    edits.closeFrames(1)
    if (isReported) this.visitor.attributeEnd(depth)
  }

  /** Content of one AnyValue, whose frame is open. */
  value(start: number, end: number, depth: number, isReported: boolean): void {
    if (start === end) return
    const { buf, edits } = this
    if (
      buf[start] === STRING_TAG &&
      start + 1 < end &&
      start + 2 + buf[start + 1] === end &&
      buf[start + 1] < 0x80
    ) {
      if (end > this.asciiEnd) this.check(start + 2, end)
      if (!isReported) return
      edits.openFrame(start + 1, start + 2, end)
      this.visitor.scalar(this.place, ValueType.STRING, start + 2, end, start, end)
      edits.closeFrames(1)
      return
    }
    this.unusualValue(start, end, depth, isReported)
  }

  unusualValue(start: number, end: number, depth: number, isReported: boolean): void {
    const { buf, edits } = this
    let seen = 0
    let pos = start
    while (pos < end) {
      const tag = readTag(buf, pos, end)
      const lengthAt = varintEnd(buf, pos, end)
      pos = fieldEnd(buf, lengthAt, end, tag & 7)
      const entry = tag < SLOTS * 8 ? SCAN_TABLE[ANY_VALUE * SLOTS + (tag >>> 3)] : 0
      if (entry === 0) {
        this.unknown(tag & 7, lengthAt, pos)
        continue
      }
      if (((entry >>> WIRE_SHIFT) & 7) !== (tag & 7)) throw malformed('field has the wrong wire type')
      seen = once(seen, entry)
      // What the scan calls INT is any varint; a `stringValueStrindex` is one, so it is reported and can be removed.
      const type = tag >>> 3 > ValueType.BYTES ? ValueType.INT : ((tag >>> 3) as ValueType)
      if ((tag & 7) !== Wire.LENGTH) {
        if (isReported) this.visitor.scalar(this.place, type, lengthAt, pos, start, end)
        continue
      }
      const inner = contentStart(buf, lengthAt, end)
      if (type === ValueType.STRING) this.check(inner, pos)
      edits.openFrame(lengthAt, inner, pos)
      if (type === ValueType.ARRAY || type === ValueType.KVLIST) {
        this.list(inner, pos, type, depth, isReported)
      } else if (isReported) {
        this.visitor.scalar(this.place, type, inner, pos, start, end)
      }
      edits.closeFrames(1)
    }
  }

  /** Content of an ArrayValue or KeyValueList: field 1, repeated, in both. */
  list(start: number, end: number, type: ValueType, depth: number, isReported: boolean): void {
    const { buf, edits } = this
    // An entry opens three messages more at most: a KeyValue, its AnyValue, and the list in that.
    const isTooDeep = edits.openFrameCount > MESSAGE_DEPTH_MAX - 3
    let pos = start
    while (pos < end) {
      const fieldStart = pos
      const tag = readTag(buf, pos, end)
      const lengthAt = varintEnd(buf, pos, end)
      pos = fieldEnd(buf, lengthAt, end, tag & 7)
      if (tag >>> 3 !== 1) {
        this.unknown(tag & 7, lengthAt, pos)
        continue
      }
      if (isTooDeep) throw new SidecarError('TOO_DEEP', 'values are nested too deep')
      if ((tag & 7) !== Wire.LENGTH) throw malformed('field has the wrong wire type')
      const inner = contentStart(buf, lengthAt, end)
      edits.openFrame(lengthAt, inner, pos)
      if (type === ValueType.KVLIST) this.attribute(fieldStart, inner, pos, depth + 1, isReported)
      else {
        this.values++
        this.value(inner, pos, depth, isReported)
      }
      edits.closeFrames(1)
    }
  }

  /** A field that the table does not know, with its payload and, where it has one, its length. */
  unknown(wireType: number, payload: number, end: number): void {
    const start = wireType === Wire.LENGTH ? contentStart(this.buf, payload, end) : payload
    this.visitor.unknown?.(wireType, start, end)
  }

  /** Those of a KeyValue: key and value were located without a visitor. */
  unknownIn(start: number, end: number): void {
    for (const field = new Fields(this.buf, start, end); field.next(); ) {
      if (field.field >= SLOTS || SCAN_TABLE[KEY_VALUE * SLOTS + field.field] === 0)
        this.visitor.unknown?.(field.wireType, field.start, field.end)
    }
  }
}

/** An unknown field, or numbers. Returns the position after it. */
function plainField(buf: Uint8Array, pos: number, end: number, wireType: number, entry: number): number {
  const stop = fieldEnd(buf, pos, end, wireType)
  const expected = (entry >>> WIRE_SHIFT) & 7
  if (entry === 0 || wireType === expected) return stop
  if ((entry & 0xf) !== Op.PACKABLE || wireType !== Wire.LENGTH)
    throw malformed('field has the wrong wire type')
  for (let at = contentStart(buf, pos, end); at < stop; ) at = fieldEnd(buf, at, stop, expected)
  return stop
}
