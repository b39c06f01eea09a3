// One scan of a traces request, span by span, with the resource and scope of each at hand. Signing and verifying both
// walk like this, so neither sees a span that the other would not.
import { STATEMENT_KEY_PREFIX } from '../formats/signature-keys.ts'
import type { Edits } from '../wire/edits.ts'
import { Frame, Place } from '../wire/otlp.ts'
import { scan, UNBOUNDED, type Visitor } from '../wire/scan.ts'
import { scanInSlices } from '../wire/scan-in-slices.ts'
import { field, nextField } from './field.ts'
import { SpanParts, startsWith } from './span-parts.ts'

/** A span's bytes and surroundings. Overwritten with each span. */
export interface SpanContext {
  readonly buf: Uint8Array
  readonly parts: SpanParts
  /** Of its ResourceSpans and its ScopeSpans, and of no others in this process, so that what is known of one stays with it. */
  readonly groupNumber: number
  readonly scopeNumber: number
  /** Content of the Resource, empty when there is none. */
  readonly resourceStart: number
  readonly resourceEnd: number
  /** Content of the InstrumentationScope, empty when there is none. */
  readonly scopeStart: number
  readonly scopeEnd: number
}

export interface SpanHandler {
  /** A ResourceSpans begins; its index in the request. */
  resource(span: SpanContext, groupIndex: number): void
  /** An attribute of the resource whose key begins with STATEMENT_KEY_PREFIX, while it is open for edits. */
  statement?(buf: Uint8Array, fieldStart: number, end: number, keyStart: number, keyEnd: number): void
  /** The Resource has been read to its end, which is still open for edits. */
  resourceEnd?(end: number): void
  /** The ResourceSpans has been read to its end, which is still open for edits. */
  groupEnd?(end: number): void
  /** A ScopeSpans begins. */
  scope(span: SpanContext): void
  /** A span has been read to its end, which is still open for edits. */
  span(span: SpanContext, end: number): void
}

/** Tag of Resource in ResourceSpans, and of InstrumentationScope in ScopeSpans. */
const GROUP_HEAD = 0x0a
const STATEMENT_PREFIX = Buffer.from(STATEMENT_KEY_PREFIX)

let lastNumber = 0

export class SpanWalk implements Visitor, SpanContext {
  buf: Uint8Array = new Uint8Array(0)
  readonly parts = new SpanParts()
  groupNumber = 0
  scopeNumber = 0
  resourceStart = 0
  resourceEnd = 0
  scopeStart = 0
  scopeEnd = 0
  readonly #handler: SpanHandler
  #groupIndex = -1

  constructor(handler: SpanHandler) {
    this.#handler = handler
  }

  /** Throws MALFORMED or TOO_DEEP for bytes that are no ExportTraceServiceRequest. */
  run(body: Uint8Array, edits?: Edits): void {
    this.#begin(body)
    scan(this.buf, 'traces', this, edits)
  }

  /** As `run`; nobody else may use this walk or `edits` until the end. */
  *runInSlices(body: Uint8Array, edits: Edits): Generator<void, void> {
    this.#begin(body)
    yield* scanInSlices(this.buf, 'traces', this, edits, UNBOUNDED)
  }

  #begin(body: Uint8Array): void {
    // A plain view, whatever the caller has, so that the hot loops see one kind of array.
    this.buf = new Uint8Array(body.buffer, body.byteOffset, body.length)
    this.#groupIndex = -1
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.RESOURCE_GROUP) {
      const hasHead = findHead(this.buf, start, end)
      this.resourceStart = hasHead ? field.start : 0
      this.resourceEnd = hasHead ? field.end : 0
      this.groupNumber = ++lastNumber
      this.#handler.resource(this, ++this.#groupIndex)
    } else if (frame === Frame.SCOPE_GROUP) {
      const hasHead = findHead(this.buf, start, end)
      this.scopeStart = hasHead ? field.start : 0
      this.scopeEnd = hasHead ? field.end : 0
      this.scopeNumber = ++lastNumber
      this.#handler.scope(this)
    } else if (frame === Frame.ITEM) this.parts.reset()
  }

  leave(frame: Frame, start: number, end: number): void {
    if (frame === Frame.ITEM) {
      this.parts.read(this.buf, start, end)
      this.#handler.span(this, end)
    } else if (frame === Frame.RESOURCE) this.#handler.resourceEnd?.(end)
    else if (frame === Frame.RESOURCE_GROUP) this.#handler.groupEnd?.(end)
  }

  text(): void {}

  attribute(
    place: Place,
    depth: number,
    fieldStart: number,
    end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    if (place === Place.SPAN_ATTRIBUTE) {
      this.parts.addAttribute(this.buf, fieldStart, end, keyStart, keyEnd, valueStart, valueEnd)
    } else if (place === Place.RESOURCE_ATTRIBUTE && depth === 0) {
      if (startsWith(this.buf, keyStart, keyEnd, STATEMENT_PREFIX))
        this.#handler.statement?.(this.buf, fieldStart, end, keyStart, keyEnd)
    }
    return true
  }

  scalar(): void {}

  attributeEnd(): void {}
}

/** Puts `field` on the group's Resource or InstrumentationScope, wherever it stands. */
function findHead(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start; pos < end; ) {
    pos = nextField(buf, pos, end)
    if (field.tag === GROUP_HEAD) return true
  }
  return false
}
