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

  run(signal: Signal): void {
    this.#edits.reset(this.#buf.length)
    this.#edits.mayEditRoot = true
    this.#message(REQUEST_OF[signal], 0, this.#buf.length)
    this.#edits.mayEditRoot = false
  }

  /** Where the walk is. */
  get where(): string {
    return pathText(this.#path, this.#indexes)
  }

  #message(message: MessageName, start: number, end: number): void {
    const specs = FIELDS.get(message)!
    const counts = new Map<FieldSpec, number>()
    const depth = this.#path.length
    const fields = new Fields(this.#buf, start, end)
    while (fields.next()) {
      const spec = specs.get(fields.field)
      if (spec === undefined) {
        this.#handler.unknown?.(fields.wireType, fields.fieldStart, fields.start, fields.end)
        continue
      }
      // The rest are numbers, or packed ones.
      if (fields.wireType !== Wire.LENGTH || !isWalked(spec)) continue
      const index = counts.get(spec) ?? 0
      counts.set(spec, index + 1)
      this.#path[depth] = spec
      this.#indexes[depth] = index
      this.#field(spec, fields)
      this.#path.length = depth
    }
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
