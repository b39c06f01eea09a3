// Where the parts of one span stand in its bytes. Filled once per span and reused for the next; selection, the
// canonical form and the check of a signature all read from it. Attributes come from the scan, which has found them
// anyway; the rest is read when the span ends.
import { SIGNATURE_KEY_PREFIX } from '../formats/signature-keys.ts'
import { malformed, readInt32 } from '../wire/reader.ts'
import { Entries } from './entries.ts'
import { field, nextField } from './field.ts'

/** Tags of Span (trace.proto), with their wire types. */
const Tag = {
  TRACE_ID: 0x0a,
  SPAN_ID: 0x12,
  TRACE_STATE: 0x1a,
  PARENT_SPAN_ID: 0x22,
  NAME: 0x2a,
  KIND: 0x30,
  START: 0x39,
  END: 0x41,
  ATTRIBUTE: 0x4a,
  EVENT: 0x5a,
  LINK: 0x6a,
  STATUS: 0x7a,
} as const
const STATUS_MESSAGE_TAG = 0x12
const STATUS_CODE_TAG = 0x18

const SIGNATURE_PREFIX = Buffer.from(SIGNATURE_KEY_PREFIX)
/** Integers per child: start and end. */
const CHILD = 2

/** A growing list of ranges. */
export class Ranges {
  count = 0
  #ints = new Int32Array(64)

  push(start: number, end: number): void {
    const at = this.count++ * CHILD
    if (at + CHILD > this.#ints.length) {
      const larger = new Int32Array(this.#ints.length * 2)
      larger.set(this.#ints)
      this.#ints = larger
    }
    this.#ints[at] = start
    this.#ints[at + 1] = end
  }

  start(index: number): number {
    return this.#ints[index * CHILD]
  }

  end(index: number): number {
    return this.#ints[index * CHILD + 1]
  }
}

export class SpanParts {
  traceIdStart = 0
  traceIdEnd = 0
  spanIdStart = 0
  spanIdEnd = 0
  parentSpanIdStart = 0
  parentSpanIdEnd = 0
  traceStateStart = 0
  traceStateEnd = 0
  nameStart = 0
  nameEnd = 0
  /** Where the 8 bytes stand; -1: absent, so zero. */
  startTimeAt = -1
  endTimeAt = -1
  kind = 0
  statusCode = 0
  statusMessageStart = 0
  statusMessageEnd = 0
  /** All attributes but those of a signature. */
  readonly attributes = new Entries()
  /** Attributes that begin with `span.signature`, and their whole fields. */
  readonly signature = new Entries()
  readonly signatureFields = new Ranges()
  readonly events = new Ranges()
  readonly links = new Ranges()
  #hasStatus = false

  /** Begins a span. */
  reset(): void {
    this.attributes.count = 0
    this.signature.count = 0
    this.signatureFields.count = 0
  }

  /** Adds an attribute of the span, as the scan reports it. */
  addAttribute(
    buf: Uint8Array,
    fieldStart: number,
    end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (buf[keyStart] === SIGNATURE_PREFIX[0] && startsWith(buf, keyStart, keyEnd, SIGNATURE_PREFIX)) {
      this.signature.add(keyStart, keyEnd, valueStart, valueEnd)
      this.signatureFields.push(fieldStart, end)
    } else this.attributes.add(keyStart, keyEnd, valueStart, valueEnd)
  }

  /** Reads everything but the attributes of the Span with content [start, end). Throws MALFORMED. */
  read(buf: Uint8Array, start: number, end: number): void {
    this.#resetFields()
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag !== Tag.ATTRIBUTE) this.#take(buf, field.tag, field.start, field.end)
    }
  }

  #resetFields(): void {
    this.traceIdStart = this.traceIdEnd = 0
    this.spanIdStart = this.spanIdEnd = 0
    this.parentSpanIdStart = this.parentSpanIdEnd = 0
    this.traceStateStart = this.traceStateEnd = 0
    this.nameStart = this.nameEnd = 0
    this.startTimeAt = this.endTimeAt = -1
    this.kind = 0
    this.statusCode = 0
    this.statusMessageStart = this.statusMessageEnd = 0
    this.events.count = 0
    this.links.count = 0
    this.#hasStatus = false
  }

  #take(buf: Uint8Array, tag: number, start: number, end: number): void {
    switch (tag) {
      case Tag.TRACE_ID:
        this.traceIdStart = start
        this.traceIdEnd = end
        break
      case Tag.SPAN_ID:
        this.spanIdStart = start
        this.spanIdEnd = end
        break
      case Tag.PARENT_SPAN_ID:
        this.parentSpanIdStart = start
        this.parentSpanIdEnd = end
        break
      case Tag.TRACE_STATE:
        this.traceStateStart = start
        this.traceStateEnd = end
        break
      case Tag.NAME:
        this.nameStart = start
        this.nameEnd = end
        break
      case Tag.KIND:
        this.kind = readInt32(buf, start, end)
        break
      case Tag.START:
        this.startTimeAt = start
        break
      case Tag.END:
        this.endTimeAt = start
        break
      case Tag.EVENT:
        this.events.push(start, end)
        break
      case Tag.LINK:
        this.links.push(start, end)
        break
      case Tag.STATUS:
        this.#readStatus(buf, start, end)
        break
    }
  }

  #readStatus(buf: Uint8Array, start: number, end: number): void {
    if (this.#hasStatus) throw malformed('repeated status in one span')
    this.#hasStatus = true
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === STATUS_MESSAGE_TAG) {
        this.statusMessageStart = field.start
        this.statusMessageEnd = field.end
      } else if (field.tag === STATUS_CODE_TAG) {
        this.statusCode = readInt32(buf, field.start, field.end)
      }
    }
  }
}

/** Whether [start, end) begins with `prefix`. */
export function startsWith(buf: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false
  for (let i = 0; i < prefix.length; i++) if (buf[start + i] !== prefix[i]) return false
  return true
}
