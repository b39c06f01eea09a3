// Memory for request bodies, shared by all receivers. Only bytes that have arrived are counted: a size that a client
// declares costs it nothing, so it must take nothing from the others. Whoever finds no room waits in order of arrival
// within its own deadline, because some clients never retry a refusal. Bytes of bodies never exceed `bytesMax`.
//
// Growing is the one way to a deadlock: everybody holds a part and waits for more. So those that hold a part are served
// before those that hold nothing, and when all that hold one wait, the last to ask is refused at once.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import { IN_FLIGHT_BYTES_MAX, WAITING_REQUESTS_MAX } from '../base/limits.ts'

export interface AdmissionOptions {
  /** Bodies in memory at once, over all receivers, bytes. At least the largest request body. */
  readonly bytesMax: number
  /** Requests that may wait at once. */
  readonly waitingMax: number
}

export const admissionDefaults: AdmissionOptions = {
  bytesMax: IN_FLIGHT_BYTES_MAX,
  waitingMax: WAITING_REQUESTS_MAX,
}

const RATE_WINDOW_MS = 5_000
const RETRY_AFTER_MS_MIN = 500
const RETRY_AFTER_MS_UNKNOWN = 5_000

/** Bytes that one request holds. Not released = leaked, so whoever opens releases in a `finally`. */
export interface Lease {
  readonly bytes: number
  /** Whether `grow` is waiting: the client is then held back by us. */
  readonly isWaiting: boolean
  /** Takes more at once if there is room and nobody waits; `false` when there is not. */
  tryGrow(bytes: number): boolean
  /**
   * Takes more, at once when there is room and nobody waits. Rejects TOO_LARGE when it can never fit, OVERLOADED (with a
   * hint) when the deadline passes, too many wait, or the client goes away. One at a time.
   */
  grow(bytes: number): Promise<void>
  /** Gives some bytes back early. */
  shrink(bytes: number): void
  /** Gives everything back; a second call does nothing. */
  release(): void
}

interface Wanted {
  readonly bytes: number
  /** Whether who waits holds a part already. */
  readonly isGrowing: boolean
  /** Counts the bytes, at the moment when they are granted. */
  take(bytes: number): void
}

interface Waiter extends Wanted {
  resolve(): void
  reject(error: SidecarError): void
}

export class Admission {
  readonly #options: AdmissionOptions
  readonly #clock: Clock
  readonly #waiters: Waiter[] = []
  #growingCount = 0
  #leaseCount = 0
  #holdingCount = 0
  #bytesUsed = 0
  #rateStartMs: number
  #bytesReleasedInWindow = 0
  #bytesPerMs = 0
  #isClosed = false

  constructor(options: AdmissionOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#rateStartMs = clock.monotonicMs()
  }

  get bytesMax(): number {
    return this.#options.bytesMax
  }

  get bytesUsed(): number {
    return this.#bytesUsed
  }

  get waitingCount(): number {
    return this.#waiters.length
  }

  get leaseCount(): number {
    return this.#leaseCount
  }

  /** For one request, whose waits end at the deadline on `clock.monotonicMs()` or when `abort` fires. Holds nothing yet. */
  open(deadlineMs: number, abort: AbortSignal): Lease {
    this.#leaseCount += 1
    return this.#lease(deadlineMs, abort)
  }

  /** From here on nobody waits: those waiting and those to come are told that we are going down. */
  close(): void {
    this.#isClosed = true
    for (const waiter of this.#waiters.splice(0)) {
      if (waiter.isGrowing) this.#growingCount -= 1
      waiter.reject(new SidecarError('SHUTTING_DOWN', 'shutting down'))
    }
  }

  #hasRoomNow(bytes: number): boolean {
    return this.#waiters.length === 0 && this.#bytesUsed + bytes <= this.#options.bytesMax
  }

  #lease(deadlineMs: number, abort: AbortSignal): Lease {
    const admission = this
    let held = 0
    let isReleased = false
    let isWaiting = false
    const take = (more: number): void => {
      // Released while it waited: it takes nothing.
      if (isReleased) return
      if (held === 0 && more > 0) admission.#holdingCount += 1
      admission.#bytesUsed += more
      held += more
    }
    return {
      get bytes() {
        return held
      },
      get isWaiting() {
        return isWaiting
      },
      tryGrow(more) {
        if (isReleased || !admission.#hasRoomNow(more)) return false
        take(more)
        return true
      },
      async grow(more) {
        if (this.tryGrow(more)) return
        if (held + more > admission.#options.bytesMax) {
          throw new SidecarError('TOO_LARGE', 'request is larger than the memory for requests')
        }
        isWaiting = true
        try {
          await admission.#wait({ bytes: more, isGrowing: held > 0, take }, deadlineMs, abort)
        } finally {
          isWaiting = false
        }
      },
      shrink(less) {
        const given = Math.min(less, held)
        if (isReleased || given === 0) return
        held -= given
        if (held === 0) admission.#holdingCount -= 1
        admission.#give(given)
      },
      release() {
        if (isReleased) return
        isReleased = true
        admission.#leaseCount -= 1
        if (held > 0) admission.#holdingCount -= 1
        const given = held
        held = 0
        admission.#give(given)
      },
    }
  }

  #wait(wanted: Wanted, deadlineMs: number, abort: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (message: string): void => reject(this.#overloaded(wanted.bytes, message))
      if (this.#isClosed) return reject(new SidecarError('SHUTTING_DOWN', 'shutting down'))
      if (abort.aborted) return refuse('client went away while it waited for memory')
      if (this.#waiters.length >= this.#options.waitingMax) return refuse('too many requests wait for memory')
      const leftMs = deadlineMs - this.#clock.monotonicMs()
      if (leftMs <= 0) return refuse('no memory for the request within its deadline')

      const settle = (): void => {
        clearTimeout(timer)
        abort.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter = {
        ...wanted,
        resolve() {
          settle()
          resolve()
        },
        reject(error) {
          settle()
          reject(error)
        },
      }
      const onAbort = (): void => this.#leave(waiter, 'client went away while it waited for memory')
      const timer = setTimeout(
        () => this.#leave(waiter, 'no memory for the request within its deadline'),
        leftMs,
      )
      abort.addEventListener('abort', onAbort, { once: true })
      this.#enqueue(waiter)
      this.#serve()
    })
  }

  #enqueue(waiter: Waiter): void {
    if (!waiter.isGrowing) this.#waiters.push(waiter)
    else this.#waiters.splice(this.#growingCount++, 0, waiter)
  }

  #remove(waiter: Waiter): boolean {
    const index = this.#waiters.indexOf(waiter)
    if (index < 0) return false
    this.#waiters.splice(index, 1)
    if (waiter.isGrowing) this.#growingCount -= 1
    return true
  }

  #leave(waiter: Waiter, message: string): void {
    if (!this.#remove(waiter)) return
    waiter.reject(this.#overloaded(waiter.bytes, message))
    // Whoever stood behind a large one may fit now.
    this.#serve()
  }

  #give(bytes: number): void {
    this.#bytesUsed -= bytes
    this.#measure(bytes)
    this.#serve()
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const waiter = this.#waiters[0]!
      if (this.#bytesUsed + waiter.bytes > this.#options.bytesMax) break
      this.#remove(waiter)
      waiter.take(waiter.bytes)
      waiter.resolve()
    }
    if (this.#growingCount > 0 && this.#growingCount >= this.#holdingCount) {
      // Nobody can finish: the last grower gives up what it holds. Its release serves the others.
      const last = this.#waiters[this.#growingCount - 1]!
      this.#remove(last)
      last.reject(this.#overloaded(last.bytes, 'every request in flight waits for more memory'))
    }
  }

  #measure(bytes: number): void {
    this.#bytesReleasedInWindow += bytes
    const elapsedMs = this.#clock.monotonicMs() - this.#rateStartMs
    if (elapsedMs < RATE_WINDOW_MS) return
    this.#bytesPerMs = this.#bytesReleasedInWindow / elapsedMs
    this.#bytesReleasedInWindow = 0
    this.#rateStartMs += elapsedMs
  }

  // The time in which, at the recent rate of release, those before the client and the client itself would be served.
  #overloaded(bytes: number, message: string): SidecarError {
    let bytesAhead = bytes
    for (const waiter of this.#waiters) bytesAhead += waiter.bytes
    const elapsedMs = Math.max(1, this.#clock.monotonicMs() - this.#rateStartMs)
    const bytesPerMs = Math.max(this.#bytesPerMs, this.#bytesReleasedInWindow / elapsedMs)
    const waitMs = bytesPerMs > 0 ? bytesAhead / bytesPerMs : RETRY_AFTER_MS_UNKNOWN
    return new SidecarError('OVERLOADED', message, {
      retryAfterMs: Math.max(RETRY_AFTER_MS_MIN, Math.ceil(waitMs)),
    })
  }
}
