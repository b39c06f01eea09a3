// How a finished request becomes somebody's responsibility: in the store (the default), or at the next hops when
// there is no store. OK is said when `deliver` resolves, never before.

import { pause } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import type { StatementRecord } from '../evidence/chain.ts'
import type { NewEntry } from '../store/entry.ts'

export interface Waiting {
  readonly deadlineMs: number
  readonly abort: AbortSignal
}

/** What is left to wait for, with `ack: exported`: resolves when the next hops have the entry. It is durable by then. */
export type Confirmation = () => Promise<void>

export interface Delivery {
  /** Resolves when a body of so many bytes will find room; at once when it does now. Rejects QUEUE_FULL at the deadline. */
  room(bytes: number, waiting: Waiting): Promise<void> | void
  /** Rejects retryably when the entry is not durable. Then its statements were handed to `onFailed`. */
  deliver(entry: NewEntry, statements: readonly StatementRecord[]): Promise<Confirmation | undefined>
}

/** The part of the store that delivery uses. */
export interface QueueStore {
  readonly queueBytesUsed: number
  readonly queueBytesMax: number
  append(
    entry: NewEntry,
    statements: readonly StatementRecord[],
  ): {
    readonly durable: Promise<number | undefined>
  }
  exported(sequence: number): Promise<void>
}

export type AckMode = 'durable' | 'enqueue' | 'exported'

export interface StoredDeliverySettings {
  readonly store: QueueStore
  readonly ack: AckMode
  readonly clock: Clock
  /** How long until there is likely room, from the drain's measured rate, ms. */
  readonly retryAfterMs: () => number
  /** Statements that were signed but did not reach the store. Evidence puts them into the next commit. */
  readonly onFailed: (statements: readonly StatementRecord[]) => void
  /** With `ack: enqueue` only: an entry that was said OK to did not reach the disk. */
  readonly onLost: (entry: NewEntry) => void
}

const ROOM_POLL_MS = 20
// Signing and sealing grow a request: a proof has at most about 900 bytes, and a span grows seldom to more than its double.
const GROWTH_FACTOR = 2

export class StoredDelivery implements Delivery {
  readonly #parts: StoredDeliverySettings

  constructor(parts: StoredDeliverySettings) {
    this.#parts = parts
  }

  room(bytes: number, waiting: Waiting): Promise<void> | void {
    if (!this.#hasRoom(bytes)) return this.#waitForRoom(bytes, waiting)
  }

  async deliver(entry: NewEntry, statements: readonly StatementRecord[]): Promise<Confirmation | undefined> {
    const { store, ack, onFailed, onLost } = this.#parts
    try {
      const { durable } = store.append(entry, statements)
      if (ack === 'enqueue') {
        durable.catch(() => {
          onFailed(statements)
          onLost(entry)
        })
        return undefined
      }
      const sequence = await durable
      if (ack === 'exported' && sequence !== undefined) return () => store.exported(sequence)
      return undefined
    } catch (thrown) {
      onFailed(statements)
      const error = asSidecarError(thrown)
      if (error.isRetryable) throw error
      throw new SidecarError('STORE_FAILED', 'store did not take the request', { cause: thrown })
    }
  }

  #hasRoom(bytes: number): boolean {
    const { store } = this.#parts
    return store.queueBytesUsed + bytes * GROWTH_FACTOR <= store.queueBytesMax
  }

  async #waitForRoom(bytes: number, waiting: Waiting): Promise<void> {
    const { clock, retryAfterMs } = this.#parts
    while (clock.monotonicMs() < waiting.deadlineMs && !waiting.abort.aborted) {
      await pause(ROOM_POLL_MS, waiting.abort)
      if (this.#hasRoom(bytes)) return
    }
    throw new SidecarError('QUEUE_FULL', 'queue is full', { retryAfterMs: retryAfterMs() })
  }
}

/** No store: OK means that every next hop said OK. */
export class DirectDelivery implements Delivery {
  readonly #send: (entry: NewEntry) => Promise<void>

  constructor(send: (entry: NewEntry) => Promise<void>) {
    this.#send = send
  }

  room(): void {}

  async deliver(entry: NewEntry): Promise<undefined> {
    await this.#send(entry)
  }
}
