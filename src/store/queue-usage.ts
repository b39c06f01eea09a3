// What the queue holds: bytes against its bound, items for the accounting. Bytes are free when a removal is on disk, items
// leave when the last consumer has them.

import type { Signal } from '../wire/otlp.ts'
import { SIGNALS } from './entry.ts'

export class QueueUsage {
  bytes = 0
  readonly #itemCounts = new Map<Signal, number>(SIGNALS.map((signal) => [signal, 0]))

  /** Items of committed entries that some consumer still has to take, by signal. */
  get itemCounts(): ReadonlyMap<Signal, number> {
    return this.#itemCounts
  }

  get itemCount(): number {
    let sum = 0
    for (const count of this.#itemCounts.values()) sum += count
    return sum
  }

  countItems(signal: Signal, change: number): void {
    this.#itemCounts.set(signal, (this.#itemCounts.get(signal) ?? 0) + change)
  }
}
