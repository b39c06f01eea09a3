// From the queue to one next hop: read, send, decide, acknowledge. An entry is acknowledged only when the peer has it,
// or when it was given up: then dead letter first, then tombstone, then acknowledgement. A crash between any two of
// these repeats a step and loses nothing.
import { pause } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { loggable } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { DeadLetter, DrainedEntry } from './dead-letter.ts'
import { type ExporterHealth, HealthRecord } from './health.ts'
import type { ExporterMetrics } from './metrics.ts'
import { OTLP_DEFAULTS, RETRY_DEFAULTS, type RetryOptions } from './options.ts'
import { decideRetry } from './retry.ts'
import type { Sender, SendOutcome } from './sender.ts'

/** The part of the store that a drain uses. */
export interface DrainSource {
  next(consumer: string, afterSequence: number, count: number): DrainedEntry[]
  ack(consumer: string, sequence: number, isRefused?: boolean): void
  onEntries(signal: Signal, listener: () => void): () => void
}

export interface DrainSettings {
  readonly source: DrainSource
  readonly sender: Sender
  /** The signals whose pipelines name this exporter, each with its consumer in the store. */
  readonly consumers: ReadonlyMap<Signal, string>
  readonly deadLetter: DeadLetter
  readonly attempts: AttemptRecord
  /** Called for what is given up, before it is acknowledged: the tombstone. Called again when it rejects. */
  readonly onDropped: (entry: DrainedEntry, reason: string) => Promise<void>
  readonly metrics: ExporterMetrics
  readonly log: Logger
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly retry?: RetryOptions
  readonly consumerCount?: number
}

/** Bodies on their way at once, bytes; one larger than this goes alone. */
const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024

interface Position {
  readonly signal: Signal
  readonly consumer: string
  after: number
}

export class Drain {
  readonly #parts: DrainSettings
  readonly #retry: RetryOptions
  readonly #consumerCount: number
  readonly #positions: Position[]
  readonly #abort = new AbortController()
  /** Aborts when stopping begins: ends waits, not sends. */
  readonly #wake = new AbortController()
  readonly #health: HealthRecord
  readonly #inFlight = new Set<Promise<void>>()
  #inFlightBytes = 0
  #turn = 0
  #unsubscribe: (() => void)[] = []

  constructor(parts: DrainSettings) {
    this.#parts = parts
    this.#retry = parts.retry ?? RETRY_DEFAULTS
    this.#consumerCount = parts.consumerCount ?? OTLP_DEFAULTS.consumerCount
    this.#positions = [...parts.consumers].map(([signal, consumer]) => ({ signal, consumer, after: 0 }))
    this.#health = new HealthRecord(parts.sender.id, parts.clock)
  }

  start(): void {
    const { source, sender, log } = this.#parts
    const problem = sender.problem?.()
    if (problem)
      log.error(
        { exporter: sender.id, ...problem },
        'the exporter waits until it is mended; what is for it is kept',
      )
    this.#unsubscribe = this.#positions.map(({ signal }) => source.onEntries(signal, () => this.#pump()))
    this.#pump()
  }

  /** Takes nothing more and lets what is under way finish; at the deadline, in ms from now, breaks it off unacknowledged. */
  async stop(graceMs: number): Promise<void> {
    this.#wake.abort()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    const timer = setTimeout(() => this.#abort.abort(), graceMs)
    await Promise.all(this.#inFlight)
    clearTimeout(timer)
    this.#abort.abort()
  }

  health(): ExporterHealth {
    return this.#health.read(this.#inFlight.size, this.#parts.sender.problem?.())
  }

  #pump(): void {
    while (!this.#wake.signal.aborted && this.#inFlight.size < this.#consumerCount) {
      if (this.#inFlight.size > 0 && this.#inFlightBytes >= IN_FLIGHT_BYTES_MAX) return
      const found = this.#take()
      if (!found) return
      this.#inFlightBytes += found.entry.body.length
      const running = this.#finish(found.entry, found.position.consumer)
        .catch((thrown) => this.#unreadable(thrown))
        .finally(() => {
          this.#inFlight.delete(running)
          this.#inFlightBytes -= found.entry.body.length
          this.#pump()
        })
      this.#inFlight.add(running)
    }
  }

  /** The next entry, the signals in turn. A queue that cannot be read is shown by health, and tried again later. */
  #take(): { entry: DrainedEntry; position: Position } | undefined {
    try {
      for (let i = 0; i < this.#positions.length; i++) {
        const position = this.#positions[this.#turn++ % this.#positions.length]
        const [entry] = this.#parts.source.next(position.consumer, position.after, 1)
        if (!entry) continue
        position.after = entry.sequence
        return { entry, position }
      }
    } catch (thrown) {
      this.#unreadable(thrown)
    }
    return undefined
  }

  /** The store failed under a read or an acknowledgement; the entry stays and comes again after a restart. */
  #unreadable(thrown: unknown): void {
    this.#health.failed('queue_unreadable')
    this.#parts.log.error(
      { exporter: this.#parts.sender.id, ...loggable(thrown) },
      'the queue cannot be read',
    )
  }

  async #finish(entry: DrainedEntry, consumer: string): Promise<void> {
    const { sender, source, metrics, clock, attempts } = this.#parts
    if (attempts.isCondemned(consumer, entry)) return this.#setAside(entry, consumer)
    const startedMs = clock.monotonicMs()
    for (let index = 0; !this.#abort.signal.aborted; index++) {
      const outcome = await this.#attempt(entry, consumer)
      if (!outcome) return
      if (outcome.kind === 'ok') {
        this.#count(entry, outcome)
        source.ack(consumer, entry.sequence)
        return
      }
      metrics.sendFailed(sender.id, entry.signal, entry.itemCount)
      const elapsedMs = clock.monotonicMs() - startedMs
      const decision = decideRetry(outcome, { index, elapsedMs, random: this.#parts.random() }, this.#retry)
      if (decision.kind === 'giveUp') {
        if (await this.#giveUp(entry, decision.reason)) source.ack(consumer, entry.sequence, true)
        return
      }
      await pause(decision.ms, this.#wake.signal)
      if (this.#wake.signal.aborted) return
    }
  }

  /** `undefined` when it was broken off. What a sender throws by mistake is a failed attempt. */
  async #attempt(entry: DrainedEntry, consumer: string): Promise<SendOutcome | undefined> {
    const { sender, log, metrics, attempts } = this.#parts
    const { signal } = this.#abort
    const end = await attempts.begin(consumer, entry)
    let outcome: SendOutcome
    try {
      outcome = await sender.send(entry.signal, entry.body, signal, end)
    } catch (thrown) {
      if (signal.aborted) return undefined
      log.error({ exporter: sender.id, ...loggable(thrown) }, 'exporter failed')
      outcome = { kind: 'retry', afterMs: undefined, reason: 'internal' }
    } finally {
      end()
    }
    if (outcome.kind === 'ok') {
      if (this.#health.succeeded()) log.info({ exporter: sender.id }, 'exporting works again')
      return outcome
    }
    const { reason } = outcome
    const needsMending = outcome.kind === 'retry' && outcome.needsMending === true
    if (needsMending) metrics.needsMending(sender.id, reason)
    if (this.#health.failed(reason, needsMending)) {
      log.warn(
        { exporter: sender.id, reason },
        needsMending ? 'exporting fails until it is mended' : 'exporting fails',
      )
    }
    return outcome
  }

  /** The process died over it twice and is not asked to try a third time. */
  async #setAside(entry: DrainedEntry, consumer: string): Promise<void> {
    const { sender, source, metrics, attempts } = this.#parts
    if (!(await this.#giveUp(entry, 'ended_process'))) return
    metrics.setAside(sender.id, entry.itemCount)
    source.ack(consumer, entry.sequence, true)
    attempts.forget(consumer, entry)
  }

  #count(entry: DrainedEntry, outcome: Extract<SendOutcome, { kind: 'ok' }>): void {
    const { sender, metrics, log } = this.#parts
    const rejected = Math.min(outcome.rejectedItems, entry.itemCount)
    metrics.sent(sender.id, entry.signal, entry.itemCount - rejected)
    if (rejected === 0) return
    metrics.dropped(sender.id, 'partial_success', rejected)
    log.warn({ exporter: sender.id, rejected }, 'the next hop took only a part')
  }

  /** Dead letter, then tombstone, each until it works. False when it was broken off: the entry comes again. */
  async #giveUp(entry: DrainedEntry, reason: string): Promise<boolean> {
    const { sender, deadLetter, onDropped, metrics, log, clock } = this.#parts
    const isKept = await this.#persist(() => deadLetter.keep(entry, sender.id, reason, clock.nowMs()))
    const isTold = isKept && (await this.#persist(() => onDropped(entry, reason)))
    if (!isTold) return false
    metrics.dropped(sender.id, reason, entry.itemCount)
    log.warn({ exporter: sender.id, reason, itemCount: entry.itemCount }, 'given up')
    return true
  }

  /** Does the step again until it does not reject. False when it was broken off. */
  async #persist(step: () => Promise<void>): Promise<boolean> {
    for (let index = 0; !this.#abort.signal.aborted; index++) {
      try {
        await step()
        return true
      } catch (thrown) {
        this.#parts.log.error(
          { exporter: this.#parts.sender.id, ...loggable(thrown) },
          'cannot record what was given up',
        )
        const outcome = { kind: 'retry', afterMs: undefined, reason: 'not_recorded' } as const
        const attempt = { index, elapsedMs: 0, random: this.#parts.random() }
        const decision = decideRetry(outcome, attempt, { ...this.#retry, elapsedMsMax: 0 })
        await pause(decision.kind === 'wait' ? decision.ms : 0, this.#wake.signal)
        if (this.#wake.signal.aborted) return false
      }
    }
    return false
  }
}
