// Without a store: one request goes to every exporter of its signal, once each, and is OK when all have it. Trying again
// is the client's, which has the only copy; an exporter that already took the request then gets it a second time.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import { type ExporterHealth, HealthRecord } from './health.ts'
import type { ExporterMetrics } from './metrics.ts'
import type { Sender, SendOutcome } from './sender.ts'

const RETRY_AFTER_MS = 1_000

export interface DirectSettings {
  readonly senders: ReadonlyMap<Signal, readonly Sender[]>
  readonly metrics: ExporterMetrics
  readonly clock: Clock
}

export class DirectExport {
  readonly #parts: DirectSettings
  readonly #health = new Map<string, HealthRecord>()
  readonly #abort = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  constructor(parts: DirectSettings) {
    this.#parts = parts
    for (const sender of [...parts.senders.values()].flat()) {
      this.#health.set(sender.id, new HealthRecord(sender.id, parts.clock))
    }
  }

  /**
   * Resolves when every exporter has the request. Rejects DOWNSTREAM_UNAVAILABLE, with the longest wait that a peer
   * asked for, as long as any of them may still take it; DOWNSTREAM_REFUSED when none of the others will.
   */
  async send(signal: Signal, body: Uint8Array, itemCount: number): Promise<void> {
    if (this.#abort.signal.aborted) throw new SidecarError('SHUTTING_DOWN', 'the exporters are closed')
    const senders = this.#parts.senders.get(signal) ?? []
    const running = Promise.all(senders.map((sender) => this.#attempt(sender, signal, body, itemCount)))
    this.#running.add(running)
    const outcomes = await running.finally(() => this.#running.delete(running))
    const retries = outcomes.filter((outcome) => outcome.kind === 'retry')
    if (retries.length > 0) {
      const retryAfterMs = Math.max(...retries.map((outcome) => outcome.afterMs ?? RETRY_AFTER_MS))
      throw new SidecarError('DOWNSTREAM_UNAVAILABLE', 'the next hop did not take the data', { retryAfterMs })
    }
    if (outcomes.some((outcome) => outcome.kind === 'refused')) {
      throw new SidecarError('DOWNSTREAM_REFUSED', 'the next hop refused the data for good')
    }
  }

  health(): ExporterHealth[] {
    const senders = new Set([...this.#parts.senders.values()].flat())
    return [...senders].flatMap((sender) => {
      const record = this.#health.get(sender.id)
      return record ? [record.read(this.#running.size, sender.problem?.())] : []
    })
  }

  /** Lets what is under way finish within the grace, then breaks it off. */
  async stop(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.#abort.abort(), graceMs)
    await Promise.allSettled(this.#running)
    clearTimeout(timer)
    this.#abort.abort()
  }

  async #attempt(sender: Sender, signal: Signal, body: Uint8Array, itemCount: number): Promise<SendOutcome> {
    const { metrics } = this.#parts
    const health = this.#health.get(sender.id)
    let outcome: SendOutcome
    try {
      outcome = await sender.send(signal, body, this.#abort.signal)
    } catch {
      outcome = { kind: 'retry', afterMs: undefined, reason: 'aborted' }
    }
    if (outcome.kind === 'ok') {
      const rejected = Math.min(outcome.rejectedItems, itemCount)
      metrics.sent(sender.id, signal, itemCount - rejected)
      if (rejected > 0) metrics.dropped(sender.id, 'partial_success', rejected)
      health?.succeeded()
    } else {
      const needsMending = outcome.kind === 'retry' && outcome.needsMending === true
      metrics.sendFailed(sender.id, signal, itemCount)
      if (needsMending) metrics.needsMending(sender.id, outcome.reason)
      health?.failed(outcome.reason, needsMending)
    }
    return outcome
  }
}
