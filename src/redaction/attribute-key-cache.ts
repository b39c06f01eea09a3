// What was decided about a key, kept by its bytes. Keys in telemetry are few and come again with every span; where they
// do not, an entry is decided anew and pushes out another, so memory is bounded and the answer is the same.
import type { Place } from '../wire/otlp.ts'
import type { Profile } from './profile.ts'

const SLOTS = 8192
const KEY_BYTES_MAX = 512
export const NO_PARENT = 0

export const Reserved = { NO: 0, ANNOUNCEMENT: 1, REMOVED: 2, SIGNATURE: 3 } as const
export type Reserved = (typeof Reserved)[keyof typeof Reserved]

export interface AttributeKeyEntry {
  /** Of this entry and no other, from 1 on. */
  readonly id: number
  readonly place: Place
  /** `id` of the entry around it, NO_PARENT for an outermost one. So an entry is of one path, whatever bytes its keys have. */
  readonly parentId: number
  readonly key: Uint8Array
  readonly profile: Profile
  /** Rules that name this key or what is around it. */
  readonly namedBy: readonly number[]
  readonly reserved: Reserved
  /** A detector finds something in the text of the key itself. Never cached. */
  readonly isKeyPersonal: boolean
  /** Where values under it stand, for those that are sealed; made when the first one is. */
  valuePlace: string | undefined
  /** Slot of this entry, and of the key that came after it the last time: spans of one kind have their keys in one order. */
  slot: number
  nextSlot: number
}

export class AttributeKeyCache {
  readonly #slots = new Array<AttributeKeyEntry | undefined>(SLOTS).fill(undefined)

  /** The entry that was found or kept last. */
  #last: AttributeKeyEntry | undefined

  find(
    place: Place,
    parentId: number,
    buf: Uint8Array,
    start: number,
    end: number,
  ): AttributeKeyEntry | undefined {
    const last = this.#last
    const expected = last === undefined ? undefined : this.#slots[last.nextSlot]
    if (expected !== undefined && isFor(expected, place, parentId, buf, start, end)) {
      this.#last = expected
      return expected
    }
    const found = this.#lookUp(place, parentId, buf, start, end)
    if (found !== undefined) this.#follow(found)
    return found
  }

  #follow(entry: AttributeKeyEntry): void {
    // A slot and not the entry: a chain of entries would keep those alive that were pushed out.
    if (this.#last !== undefined) this.#last.nextSlot = entry.slot
    this.#last = entry
  }

  #lookUp(
    place: Place,
    parentId: number,
    buf: Uint8Array,
    start: number,
    end: number,
  ): AttributeKeyEntry | undefined {
    const slot = slotOf(place, parentId, buf, start, end)
    const first = this.#slots[slot]
    if (first !== undefined && isFor(first, place, parentId, buf, start, end)) return first
    const second = this.#slots[slot ^ 1]
    return second !== undefined && isFor(second, place, parentId, buf, start, end) ? second : undefined
  }

  keep(entry: AttributeKeyEntry): void {
    if (entry.key.length > KEY_BYTES_MAX || entry.isKeyPersonal) return
    const slot = slotOf(entry.place, entry.parentId, entry.key, 0, entry.key.length)
    const displaced = this.#slots[slot]
    if (displaced !== undefined) displaced.slot = slot ^ 1
    this.#slots[slot ^ 1] = displaced
    this.#slots[slot] = entry
    entry.slot = slot
    this.#follow(entry)
  }
}

/** Few bytes tell usual keys apart (length, start, end); the comparison afterwards is complete. */
function slotOf(place: Place, parentId: number, buf: Uint8Array, start: number, end: number): number {
  const length = end - start
  let hash =
    Math.imul(length, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b) ^ Math.imul(parentId, 0xc2b2ae35)
  const head = length < 4 ? end : start + 4
  for (let i = start; i < head; i++) hash = Math.imul(hash ^ buf[i], 0x01000193)
  const tail = length < 12 ? head : end - 8
  for (let i = tail; i < end; i++) hash = Math.imul(hash ^ buf[i], 0x01000193)
  return ((hash ^ (hash >>> 15)) >>> 0) % SLOTS
}

function isFor(
  entry: AttributeKeyEntry,
  place: Place,
  parentId: number,
  buf: Uint8Array,
  start: number,
  end: number,
): boolean {
  const key = entry.key
  if (entry.place !== place || entry.parentId !== parentId || key.length !== end - start) return false
  for (let i = 0; i < key.length; i++) if (key[i] !== buf[start + i]) return false
  return true
}
