// What the consumers of an earlier process had finished, by the cursors they left, whoever is configured now.
import type { Signal } from '../wire/otlp.ts'
import { Consumer } from './consumer.ts'
import { SIGNALS } from './entry.ts'
import type { Cursors } from './journal.ts'

export class Taken {
  readonly #consumers: ReadonlyMap<Signal, readonly Consumer[]>

  constructor(cursors: Cursors) {
    this.#consumers = new Map(SIGNALS.map((signal) => [signal, consumersOf(signal, cursors)]))
  }

  consumer(signal: Signal, name: string): Consumer | undefined {
    return this.#of(signal).find((each) => each.name === name)
  }

  /** Every consumer that there was had it. */
  has(signal: Signal, sequence: number): boolean {
    const consumers = this.#of(signal)
    return consumers.length > 0 && consumers.every((each) => each.isAcknowledged(sequence))
  }

  /** The same, for all up to a sequence. */
  hasAllUpTo(signal: Signal, sequence: number): boolean {
    const consumers = this.#of(signal)
    return consumers.length > 0 && consumers.every((each) => each.cursor >= sequence)
  }

  #of(signal: Signal): readonly Consumer[] {
    return this.#consumers.get(signal) ?? []
  }
}

function consumersOf(signal: Signal, cursors: Cursors): Consumer[] {
  return [...cursors]
    .filter(([name]) => name.startsWith(`${signal}:`))
    .map(([name, record]) => new Consumer(signal, name, record))
}
