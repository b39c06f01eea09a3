import type { Clock } from './clock.ts'

/** So many at once, and so many a second after that. */
export class TokenBucket {
  readonly #clock: Clock
  readonly #countMax: number
  readonly #perSecond: number
  #left: number
  #filledAtMs: number

  constructor(clock: Clock, countMax: number, perSecond: number) {
    this.#clock = clock
    this.#countMax = countMax
    this.#perSecond = perSecond
    this.#left = countMax
    this.#filledAtMs = clock.monotonicMs()
  }

  /** False when there is none left. */
  take(): boolean {
    const nowMs = this.#clock.monotonicMs()
    const grown = ((nowMs - this.#filledAtMs) / 1_000) * this.#perSecond
    this.#left = Math.min(this.#countMax, this.#left + grown)
    this.#filledAtMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
