// The newest entries of one signal, kept after their commit so that a drain that keeps up never reads them back. The
// promise: every live entry above `floor` is here, so a question above it needs no look into the database.
import { entryBytes, type QueueEntry } from './entry.ts'

const COMPACT_AT = 1024

export class RecentEntries {
  readonly #entries = new Map<number, QueueEntry>()
  #sequences: number[] = []
  readonly #bytesMax: number
  #bytes = 0
  #floor: number

  /** `floor`: the newest sequence that may be live in the database without being here. */
  constructor(floor: number, bytesMax: number) {
    this.#floor = floor
    this.#bytesMax = bytesMax
  }

  get floor(): number {
    return this.#floor
  }

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** In ascending order of sequence. Lets go of the oldest, which stay live in the database, to keep within the bound. */
  add(entry: QueueEntry): void {
    const bytes = heldBytes(entry)
    this.#entries.set(entry.sequence, entry)
    this.#sequences.push(entry.sequence)
    this.#bytes += bytes
    // An entry alone above the bound is let go at once, and then all older ones had to go before it.
    for (const oldest of this.#entries.values()) {
      if (this.#bytes <= this.#bytesMax) break
      this.#entries.delete(oldest.sequence)
      this.#bytes -= heldBytes(oldest)
      this.#floor = oldest.sequence
    }
    this.#compact()
  }

  get(sequence: number): QueueEntry | undefined {
    return this.#entries.get(sequence)
  }

  /** The entry has left the queue. */
  delete(sequence: number): QueueEntry | undefined {
    const entry = this.#entries.get(sequence)
    if (!entry) return undefined
    this.#entries.delete(sequence)
    this.#bytes -= heldBytes(entry)
    this.#compact()
    return entry
  }

  /** Entries above `afterSequence`, which must not be below `floor`. */
  *above(afterSequence: number): Generator<QueueEntry> {
    for (let i = firstAbove(this.#sequences, afterSequence); i < this.#sequences.length; i++) {
      const entry = this.#entries.get(this.#sequences[i])
      if (entry) yield entry
    }
  }

  #compact(): void {
    if (this.#sequences.length > COMPACT_AT && this.#entries.size * 2 < this.#sequences.length) {
      this.#sequences = [...this.#entries.keys()]
    }
  }
}

function firstAbove(sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** What keeping the entry keeps alive: a small slice of a large buffer holds all of it. */
function heldBytes(entry: QueueEntry): number {
  const { body } = entry
  const isPooled = body.buffer.byteLength <= Buffer.poolSize
  return entryBytes(isPooled ? body.length : body.buffer.byteLength, entry.refs.length)
}
