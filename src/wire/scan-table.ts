// `schema.ts`, compiled for the scan: one integer per message and field number, so that the walk looks up what a field
// is with one load.
import { isMessage, MESSAGES } from './messages.ts'
import { malformed } from './reader.ts'
import { type FieldSpec, idLength, type MessageName, wireTypeOf } from './schema.ts'

/** What the scan does with a field. UNKNOWN must be 0: it is what an empty slot of the table says. */
export const Op = {
  UNKNOWN: 0,
  SKIP: 1,
  PACKABLE: 2,
  TEXT: 3,
  MESSAGE: 4,
  ATTRIBUTE: 5,
  VALUE: 6,
  ID: 7,
} as const

/** Field numbers below this have a slot; OTLP's largest is 16. */
export const SLOTS = 32

/** Bits of an entry: 0–3 operation, 4–7 wire type, 8–15 place, child message or length of an id, 16–20 presence bit (0: repeated). */
export const WIRE_SHIFT = 4
export const ARGUMENT_SHIFT = 8
export const ONCE_SHIFT = 16

const NAMES = Object.keys(MESSAGES) as MessageName[] // the keys of a Record<MessageName, …>

/** Number of a message: its row in SCAN_TABLE and FRAME_OF. */
export function messageIndex(name: MessageName): number {
  return NAMES.indexOf(name)
}

/** Whether a visitor hears of a message: its `Frame`, or -1. */
export const FRAME_OF: Int32Array = Int32Array.from(NAMES, (name) => MESSAGES[name].frame ?? -1)

export const SCAN_TABLE: Int32Array = compile()

function compile(): Int32Array {
  const table = new Int32Array(NAMES.length * SLOTS)
  for (const name of NAMES) {
    const firstOf = new Map<string, number>()
    for (const field of MESSAGES[name].fields) {
      // Members of a oneof share the presence bit of the first: a second member is a second value.
      const group = field.oneof ?? field.name
      if (!firstOf.has(group)) firstOf.set(group, field.number)
      const once = field.repeated ? 0 : firstOf.get(group)!
      const entry =
        operation(field) | (wireTypeOf(field.type) << WIRE_SHIFT) | (argument(field) << ARGUMENT_SHIFT)
      table[messageIndex(name) * SLOTS + field.number] = entry | (once << ONCE_SHIFT)
    }
  }
  return table
}

function operation(field: FieldSpec): number {
  if (field.type === 'KeyValue') return Op.ATTRIBUTE
  if (field.type === 'AnyValue') return Op.VALUE
  if (isMessage(field.type)) return Op.MESSAGE
  if (field.place !== undefined) return Op.TEXT
  if (idLength(field) > 0) return Op.ID
  return field.repeated ? Op.PACKABLE : Op.SKIP
}

function argument(field: FieldSpec): number {
  if (field.place !== undefined) return field.place
  return isMessage(field.type) ? messageIndex(field.type) : idLength(field)
}

/** Adds a field to those seen. Throws MALFORMED when it, or another member of its oneof, was there before. */
export function once(seen: number, entry: number): number {
  const bit = (entry >>> ONCE_SHIFT) & 31
  if (bit === 0) return seen
  if ((seen & (1 << bit)) !== 0) throw malformed('field is repeated')
  return seen | (1 << bit)
}
