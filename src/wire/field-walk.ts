// Every field of a request, by name and position: for what is rare and has to say where it found something. The scan is
// the fast way, and has checked the framing before this walks.
import type { Edits } from './edits.ts'
import { isMessage, MESSAGES } from './messages.ts'
import type { Signal } from './otlp.ts'
import { Fields } from './reader.ts'
import { type FieldSpec, idLength, type MessageName, REQUEST_OF, Wire } from './schema.ts'

/** Edits may be made from each of these; the frames around the range are open. */
export interface FieldHandler {
  enter?(message: MessageName): void
  /** [fieldStart, end) is the whole field of the message that ends. */
  leave?(message: MessageName, fieldStart: number, end: number): void
  text?(start: number, end: number): void
  id?(length: number, start: number, end: number): void
  /** [fieldStart, end) is the whole field, [start, end) its payload. */
  unknown?(wireType: number, fieldStart: number, start: number, end: number): void
}

const FIELDS: ReadonlyMap<MessageName, ReadonlyMap<number, FieldSpec>> = new Map(
  (Object.keys(MESSAGES) as MessageName[]).map((name) => [
    name,
    new Map(MESSAGES[name].fields.map((field) => [field.number, field])),
  ]),
)

/** Walked in one go, about a millisecond. */
const SLICE_BYTES = 16 * 1024

/** How many of each field a message has had. */
type Positions = Map<FieldSpec, number>

/** A place by the names of the schema and by positions: `resourceSpans[0].scopeSpans[1].spans[7].name`. */
export function pathText(path: readonly FieldSpec[], indexes: readonly number[]): string {
  return path.map(({ name, repeated }, i) => (repeated ? `${name}[${indexes[i]}]` : name)).join('.')
}

export class FieldWalk {
  readonly #buf: Uint8Array
  readonly #edits: Edits
  readonly #handler: FieldHandler
  /** The fields that the walk is in, outermost first, with the position of each among its like. */
  readonly #path: FieldSpec[] = []
  readonly #indexes: number[] = []

  constructor(buf: Uint8Array, edits: Edits, handler: FieldHandler) {
    this.#buf = new Uint8Array(buf.buffer, buf.byteOffset, buf.length)
    this.#edits = edits
    this.#handler = handler
  }

  /** Between two slices others have their turn. Nobody else may use the edits until the end. */
  *runInSlices(signal: Signal, sliceBytes: number = SLICE_BYTES): Generator<void, void> {
    this.#edits.reset(this.#buf.length)
    this.#edits.mayEditRoot = true
    yield* this.#long(REQUEST_OF[signal], 0, this.#buf.length, sliceBytes)
    this.#edits.mayEditRoot = false
  }

  /** Where the walk is. */
  get where(): string {
    return pathText(this.#path, this.#indexes)
  }

  /** A message that may be longer than a slice. */
  *#long(message: MessageName, start: number, end: number, sliceBytes: number): Generator<void, void> {
    const positions: Positions = new Map()
    const depth = this.#path.length
    const fields = new Fields(this.#buf, start, end)
    let sliceStart = start
    while (fields.next()) {
      const spec = this.#begin(message, fields, depth, positions)
      if (spec === undefined) continue
      const { lengthAt, fieldStart } = fields
      if (isMessage(spec.type) && fields.end - fields.start > sliceBytes) {
        this.#edits.openFrame(lengthAt, fields.start, fields.end)
        this.#handler.enter?.(spec.type)
        yield* this.#long(spec.type, fields.start, fields.end, sliceBytes)
        this.#edits.closeFrames(1)
        this.#handler.leave?.(spec.type, fieldStart, fields.end)
      } else this.#field(spec, fields)
      this.#path.length = depth
      if (fields.end - sliceStart < sliceBytes) continue
      yield
      sliceStart = fields.end
    }
  }

  #message(message: MessageName, start: number, end: number): void {
    const positions: Positions = new Map()
    const depth = this.#path.length
    const fields = new Fields(this.#buf, start, end)
    while (fields.next()) {
      const spec = this.#begin(message, fields, depth, positions)
      if (spec === undefined) continue
      this.#field(spec, fields)
      this.#path.length = depth
    }
  }

  /** What the field is, when it is walked. */
  #begin(message: MessageName, fields: Fields, depth: number, positions: Positions): FieldSpec | undefined {
    const spec = FIELDS.get(message)!.get(fields.field)
    if (spec === undefined) {
      this.#handler.unknown?.(fields.wireType, fields.fieldStart, fields.start, fields.end)
      return undefined
    }
    // The rest are numbers, or packed ones.
    if (fields.wireType !== Wire.LENGTH || !isWalked(spec)) return undefined
    const index = positions.get(spec) ?? 0
    positions.set(spec, index + 1)
    this.#path[depth] = spec
    this.#indexes[depth] = index
    return spec
  }

  #field(spec: FieldSpec, { fieldStart, lengthAt, start, end }: Fields): void {
    this.#edits.openFrame(lengthAt, start, end)
    const { type } = spec
    if (isMessage(type)) {
      this.#handler.enter?.(type)
      this.#message(type, start, end)
    } else if (type === 'string') this.#handler.text?.(start, end)
    else this.#handler.id?.(idLength(spec), start, end)
    this.#edits.closeFrames(1)
    if (isMessage(type)) this.#handler.leave?.(type, fieldStart, end)
  }
}

function isWalked(spec: FieldSpec): boolean {
  return isMessage(spec.type) || spec.type === 'string' || idLength(spec) > 0
}
