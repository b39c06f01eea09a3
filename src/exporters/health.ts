import type { Clock } from '../base/clock.ts'
import type { SenderProblem } from './sender.ts'

/** How one exporter is doing, for readiness and the admin pages. Times are wall clock, ms. */
export interface ExporterHealth {
  readonly id: string
  readonly ok: boolean
  readonly lastOkMs: number | undefined
  readonly failingSinceMs: number | undefined
  /** Reason of the latest failed attempt: a constant word, never the peer's text. */
  readonly lastError: string | undefined
  /** The latest failed attempt will go on failing until a person does something. */
  readonly needsMending: boolean
  readonly inFlight: number
  /** Names the setting, where our own configuration is what has to be mended. */
  readonly detail?: string
}

export class HealthRecord {
  readonly #id: string
  readonly #clock: Clock
  #lastOkMs: number | undefined
  #failingSinceMs: number | undefined
  #lastError: string | undefined
  #needsMending = false
  /** Reasons in this time of failures; they are constant words, so they are few. */
  readonly #reasons = new Set<string>()

  constructor(id: string, clock: Clock) {
    this.#id = id
    this.#clock = clock
  }

  /** True when this ends a time of failures. */
  succeeded(): boolean {
    const wasFailing = this.#failingSinceMs !== undefined
    this.#lastOkMs = this.#clock.nowMs()
    this.#failingSinceMs = undefined
    this.#needsMending = false
    this.#reasons.clear()
    return wasFailing
  }

  /** True when this begins a time of failures, or is a reason that is new in it. */
  failed(reason: string, needsMending = false): boolean {
    const isNew = !this.#reasons.has(reason)
    this.#reasons.add(reason)
    this.#failingSinceMs ??= this.#clock.nowMs()
    this.#lastError = reason
    this.#needsMending = needsMending
    return isNew
  }

  /** A problem that is there now counts before anything was sent. */
  read(inFlight: number, problem?: SenderProblem): ExporterHealth {
    return {
      id: this.#id,
      ok: this.#failingSinceMs === undefined && problem === undefined,
      lastOkMs: this.#lastOkMs,
      failingSinceMs: this.#failingSinceMs,
      lastError: problem?.reason ?? this.#lastError,
      needsMending: this.#needsMending || problem !== undefined,
      inFlight,
      ...(problem && { detail: problem.message }),
    }
  }
}
