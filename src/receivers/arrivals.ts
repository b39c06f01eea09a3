// Bodies that are on their way in. What a client declares and never sends takes no memory (`admission.ts`), but each
// such body is a call under way, and what it did send stays until it goes on. So who falls silent is cut: soon when
// somebody waits for memory, a little later when nobody does. A body that we hold back ourselves is not silent.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'

/** One body, from its headers to its last byte. */
export interface Arrival {
  /** Whose it is: the socket or the HTTP/2 session. */
  readonly connection: object
  /** Grows while bytes come. */
  bytesSeen(): number
  /** Whether it waits for memory and is not read meanwhile. */
  isHeldBack(): boolean
  /** Answers the client and gives back what the body holds. */
  cut(error: SidecarError): void
}

export interface ArrivalOptions {
  /** From the headers to the last byte, ms. */
  readonly bodyTimeoutMs: number
  /** Without a byte, ms. */
  readonly bodySilenceMs: number
}

/** Without a byte while somebody waits for memory, ms. A lost packet is sent again within this time. */
const SILENCE_MS_UNDER_PRESSURE = 1_000
const SWEEP_MS_MAX = 250

interface Progress {
  bytesSeen: number
  silentMs: number
  readonly startedAtMs: number
}

export class Arrivals {
  readonly #options: ArrivalOptions
  readonly #clock: Clock
  readonly #isShortOfMemory: () => boolean
  readonly #sweepMs: number
  readonly #bodies = new Map<Arrival, Progress>()
  #timer: NodeJS.Timeout | undefined
  #sweptAtMs = 0

  constructor(options: ArrivalOptions, clock: Clock, isShortOfMemory: () => boolean) {
    this.#options = options
    this.#clock = clock
    this.#isShortOfMemory = isShortOfMemory
    this.#sweepMs = Math.min(SWEEP_MS_MAX, options.bodyTimeoutMs / 4, options.bodySilenceMs / 4)
  }

  begin(arrival: Arrival): void {
    const nowMs = this.#clock.monotonicMs()
    this.#bodies.set(arrival, { bytesSeen: arrival.bytesSeen(), silentMs: 0, startedAtMs: nowMs })
    if (this.#timer) return
    this.#sweptAtMs = nowMs
    this.#timer = setInterval(() => this.#sweep(), this.#sweepMs).unref()
  }

  end(arrival: Arrival): void {
    this.#bodies.delete(arrival)
  }

  /**
   * Cuts one body of the connection that has the most of them on their way, the one that is silent for the longest time,
   * so that a newcomer has its place. `false` when no connection has more than the newcomer's.
   */
  makeRoom(connection: object): boolean {
    const counts = new Map<object, number>()
    for (const body of this.#bodies.keys())
      counts.set(body.connection, (counts.get(body.connection) ?? 0) + 1)
    const largest = Math.max(0, ...counts.values())
    if (largest <= (counts.get(connection) ?? 0)) return false
    let victim: Arrival | undefined
    let silentMs = -1
    for (const [body, progress] of this.#bodies) {
      if (counts.get(body.connection) !== largest || progress.silentMs <= silentMs) continue
      victim = body
      silentMs = progress.silentMs
    }
    victim?.cut(new SidecarError('OVERLOADED', 'too many calls under way on one connection'))
    return victim !== undefined
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    // A sweep that comes late was kept waiting by our own work, and so were the bytes that nobody has read yet.
    const elapsedMs = Math.min(nowMs - this.#sweptAtMs, 2 * this.#sweepMs)
    this.#sweptAtMs = nowMs
    if (this.#bodies.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const isShort = this.#isShortOfMemory()
    for (const [body, progress] of [...this.#bodies]) this.#look(body, progress, nowMs, elapsedMs, isShort)
  }

  #look(body: Arrival, progress: Progress, nowMs: number, elapsedMs: number, isShort: boolean): void {
    const { bodyTimeoutMs, bodySilenceMs } = this.#options
    const bytesSeen = body.bytesSeen()
    if (bytesSeen > progress.bytesSeen || body.isHeldBack()) progress.silentMs = 0
    else progress.silentMs += elapsedMs
    progress.bytesSeen = bytesSeen
    const patienceMs = isShort ? Math.min(SILENCE_MS_UNDER_PRESSURE, bodySilenceMs) : bodySilenceMs
    if (progress.silentMs >= patienceMs)
      body.cut(new SidecarError('OVERLOADED', 'request body stopped arriving'))
    else if (nowMs - progress.startedAtMs >= bodyTimeoutMs)
      body.cut(new SidecarError('OVERLOADED', 'request body took too long to arrive'))
  }
}
