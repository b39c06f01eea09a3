// Where the entries of one signal stand in one file of the queue, and what became of them. Twenty-one bytes an entry, since
// a full queue of small requests has a million.
const START_COUNT = 16

export const EntryState = { LIVE: 0, LEFT: 1, UNREADABLE: 2 } as const
export type EntryState = (typeof EntryState)[keyof typeof EntryState]

export class EntryIndex {
  #sequences = new Float64Array(START_COUNT)
  #offsets = new Uint32Array(START_COUNT)
  #items = new Uint32Array(START_COUNT)
  #bytes = new Uint32Array(START_COUNT)
  #states = new Uint8Array(START_COUNT)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** In ascending order of sequence. `bytes`: as the queue counts them. */
  push(sequence: number, offset: number, items: number, bytes: number, state: EntryState): void {
    if (this.#count === this.#sequences.length) this.#grow()
    const i = this.#count++
    this.#sequences[i] = sequence
    this.#offsets[i] = offset
    this.#items[i] = items
    this.#bytes[i] = bytes
    this.#states[i] = state
  }

  /** The first at or above a sequence; `count` when there is none. */
  lowerBound(sequence: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sequences[middle] < sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** `undefined` when there is no such entry. */
  find(sequence: number): number | undefined {
    const i = this.lowerBound(sequence)
    return i < this.#count && this.#sequences[i] === sequence ? i : undefined
  }

  sequence(i: number): number {
    return this.#sequences[i]
  }

  offset(i: number): number {
    return this.#offsets[i]
  }

  items(i: number): number {
    return this.#items[i]
  }

  bytes(i: number): number {
    return this.#bytes[i]
  }

  /** Only ever what was written here. */
  state(i: number): EntryState {
    return this.#states[i] as EntryState
  }

  setState(i: number, state: EntryState): void {
    this.#states[i] = state
  }

  #grow(): void {
    const count = 2 * this.#sequences.length
    const grown = <Numbers extends { set(from: Numbers): void }>(to: Numbers, from: Numbers): Numbers => {
      to.set(from)
      return to
    }
    this.#sequences = grown(new Float64Array(count), this.#sequences)
    this.#offsets = grown(new Uint32Array(count), this.#offsets)
    this.#items = grown(new Uint32Array(count), this.#items)
    this.#bytes = grown(new Uint32Array(count), this.#bytes)
    this.#states = grown(new Uint8Array(count), this.#states)
  }
}
