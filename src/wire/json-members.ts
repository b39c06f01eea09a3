// The members that a message has in JSON, and which of them a name means. protobuf's JSON mapping has two spellings of a
// name: `startTimeUnixNano` and `start_time_unix_nano`. Other readers take more: case-insensitive ones, or ones that
// drop underscores. So names that differ in case and underscores alone are one member here, which may stand once.
import { MESSAGES } from './messages.ts'
import type { Signal } from './otlp.ts'
import { type FieldSpec, type MessageName, REQUEST_OF, wireTypeOf } from './schema.ts'

export interface JsonMember {
  readonly spec: FieldSpec
  /** One bit per field; members of a oneof share theirs. */
  readonly bit: number
  /** Zero is written too: a member of a oneof, or `optional`. */
  readonly hasPresence: boolean
  readonly wireType: number
  /** Of a message: what is inside. */
  readonly inner: JsonMembers | undefined
}

interface Spelling {
  readonly name: Uint8Array
  readonly member: JsonMember
}

/** Those of one message, or of a file. */
export class JsonMembers {
  /** By the length of the name: few have one in common. */
  readonly #spellings: Spelling[][] = []
  readonly #folded: ReadonlySet<string>

  constructor(fields: readonly FieldSpec[]) {
    this.#folded = new Set(fields.map(({ name }) => folded(name)))
  }

  /** Apart from the constructor, since messages hold one another. */
  fill(fields: readonly FieldSpec[]): this {
    for (const spec of fields) {
      const member = memberOf(fields, spec)
      for (const text of new Set([spec.name, snakeCase(spec.name)])) {
        const name = new TextEncoder().encode(text)
        while (this.#spellings.length <= name.length) this.#spellings.push([])
        this.#spellings[name.length]!.push({ name, member })
      }
    }
    return this
  }

  /** The member whose name, in one of its two spellings, is [start, end) of `text`. */
  named(text: Uint8Array, start: number, end: number): JsonMember | undefined {
    const length = end - start
    if (length >= this.#spellings.length) return undefined
    const spellings = this.#spellings[length]!
    for (let i = 0; i < spellings.length; i++) {
      const { name, member } = spellings[i]!
      let same = 0
      while (same < length && name[same] === text[start + same]) same++
      if (same === length) return member
    }
    return undefined
  }

  /** Whether a name, folded, is that of a member. */
  hasFolded(name: string): boolean {
    return this.#folded.has(name)
  }
}

const OF_MESSAGE: ReadonlyMap<string, JsonMembers> = new Map(
  Object.entries(MESSAGES).map(([name, { fields }]) => [name, new JsonMembers(fields)]),
)
for (const [name, { fields }] of Object.entries(MESSAGES)) OF_MESSAGE.get(name)!.fill(fields)

/** Those of a request. */
export const jsonMembers = (name: MessageName): JsonMembers => OF_MESSAGE.get(name)! // has every message

export const SIGNALS = Object.keys(REQUEST_OF) as readonly Signal[] // the keys of this very table
const groupsOf = (signal: Signal): FieldSpec => MESSAGES[REQUEST_OF[signal]].fields[0]!
const FILE_FIELDS = SIGNALS.map((signal, index) => ({ ...groupsOf(signal), number: index + 1 }))

/** Of a file, where one object may hold requests of several signals. Their groups are numbered by signal, from 1. */
export const FILE_MEMBERS: JsonMembers = new JsonMembers(FILE_FIELDS).fill(FILE_FIELDS)

function memberOf(fields: readonly FieldSpec[], spec: FieldSpec): JsonMember {
  const first = spec.oneof === undefined ? spec : fields.find((field) => field.oneof === spec.oneof)!
  return {
    spec,
    bit: 1 << fields.indexOf(first),
    hasPresence: spec.oneof !== undefined || spec.optional === true,
    wireType: wireTypeOf(spec.type),
    inner: OF_MESSAGE.get(spec.type),
  }
}

/** How the name stands in the .proto file. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** A name without case and underscores. Both ways, since some letters beyond ASCII fold to one of ASCII in one alone. */
export function folded(name: string): string {
  return name.replaceAll('_', '').toUpperCase().toLowerCase()
}
