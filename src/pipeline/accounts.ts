// The equation that always holds, per signal: accepted + recovered = exported + queued + rejected + dropped + in flight.
// Items are spans, log records and data points. `queued` is read from the store; the rest is counted here.

import type { ErrorCode } from '../base/errors.ts'
import { Counter, Gauge, type Registry } from '../base/telemetry.ts'
import { FAULT_REASONS } from '../wire/faults.ts'
import type { Signal } from '../wire/otlp.ts'

/** Why accepted items may be given up. */
const DROP_REASONS = ['next_hop_refused', 'store_corrupt', 'store_failed'] as const
export type DropReason = (typeof DROP_REASONS)[number]
const FIRST_SEEN_REASONS = ['QUEUE_FULL', 'KEY_UNAVAILABLE', 'STORE_FAILED'] as const satisfies ErrorCode[]

/** One request's account: opened when it arrives, closed by exactly one of `delivered` and `rejected`. */
export interface OpenAccount {
  /** The request was read to its end and holds so many items. */
  accepted(itemCount: number): void
  /** Those that were rejected for a fault of their own, by reason, were not. */
  delivered(rejected?: ReadonlyMap<string, number>): void
  /** The items that were refused; 0 before `accepted`, when only the request is counted, by the receiver. */
  rejected(reason: string): number
}

export class ItemAccounts {
  readonly #accepted: Counter
  readonly #exported: Counter
  readonly #rejected: Counter
  readonly #dropped: Counter
  readonly #recovered: Counter
  readonly #inFlight: Gauge
  readonly #registry: Registry

  constructor(registry: Registry) {
    const registers = [registry]
    const counter = (name: string, help: string, labelNames: string[]): Counter =>
      new Counter({ name, help, labelNames, registers })
    this.#accepted = counter(
      'betrace_items_accepted_total',
      'Items of requests that were read to their end',
      ['signal'],
    )
    this.#exported = counter(
      'betrace_items_exported_total',
      'Items that every exporter of their pipeline has delivered',
      ['signal'],
    )
    this.#rejected = counter(
      'betrace_items_rejected_total',
      'Items that were read and then refused to the client',
      ['signal', 'reason'],
    )
    this.#dropped = counter('betrace_items_dropped_total', 'Items that were accepted and later given up', [
      'signal',
      'reason',
    ])
    this.#recovered = counter('betrace_items_recovered_total', 'Items found in the queue at start', [
      'signal',
    ])
    this.#inFlight = new Gauge({
      name: 'betrace_items_in_flight',
      help: 'Items between accepted and queued',
      labelNames: ['signal'],
      registers,
    })
    this.#registry = registry
    for (const signal of ['traces', 'logs', 'metrics']) {
      for (const each of [this.#accepted, this.#exported, this.#recovered]) each.inc({ signal }, 0)
      this.#inFlight.set({ signal }, 0)
      // A series that appears with its first event has no rate for it.
      for (const reason of [...FIRST_SEEN_REASONS, ...FAULT_REASONS])
        this.#rejected.inc({ signal, reason }, 0)
      for (const reason of DROP_REASONS) this.#dropped.inc({ signal, reason }, 0)
    }
  }

  open(signal: Signal): OpenAccount {
    let itemsOpen = 0
    return {
      accepted: (itemCount) => {
        itemsOpen = itemCount
        this.#accepted.inc({ signal }, itemCount)
        this.#inFlight.inc({ signal }, itemCount)
      },
      delivered: (rejected) => {
        for (const [reason, count] of rejected ?? []) this.#rejected.inc({ signal, reason }, count)
        this.#inFlight.dec({ signal }, itemsOpen)
        itemsOpen = 0
      },
      rejected: (reason) => {
        if (itemsOpen === 0) return 0
        this.#inFlight.dec({ signal }, itemsOpen)
        this.#rejected.inc({ signal, reason }, itemsOpen)
        return itemsOpen
      },
    }
  }

  /** What stands in the queue now was accepted by an earlier process. From here on the queue is part of the sum. */
  watchQueue(queuedItems: () => ReadonlyMap<Signal, number>): void {
    for (const [signal, itemCount] of queuedItems()) this.#recovered.inc({ signal }, itemCount)
    new Gauge({
      name: 'betrace_items_queued',
      help: 'Items in the queue on disk',
      labelNames: ['signal'],
      registers: [this.#registry],
      collect() {
        for (const [signal, count] of queuedItems()) this.set({ signal }, count)
      },
    })
  }

  exported(signal: Signal, itemCount: number): void {
    this.#exported.inc({ signal }, itemCount)
  }

  dropped(signal: Signal, reason: DropReason, itemCount: number): void {
    this.#dropped.inc({ signal, reason }, itemCount)
  }
}
