import { SidecarError } from '../base/errors.ts'

/** Sequences whose refusal is remembered for a caller that asks late. */
const REFUSED_COUNT_MAX = 1024

/** Those who wait until all consumers are done with an entry (`ack: exported`). */
export class ExportWaiters {
  readonly #waiters = new Map<number, PromiseWithResolvers<void>>()
  readonly #refused = new Set<number>()
  #isClosed = false

  /** Resolves when the entry is done, at once when it is not live any more; rejects DOWNSTREAM_REFUSED. */
  wait(sequence: number, isLive: () => boolean): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed())
    if (!isLive()) return this.#refused.has(sequence) ? Promise.reject(refusal()) : Promise.resolve()
    let waiter = this.#waiters.get(sequence)
    if (!waiter) {
      waiter = Promise.withResolvers<void>()
      this.#waiters.set(sequence, waiter)
    }
    return waiter.promise
  }

  /** One of the consumers was told that its next hop will never take the entry. */
  refuse(sequence: number): void {
    this.#refused.add(sequence)
    for (const oldest of this.#refused) {
      if (this.#refused.size <= REFUSED_COUNT_MAX) return
      this.#refused.delete(oldest)
    }
  }

  isRefused(sequence: number): boolean {
    return this.#refused.has(sequence)
  }

  /** The last consumer is done with the entry. */
  done(sequence: number): void {
    const waiter = this.#waiters.get(sequence)
    if (!waiter) return
    this.#waiters.delete(sequence)
    if (this.#refused.has(sequence)) waiter.reject(refusal())
    else waiter.resolve()
  }

  close(): void {
    this.#isClosed = true
    for (const waiter of this.#waiters.values()) waiter.reject(closed())
    this.#waiters.clear()
  }
}

function refusal(): SidecarError {
  return new SidecarError('DOWNSTREAM_REFUSED', 'the next hop refused the data for good')
}

function closed(): SidecarError {
  return new SidecarError('SHUTTING_DOWN', 'the store is closed')
}
