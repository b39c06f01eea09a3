// The process has one thread, and everybody's requests and probes take turns on it. Work that takes long is done in
// slices, and after some milliseconds of it others go first: what arrived meanwhile, then whoever waits longest.
import { performance } from 'node:perf_hooks'

/** What work gets of one turn of the event loop, ms, from its first slice on. */
const TURN_MS = 20

/** Work that can be left where it yields, and others do their own until it goes on. */
export type Slices<Result> = Generator<void, Result>

/** All of it now, for what is small or has nobody to wait. */
export function inOneGo<Result>(work: Slices<Result>): Result {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

export class Turns {
  /** When the work of the present turn began; `undefined` while there was none. */
  #startedMs: number | undefined
  readonly #waiting: (() => void)[] = []
  readonly #nowMs: () => number

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** For work in one go: `undefined` when it may begin at once, else resolves when it may. */
  next(): Promise<void> | undefined {
    if (this.#waiting.length > 0 || this.#isSpent()) return this.#wait()
    this.#begin()
    return undefined
  }

  /** Does the work. Rejects with what it throws. */
  async run<Result>(work: Slices<Result>): Promise<Result> {
    const turn = this.next()
    if (turn) await turn
    for (;;) {
      const { done, value } = work.next()
      if (done) {
        this.#passOn()
        return value
      }
      if (this.#isSpent()) await this.#wait()
    }
  }

  #isSpent(): boolean {
    return this.#startedMs !== undefined && this.#nowMs() - this.#startedMs > TURN_MS
  }

  #begin(): void {
    if (this.#startedMs !== undefined) return
    this.#startedMs = this.#nowMs()
    // By then the event loop has looked for what arrived.
    setImmediate(() => {
      this.#startedMs = undefined
      this.#passOn()
    })
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#begin()
    })
  }

  /** Whoever waits longest has what is left of the turn. */
  #passOn(): void {
    if (this.#waiting.length === 0 || this.#isSpent()) return
    this.#begin()
    this.#waiting.shift()!()
    // What waited works in the job that this has queued. Work in one go says nothing when it is done, so the next is asked
    // for here: one a turn of the event loop would halve what a sidecar can do when many requests come at once.
    queueMicrotask(() => this.#passOn())
  }
}

/** Of this process. */
export const turns = new Turns()
