// The canonical form of a span (proto/evidence.md §1): the same bytes for the same meaning, however the span travelled.
// Written into one buffer that is reused for every span. Byte 0 is the leaf prefix of RFC 6962; then comes the part that a
// whole ResourceSpans shares, then that of a ScopeSpans, each written once however many spans there are.
import { createHash, type Hash, hash } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { MESSAGE_DEPTH_MAX } from '../base/limits.ts'
import type { StarGlobs } from '../wire/attribute-glob.ts'
import { malformed } from '../wire/reader.ts'
import { ordering, type RangeList, sortRanges } from './byte-order.ts'
import { Entries } from './entries.ts'
import { field, nextField } from './field.ts'
import { FormBuffer } from './form-buffer.ts'
import type { SpanParts } from './span-parts.ts'
import type { SpanContext } from './span-walk.ts'

const LEAF_PREFIX = 0x00
const FORM_VERSION = 0x01

/** Tags of AnyValue; the field number is also the tag of the canonical value. */
const Value = {
  STRING: 0x0a,
  BOOL: 0x10,
  INT: 0x18,
  DOUBLE: 0x21,
  ARRAY: 0x2a,
  KVLIST: 0x32,
  BYTES: 0x3a,
} as const
const ResourceTag = { ATTRIBUTE: 0x0a } as const
const ScopeTag = { NAME: 0x0a, VERSION: 0x12 } as const
const EventTag = { TIME: 0x09, NAME: 0x12, ATTRIBUTE: 0x1a } as const
const LinkTag = { TRACE_ID: 0x0a, SPAN_ID: 0x12, TRACE_STATE: 0x1a, ATTRIBUTE: 0x22 } as const
/** A longer part in front of a span is hashed once and the state copied, which costs as much as hashing so many bytes. */
const SHARED_BYTES_MAX = 1024
const REPEATED_MEMBER = 0x0a // `values` of ArrayValue and KeyValueList

/** What a leaf covers beside the span itself. */
export interface CoverageRules {
  /** Keys of covered resource attributes. */
  readonly resourceAttributes: readonly Uint8Array[]
  readonly mutable: StarGlobs
}

export class CanonicalForm {
  readonly #rules: CoverageRules
  readonly #entries = new Entries()
  readonly #out = new FormBuffer()
  /** What the buffer holds in front of spans: of which ResourceSpans, of which ScopeSpans, up to where. */
  #groupNumber = 0
  #scopeNumber = 0
  #groupSize = 0
  #prefixSize = 0
  /** The hash of what is in front, up to the same two places; `undefined` where that is short. */
  #groupHash: Hash | undefined
  #prefixHash: Hash | undefined
  #bytesRead = 0

  constructor(rules: CoverageRules) {
    this.#rules = rules
  }

  /** Bytes read, compared and hashed since the start. */
  get bytesLookedAt(): number {
    return this.#bytesRead + this.#entries.bytesCompared
  }

  /** The leaf hash of a span: 32 bytes as a latin1 string, which is what is cheapest to move. */
  leaf(span: SpanContext): string {
    this.#write(span)
    const prefix = this.#prefixHash
    if (prefix === undefined) return hash('sha256', this.#out.written(0), 'binary')
    return prefix.copy().update(this.#out.written(this.#prefixSize)).digest('binary')
  }

  /** A copy of a span's canonical form, for tests and vectors. */
  form(span: SpanContext): Uint8Array {
    this.#write(span)
    return this.#out.slice(1, this.#out.size)
  }

  #write(span: SpanContext): void {
    const { buf } = span
    if (span.groupNumber !== this.#groupNumber) {
      this.#resource(buf, span.resourceStart, span.resourceEnd)
      this.#groupNumber = span.groupNumber
      this.#scopeNumber = 0
    }
    if (span.scopeNumber !== this.#scopeNumber) {
      this.#scope(buf, span.scopeStart, span.scopeEnd)
      this.#scopeNumber = span.scopeNumber
    }
    this.#span(buf, span.parts)
    const shared = this.#prefixHash === undefined ? this.#prefixSize : 0
    this.#bytesRead += 2 * (this.#out.size - this.#prefixSize) + shared
  }

  #resource(buf: Uint8Array, start: number, end: number): void {
    this.#out.reset()
    this.#out.byte(LEAF_PREFIX)
    this.#out.byte(FORM_VERSION)
    this.#entries.count = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === ResourceTag.ATTRIBUTE) this.#pushResourceAttribute(buf, field.start, field.end)
    }
    this.#attributes(buf, 0, 0)
    this.#groupSize = this.#out.size
    this.#groupHash = this.#hashShared(undefined, 0)
    this.#bytesRead += end - start
  }

  #scope(buf: Uint8Array, start: number, end: number): void {
    this.#out.size = this.#groupSize
    let nameStart = 0
    let nameEnd = 0
    let versionStart = 0
    let versionEnd = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === ScopeTag.NAME) {
        nameStart = field.start
        nameEnd = field.end
      } else if (field.tag === ScopeTag.VERSION) {
        versionStart = field.start
        versionEnd = field.end
      }
    }
    this.#out.bytes(buf, nameStart, nameEnd)
    this.#out.bytes(buf, versionStart, versionEnd)
    this.#prefixSize = this.#out.size
    this.#prefixHash = this.#hashShared(this.#groupHash, this.#groupSize)
    this.#bytesRead += end - start
  }

  /** The hash of what stands in the buffer, when `before` is that of what stands before `start`. */
  #hashShared(before: Hash | undefined, start: number): Hash | undefined {
    if (this.#out.size <= SHARED_BYTES_MAX) return undefined
    const from = before === undefined ? 0 : start
    this.#bytesRead += this.#out.size - from
    return (before?.copy() ?? createHash('sha256')).update(this.#out.written(from))
  }

  #span(buf: Uint8Array, span: SpanParts): void {
    this.#out.size = this.#prefixSize
    this.#out.id(buf, span.traceIdStart, span.traceIdEnd)
    this.#out.id(buf, span.spanIdStart, span.spanIdEnd)
    this.#out.id(buf, span.parentSpanIdStart, span.parentSpanIdEnd)
    this.#out.bytes(buf, span.traceStateStart, span.traceStateEnd)
    this.#out.bytes(buf, span.nameStart, span.nameEnd)
    this.#out.u32(span.kind)
    this.#out.fixed64(buf, span.startTimeAt)
    this.#out.fixed64(buf, span.endTimeAt)
    this.#out.u32(span.statusCode)
    this.#out.bytes(buf, span.statusMessageStart, span.statusMessageEnd)
    this.#spanAttributes(buf, span.attributes)
    const { events, links } = span
    this.#out.u32(events.count)
    for (let i = 0; i < events.count; i++) this.#event(buf, events.start(i), events.end(i))
    this.#out.u32(links.count)
    for (let i = 0; i < links.count; i++) this.#link(buf, links.start(i), links.end(i))
  }

  #pushResourceAttribute(buf: Uint8Array, start: number, end: number): void {
    const entries = this.#entries
    entries.push(buf, start, end)
    const entry = entries.count - 1
    const keyStart = entries.keyStart(entry)
    const keyEnd = entries.keyEnd(entry)
    for (const key of this.#rules.resourceAttributes) if (equals(buf, keyStart, keyEnd, key)) return
    entries.count = entry
  }

  #spanAttributes(buf: Uint8Array, attributes: Entries): void {
    const entries = this.#entries
    const { mutable } = this.#rules
    entries.count = 0
    for (let i = 0; i < attributes.count; i++) {
      if (mutable.isEmpty || !mutable.match(buf, attributes.keyStart(i), attributes.keyEnd(i))) {
        entries.pushFrom(attributes, i)
      }
    }
    this.#attributes(buf, 0, 0, true)
  }

  #event(buf: Uint8Array, start: number, end: number): void {
    const base = this.#entries.count
    let timeAt = -1
    let nameStart = 0
    let nameEnd = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === EventTag.ATTRIBUTE) this.#entries.push(buf, field.start, field.end)
      else if (field.tag === EventTag.TIME) timeAt = field.start
      else if (field.tag === EventTag.NAME) {
        nameStart = field.start
        nameEnd = field.end
      }
    }
    this.#out.fixed64(buf, timeAt)
    this.#out.bytes(buf, nameStart, nameEnd)
    this.#attributes(buf, base, 0)
  }

  #link(buf: Uint8Array, start: number, end: number): void {
    const base = this.#entries.count
    let traceIdStart = 0
    let traceIdEnd = 0
    let spanIdStart = 0
    let spanIdEnd = 0
    let traceStateStart = 0
    let traceStateEnd = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === LinkTag.ATTRIBUTE) this.#entries.push(buf, field.start, field.end)
      else if (field.tag === LinkTag.TRACE_ID) {
        traceIdStart = field.start
        traceIdEnd = field.end
      } else if (field.tag === LinkTag.SPAN_ID) {
        spanIdStart = field.start
        spanIdEnd = field.end
      } else if (field.tag === LinkTag.TRACE_STATE) {
        traceStateStart = field.start
        traceStateEnd = field.end
      }
    }
    this.#out.id(buf, traceIdStart, traceIdEnd)
    this.#out.id(buf, spanIdStart, spanIdEnd)
    this.#out.bytes(buf, traceStateStart, traceStateEnd)
    this.#attributes(buf, base, 0)
  }

  /** Writes the entries from `base` to the top, sorted, and takes them off the stack. */
  #attributes(buf: Uint8Array, base: number, depth: number, isGuessable = false): void {
    const entries = this.#entries
    const count = entries.count - base
    const hasTie = entries.sort(buf, base, isGuessable)
    this.#out.u32(count)
    const offsets: number[] | undefined = hasTie ? [] : undefined
    for (let place = base; place < base + count; place++) {
      if (offsets !== undefined) offsets.push(this.#out.size)
      const entry = entries.at(place)
      const valueStart = entries.valueStart(entry)
      const valueEnd = entries.valueEnd(entry)
      this.#out.bytes(buf, entries.keyStart(entry), entries.keyEnd(entry))
      // Most values are strings of less than 128 bytes and nothing else.
      if (
        valueEnd - valueStart >= 2 &&
        buf[valueStart] === Value.STRING &&
        buf[valueStart + 1] < 0x80 &&
        valueStart + 2 + buf[valueStart + 1] === valueEnd
      ) {
        this.#out.byte(Value.STRING >>> 3)
        this.#out.bytes(buf, valueStart + 2, valueEnd)
      } else this.#value(buf, valueStart, valueEnd, depth)
    }
    if (offsets !== undefined) this.#sortTies(buf, base, offsets)
    entries.count = base
  }

  /** Entries with equal keys are ordered by what was written of them: the keys are equal, so the values decide. */
  #sortTies(buf: Uint8Array, base: number, offsets: number[]): void {
    const entries = this.#entries
    const count = offsets.length
    offsets.push(this.#out.size)
    for (let first = 0; first < count; ) {
      let next = first + 1
      while (next < count && entries.compare(buf, entries.at(base + first), entries.at(base + next)) === 0)
        next++
      if (next - first > 1) this.#sortWritten(offsets, first, next)
      first = next
    }
  }

  /** Orders what was written between `offsets[from]` and `offsets[to]`, in the pieces that the offsets make. */
  #sortWritten(offsets: readonly number[], from: number, to: number): void {
    const start = offsets[from]
    const before = this.#out.slice(start, offsets[to])
    const pieces: RangeList = {
      buf: before,
      start: (index) => offsets[from + index] - start,
      end: (index) => offsets[from + index + 1] - start,
    }
    const order = Int32Array.from({ length: to - from }, (_, index) => index)
    const readBefore = ordering.bytesRead
    sortRanges(pieces, order, 0, order.length)
    this.#bytesRead += ordering.bytesRead - readBefore + before.length
    let at = start
    for (const index of order) {
      const piece = before.subarray(pieces.start(index), pieces.end(index))
      this.#out.put(piece, at)
      at += piece.length
    }
  }

  /** The AnyValue with content [start, end). */
  #value(buf: Uint8Array, start: number, end: number, depth: number): void {
    let tag = 0
    let from = 0
    let to = 0
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag >>> 3 > 7) continue
      if (tag !== 0) throw malformed('repeated value in one attribute')
      tag = field.tag
      from = field.start
      to = field.end
    }
    this.#out.byte(tag >>> 3)
    if (tag === 0) return
    if (tag === Value.STRING || tag === Value.BYTES) this.#out.bytes(buf, from, to)
    else if (tag === Value.INT) this.#out.varint64(buf, from, to)
    else if (tag === Value.BOOL) this.#out.byte(isZeroVarint(buf, from, to) ? 0 : 1)
    else if (tag === Value.DOUBLE) this.#out.double(buf, from)
    else if (tag === Value.ARRAY) this.#array(buf, from, to, depth + 1)
    else if (tag === Value.KVLIST) this.#kvlist(buf, from, to, depth + 1)
    else throw malformed('field has the wrong wire type')
  }

  #array(buf: Uint8Array, start: number, end: number, depth: number): void {
    if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'value is nested too deep')
    let count = 0
    const countAt = this.#out.size
    this.#out.u32(0)
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag !== REPEATED_MEMBER) continue
      count++
      this.#value(buf, field.start, field.end, depth)
    }
    this.#out.putU32(count, countAt)
  }

  #kvlist(buf: Uint8Array, start: number, end: number, depth: number): void {
    if (depth > MESSAGE_DEPTH_MAX) throw new SidecarError('TOO_DEEP', 'value is nested too deep')
    const base = this.#entries.count
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === REPEATED_MEMBER) this.#entries.push(buf, field.start, field.end)
    }
    this.#attributes(buf, base, depth)
  }
}

function equals(buf: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (buf[start + i] !== bytes[i]) return false
  return true
}

/** A varint is zero when no byte has a bit besides the continuation bit. */
function isZeroVarint(buf: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((buf[i] & 0x7f) !== 0) return false
  return true
}
