import type { Clock } from '../base/clock.ts'

const RETRY_MS_MIN = 1_000
const RETRY_MS_MAX = 30_000
const HALF_LIFE_MS = 10_000

/** How fast the queue empties, as a decaying average, so that a refusal can say when there will be room. */
export class DrainRate {
  readonly #clock: Clock
  #bytesPerMs = 0
  #atMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#atMs = clock.monotonicMs()
  }

  drained(bytes: number): void {
    this.#bytesPerMs = this.#decayed() + (bytes * Math.LN2) / HALF_LIFE_MS
  }

  /** Milliseconds until `bytes` will have left, within 1 to 30 s; the upper end while nothing leaves at all. */
  retryAfterMs(bytes: number): number {
    const rate = this.#decayed()
    if (rate <= 0) return RETRY_MS_MAX
    return Math.round(Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, bytes / rate)))
  }

  #decayed(): number {
    const nowMs = this.#clock.monotonicMs()
    this.#bytesPerMs *= 0.5 ** ((nowMs - this.#atMs) / HALF_LIFE_MS)
    this.#atMs = nowMs
    return this.#bytesPerMs
  }
}
