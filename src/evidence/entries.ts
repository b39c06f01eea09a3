// Attribute lists as integers: where each key and value stands, and in which order they are written. A list inside a
// list stands above it on the same stack, so nested kvlists need no further arrays.
import { malformed } from '../wire/reader.ts'
import { type RangeList, sortRanges } from './byte-order.ts'
import { field, nextField } from './field.ts'

/** Integers per entry: key start, key end, value start, value end. */
const ENTRY = 4
const ENTRIES_MIN = 256
/** Up to here an insertion sort wins, above it would be quadratic. */
const INSERTION_COUNT_MAX = 64

const NOTHING = new Uint8Array(0)

const Tag = { KEY: 0x0a, VALUE: 0x12 } as const

export class Entries implements RangeList {
  count = 0
  /** Bytes of keys that `sort` has compared. */
  bytesCompared = 0
  /** Where the keys stand while they are sorted. */
  buf: Uint8Array = NOTHING
  #ints = new Int32Array(ENTRY * ENTRIES_MIN)
  #order = new Int32Array(ENTRIES_MIN)
  // Spans of one instrumentation carry the same keys in the same order, so the order of the span before is a good
  // first guess: the insertion sort then only compares neighbours.
  #guess = new Int32Array(ENTRIES_MIN)
  #guessCount = 0

  /** Adds an entry whose parts are known. */
  add(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const at = this.count * ENTRY
    if (at + ENTRY > this.#ints.length) this.#grow()
    const ints = this.#ints
    ints[at] = keyStart
    ints[at + 1] = keyEnd
    ints[at + 2] = valueStart
    ints[at + 3] = valueEnd
    this.count++
  }

  /** Adds the KeyValue with content [start, end). Throws MALFORMED on a second key or value. */
  push(buf: Uint8Array, start: number, end: number): void {
    let keyStart = end
    let keyEnd = end
    let valueStart = end
    let valueEnd = end
    let hasKey = false
    let hasValue = false
    for (let pos = start; pos < end; ) {
      pos = nextField(buf, pos, end)
      if (field.tag === Tag.KEY) {
        if (hasKey) throw malformed('repeated key in one attribute')
        hasKey = true
        keyStart = field.start
        keyEnd = field.end
      } else if (field.tag === Tag.VALUE) {
        if (hasValue) throw malformed('repeated value in one attribute')
        hasValue = true
        valueStart = field.start
        valueEnd = field.end
      } else if (field.tag >>> 3 <= 2) throw malformed('field has the wrong wire type')
    }
    this.add(keyStart, keyEnd, valueStart, valueEnd)
  }

  /** Adds an entry of another stack. */
  pushFrom(other: Entries, entry: number): void {
    const ints = other.#ints
    const at = entry * ENTRY
    this.add(ints[at], ints[at + 1], ints[at + 2], ints[at + 3])
  }

  keyStart(entry: number): number {
    return this.#ints[entry * ENTRY]
  }

  keyEnd(entry: number): number {
    return this.#ints[entry * ENTRY + 1]
  }

  valueStart(entry: number): number {
    return this.#ints[entry * ENTRY + 2]
  }

  valueEnd(entry: number): number {
    return this.#ints[entry * ENTRY + 3]
  }

  /** The entry in the `place`-th position, after `sort`. */
  at(place: number): number {
    return this.#order[place]
  }

  /** Orders the entries from `base` to the top by key. True when two keys are equal: their values must decide. */
  sort(buf: Uint8Array, base: number, isGuessable: boolean): boolean {
    const count = this.count - base
    const order = this.#order
    const isGuessed = isGuessable && base === 0 && count === this.#guessCount
    for (let i = 0; i < count; i++) order[base + i] = isGuessed ? this.#guess[i] : base + i
    if (count > INSERTION_COUNT_MAX) return this.#sortMany(buf, base)
    let hasTie = false
    for (let i = base + 1; i < this.count; i++) {
      const entry = order[i]
      let to = i
      while (to > base) {
        const compared = this.compare(buf, order[to - 1], entry)
        if (compared === 0) hasTie = true
        if (compared <= 0) break
        order[to] = order[to - 1]
        to--
      }
      order[to] = entry
    }
    if (isGuessable && base === 0) {
      for (let i = 0; i < count; i++) this.#guess[i] = order[i]
      this.#guessCount = count
    }
    return hasTie
  }

  /** Key against key, as unsigned bytes; a proper prefix comes first. */
  compare(buf: Uint8Array, left: number, right: number): number {
    const ints = this.#ints
    let i = ints[left * ENTRY]
    let j = ints[right * ENTRY]
    const iEnd = ints[left * ENTRY + 1]
    const jEnd = ints[right * ENTRY + 1]
    while (i < iEnd && j < jEnd) {
      const difference = buf[i++] - buf[j++]
      if (difference !== 0) {
        this.bytesCompared += i - ints[left * ENTRY]
        return difference
      }
    }
    this.bytesCompared += i - ints[left * ENTRY]
    return iEnd - i - (jEnd - j)
  }

  #sortMany(buf: Uint8Array, base: number): boolean {
    this.buf = buf
    const hasTie = sortRanges(this, this.#order, base, this.count)
    this.buf = NOTHING
    return hasTie
  }

  start(entry: number): number {
    return this.keyStart(entry)
  }

  end(entry: number): number {
    return this.keyEnd(entry)
  }

  #grow(): void {
    this.#ints = grown(this.#ints)
    this.#order = grown(this.#order)
    this.#guess = new Int32Array(this.#order.length)
    this.#guessCount = 0
  }
}

function grown(ints: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(ints.length * 2)
  larger.set(ints)
  return larger
}
