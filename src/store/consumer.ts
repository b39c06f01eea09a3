// How far one exporter is with one signal. Entries are handed out in ascending order, so what it has is everything up to
// the last that was handed out, but for the few that are still pending.
// Encoded: version 2 | last handed out 8 | pending, 8 each. Numbers are big-endian doubles, exact up to 2^53.
import type { Signal } from '../wire/otlp.ts'

const VERSION = 2

export class Consumer {
  readonly signal: Signal
  readonly name: string
  /** Handed out, by this process or one before, and not acknowledged. In ascending order. */
  readonly #pending: Set<number>
  #handedOut: number

  constructor(signal: Signal, name: string, record?: Uint8Array) {
    this.signal = signal
    this.name = name
    const { handedOut, pending } = decode(record)
    this.#handedOut = handedOut
    this.#pending = new Set(pending)
  }

  /** Everything up to here is acknowledged. */
  get cursor(): number {
    for (const oldest of this.#pending) return oldest - 1
    return this.#handedOut
  }

  isAcknowledged(sequence: number): boolean {
    return sequence <= this.#handedOut && !this.#pending.has(sequence)
  }

  /** An entry was given to the drain. */
  handOut(sequence: number): void {
    if (sequence <= this.#handedOut) return
    this.#pending.add(sequence)
    this.#handedOut = sequence
  }

  /** Of what was handed out. */
  acknowledge(sequence: number): void {
    this.#pending.delete(sequence)
  }

  /** There is nothing to hand out at that sequence, which is the next one. */
  pass(sequence: number): void {
    this.handOut(sequence)
    this.acknowledge(sequence)
  }

  encode(): Buffer {
    const record = Buffer.alloc(9 + 8 * this.#pending.size)
    record[0] = VERSION
    let position = record.writeDoubleBE(this.#handedOut, 1)
    for (const sequence of this.#pending) position = record.writeDoubleBE(sequence, position)
    return record
  }
}

/** A record that is not ours counts as none: the consumer starts at the oldest entry and a few are sent again. */
function decode(record: Uint8Array | undefined): { handedOut: number; pending: number[] } {
  if (!record || record[0] !== VERSION || record.length < 9 || (record.length - 1) % 8 !== 0)
    return { handedOut: 0, pending: [] }
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length)
  const pending: number[] = []
  for (let position = 9; position < bytes.length; position += 8) pending.push(bytes.readDoubleBE(position))
  return { handedOut: bytes.readDoubleBE(1), pending }
}
