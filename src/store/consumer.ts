// How far one exporter is with one signal. Everything up to `cursor` is acknowledged; above it, `outstanding` was handed
// out and is not acknowledged, `ahead` is acknowledged out of order while another consumer still holds the entry.
// Encoded: version 1 | cursor 8 | ahead, 8 each. Numbers are big-endian doubles, exact up to 2^53.
import type { Signal } from '../wire/otlp.ts'

const VERSION = 1

/** Entries that may be acknowledged out of order before the oldest outstanding one must come in. */
export const AHEAD_COUNT_MAX = 16_384

export class Consumer {
  readonly signal: Signal
  readonly name: string
  /** In ascending order, since entries are handed out in that order. */
  readonly #outstanding = new Set<number>()
  readonly #ahead: Set<number>
  #handedOut: number

  constructor(signal: Signal, name: string, record?: Uint8Array) {
    this.signal = signal
    this.name = name
    const { cursor, ahead } = decode(record)
    this.#handedOut = cursor
    this.#ahead = new Set(ahead)
  }

  get cursor(): number {
    for (const oldest of this.#outstanding) return oldest - 1
    return this.#handedOut
  }

  get isBlocked(): boolean {
    return this.#ahead.size >= AHEAD_COUNT_MAX
  }

  isAcknowledged(sequence: number): boolean {
    return this.#ahead.has(sequence) || (sequence <= this.#handedOut && !this.#outstanding.has(sequence))
  }

  /** An entry was given to the drain. */
  handOut(sequence: number): void {
    if (sequence <= this.#handedOut) return
    this.#outstanding.add(sequence)
    this.#handedOut = sequence
  }

  acknowledge(sequence: number): void {
    this.#outstanding.delete(sequence)
    const cursor = this.cursor
    if (sequence > cursor) this.#ahead.add(sequence)
    for (const acknowledged of this.#ahead) if (acknowledged <= cursor) this.#ahead.delete(acknowledged)
  }

  /** The entry has left the queue, so that nothing need be remembered of it. */
  forget(sequence: number): void {
    this.#ahead.delete(sequence)
    this.#outstanding.delete(sequence)
  }

  encode(): Buffer {
    const record = Buffer.alloc(9 + 8 * this.#ahead.size)
    record[0] = VERSION
    let position = record.writeDoubleBE(this.cursor, 1)
    for (const sequence of this.#ahead) position = record.writeDoubleBE(sequence, position)
    return record
  }
}

/** A record that is not ours counts as none: the consumer starts at the oldest entry and a few are sent again. */
function decode(record: Uint8Array | undefined): { cursor: number; ahead: number[] } {
  if (!record || record[0] !== VERSION || record.length < 9 || (record.length - 1) % 8 !== 0)
    return { cursor: 0, ahead: [] }
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length)
  const ahead: number[] = []
  for (let position = 9; position < bytes.length; position += 8) ahead.push(bytes.readDoubleBE(position))
  return { cursor: bytes.readDoubleBE(1), ahead }
}
