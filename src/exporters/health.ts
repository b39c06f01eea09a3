import type { Clock } from '../base/clock.ts'

/** How one exporter is doing, for readiness and the admin pages. Times are wall clock, ms. */
export interface ExporterHealth {
  readonly id: string
  readonly ok: boolean
  readonly lastOkMs: number | undefined
  readonly failingSinceMs: number | undefined
  /** Reason of the latest failed attempt: a constant word, never the peer's text. */
  readonly lastError: string | undefined
  readonly inFlight: number
}

export class HealthRecord {
  readonly #id: string
  readonly #clock: Clock
  #lastOkMs: number | undefined
  #failingSinceMs: number | undefined
  #lastError: string | undefined

  constructor(id: string, clock: Clock) {
    this.#id = id
    this.#clock = clock
  }

  /** True when this ends a time of failures. */
  succeeded(): boolean {
    const wasFailing = this.#failingSinceMs !== undefined
    this.#lastOkMs = this.#clock.nowMs()
    this.#failingSinceMs = undefined
    return wasFailing
  }

  /** True when this begins a time of failures. */
  failed(reason: string): boolean {
    const isFirst = this.#failingSinceMs === undefined
    this.#failingSinceMs ??= this.#clock.nowMs()
    this.#lastError = reason
    return isFirst
  }

  read(inFlight: number): ExporterHealth {
    return {
      id: this.#id,
      ok: this.#failingSinceMs === undefined,
      lastOkMs: this.#lastOkMs,
      failingSinceMs: this.#failingSinceMs,
      lastError: this.#lastError,
      inFlight,
    }
  }
}
