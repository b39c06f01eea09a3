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

  /** Takes so many, or none and says `false` when there are fewer. */
  take(count = 1): boolean {
    this.#fill()
    if (this.#left < count) return false
    this.#left -= count
    return true
  }

  /** How long until there are so many, ms. */
  waitMs(count: number): number {
    this.#fill()
    return Math.max(0, ((count - this.#left) / this.#perSecond) * 1_000)
  }

  #fill(): void {
    const nowMs = this.#clock.monotonicMs()
    const grown = ((nowMs - this.#filledAtMs) / 1_000) * this.#perSecond
    this.#left = Math.min(this.#countMax, this.#left + grown)
    this.#filledAtMs = nowMs
  }
}
