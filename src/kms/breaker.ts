// One circuit breaker. opossum keeps the rolling window, decides when to open and when to try again; what it does not have
// is done here: several successes to close, several trials at once, and outcomes that count for neither side. So it never
// runs a call itself: it is told, afterwards, how those went that count.
import type { EventEmitter } from 'node:events'
import CircuitBreaker from 'opossum'
import { settledOrAborted } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { BreakerOptions } from './breaker-options.ts'
import { asKmsError, type KmsClass, KmsError } from './kms.ts'

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface BreakerSettings {
  readonly options: BreakerOptions
  /** A service that has not answered for so long has failed, whoever gave up waiting. */
  readonly answerMsMax: number
  /** The failures that it is about. */
  readonly counts: (kmsClass: KmsClass) => boolean
  readonly clock: Clock
  /** Emits `rotate` once a second, which moves the window; one for all breakers, so that each needs no timer. */
  readonly rotation: EventEmitter
  readonly onChange: (state: BreakerState, lastError: KmsError | undefined) => void
}

/**
 * An open breaker's answer: the call was not made. Carries the class of the failure that opened it, and is as retryable as
 * that: an open breaker must not turn "denied" into an outage, which stale keys may outlive.
 */
export class BreakerOpenError extends KmsError {
  constructor(operation: string, last: KmsError | undefined, retryAfterMs: number) {
    super(
      last?.kmsClass ?? 'network',
      operation,
      `circuit breaker is open; last failure: ${last?.providerMessage ?? 'unknown'}`,
      {
        ...(last !== undefined && { cause: last }),
        retryAfterMs,
      },
    )
    this.name = 'BreakerOpenException'
  }
}

const WINDOW_MS = 10_000
const WINDOW_BUCKETS = 10
/**
 * How long others wait for the trials of a half-open breaker. A service that is back answers sooner, and all who wait are
 * served with it, not a round of retries later; one that still hangs holds nobody for long.
 */
const TRIALS_MS_MAX = 250

export class Breaker {
  readonly #parts: BreakerSettings
  #circuit: CircuitBreaker<[KmsError | undefined], void>
  /** Moves with every change of state. An outcome speaks only for the period in which its call began. */
  #period = 0
  #trialCount = 0
  #successCount = 0
  #halfOpenAtMs = 0
  #lastError: KmsError | undefined
  /** Resolved, and replaced, when who waits for the trials should look again. */
  #stateChange = Promise.withResolvers<void>()

  constructor(parts: BreakerSettings) {
    this.#parts = parts
    this.#circuit = this.#newCircuit()
  }

  get state(): BreakerState {
    if (this.#circuit.opened) return 'open'
    return this.#circuit.halfOpen ? 'half-open' : 'closed'
  }

  /** Half-open, and as many trials made or under way as successes are needed. */
  get hasTrialsEnough(): boolean {
    const { successesToClose } = this.#parts.options
    return this.state === 'half-open' && this.#trialCount + this.#successCount >= successesToClose
  }

  /** What the newest failure that counted said. */
  get lastError(): KmsError | undefined {
    return this.#lastError
  }

  /**
   * Makes the call, or rejects with `BreakerOpenError` without making it; may wait for the outcome of trials first. A call
   * that its caller gave up early, and a failure that says nothing of the service or the master key, count for neither side.
   */
  async call<T>(operation: string, abort: AbortSignal, run: () => Promise<T>): Promise<T> {
    const waitUntilMs = this.#parts.clock.monotonicMs() + TRIALS_MS_MAX
    while (this.hasTrialsEnough) await this.#awaitStateChange(operation, abort, waitUntilMs)
    // No await from here to the start of the call: a free place is for one.
    const { state } = this
    if (state === 'open') throw this.#openError(operation)
    const startMs = this.#parts.clock.monotonicMs()
    const period = this.#period
    const isTrial = state === 'half-open'
    if (isTrial) this.#trialCount++
    try {
      const result = await run()
      if (period === this.#period) this.#succeeded(isTrial)
      return result
    } catch (thrown) {
      const error = asKmsError(thrown, operation)
      if (period === this.#period) {
        if (isTrial) this.#trialCount--
        if (this.#counts(error, abort, startMs)) this.#failed(error)
        else if (isTrial) this.#notify()
      }
      throw error
    }
  }

  /** Closed, with nothing remembered. Calls under way go on and count for nothing. */
  reset(): void {
    const wasClosed = this.state === 'closed'
    this.close()
    this.#lastError = undefined
    this.#circuit = this.#newCircuit()
    if (!wasClosed) this.#parts.onChange('closed', undefined)
  }

  /** Ends its timers. */
  close(): void {
    this.#period++
    this.#circuit.shutdown()
    this.#notify()
  }

  async #awaitStateChange(operation: string, abort: AbortSignal, untilMs: number): Promise<void> {
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), untilMs - this.#parts.clock.monotonicMs())
    try {
      const either = AbortSignal.any([abort, overdue.signal])
      await settledOrAborted(this.#stateChange.promise, either, () => this.#openError(operation))
    } finally {
      clearTimeout(timer)
    }
  }

  #notify(): void {
    this.#stateChange.resolve()
    this.#stateChange = Promise.withResolvers()
  }

  #counts(error: KmsError, abort: AbortSignal, startMs: number): boolean {
    const { answerMsMax, clock, counts } = this.#parts
    // Who bounds a call in time aborts with the KmsError that says so; any other reason is the caller's own.
    const isGivenUp = abort.aborted && !(abort.reason instanceof KmsError)
    if (isGivenUp && clock.monotonicMs() - startMs < answerMsMax) return false
    return counts(error.kmsClass)
  }

  #succeeded(isTrial: boolean): void {
    if (!isTrial) {
      this.#report(undefined)
      return
    }
    this.#trialCount--
    this.#successCount++
    // A closed circuit starts with an empty window: the failures that opened the last one are still within ten seconds.
    if (this.#successCount >= this.#parts.options.successesToClose) this.reset()
  }

  #failed(error: KmsError): void {
    this.#lastError = error
    this.#report(error)
  }

  /** A failure takes effect before this returns, since the action throws synchronously. */
  #report(error: KmsError | undefined): void {
    this.#circuit.fire(error).catch(() => {})
  }

  #openError(operation: string): BreakerOpenError {
    const leftMs = Math.ceil(this.#halfOpenAtMs - this.#parts.clock.monotonicMs())
    const retryAfterMs = this.state === 'open' ? Math.max(1, leftMs) : TRIALS_MS_MAX
    return new BreakerOpenError(operation, this.#lastError, retryAfterMs)
  }

  #newCircuit(): CircuitBreaker<[KmsError | undefined], void> {
    const { options, clock, rotation, onChange } = this.#parts
    const circuit = new CircuitBreaker<[KmsError | undefined], void>(outcome, {
      timeout: false,
      resetTimeout: options.openMs,
      volumeThreshold: options.requestsMin,
      // opossum opens above its threshold, we at ours; 100 would never open.
      errorThresholdPercentage: options.failurePercent - 1e-6,
      rollingCountTimeout: WINDOW_MS,
      rollingCountBuckets: WINDOW_BUCKETS,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: rotation,
    })
    circuit.on('open', () => {
      this.#period++
      this.#halfOpenAtMs = clock.monotonicMs() + options.openMs
      this.#notify()
      onChange('open', this.#lastError)
    })
    circuit.on('halfOpen', () => {
      this.#period++
      this.#trialCount = 0
      this.#successCount = 0
      onChange('half-open', this.#lastError)
    })
    return circuit
  }
}

function outcome(error: KmsError | undefined): Promise<void> {
  if (error !== undefined) throw error
  return Promise.resolve()
}
