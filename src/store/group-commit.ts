// Many appends, one transaction. One commit is under way at a time; whatever comes meanwhile forms the next. Order of
// commits is order of calls. Removals ride along, but a removal that fails is not lost with the appends beside it: the
// next commit after a failure carries removals only, so that a full disk can be emptied.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import type { Environment, Write } from './environment.ts'

/** Bytes of appends in one transaction; the library holds its pages in memory until they are written. */
const COMMIT_BYTES_MAX = 8 * 1024 * 1024
/** Removals in one transaction. */
const COMMIT_REMOVALS_MAX = 4096
/** How long removals wait for an append to ride along with, ms. */
const REMOVAL_WAIT_MS = 20
/** Wait after a failed commit before removals are tried again, ms. */
const FAILED_WAIT_MS = 200

/** What one append wants written. */
export interface Append {
  readonly writes: readonly Write[]
  readonly bytes: number
  /** What became of it, once: on disk, or not written at all. */
  settle(failure: SidecarError | undefined): void
  /** Its commit hangs. Whoever waits is told so; `settle` still follows if the commit ever ends. */
  giveUp(failure: SidecarError): void
}

/** A removal from the queue; `removed` is called when it is on disk. Never given up, but done again. */
export interface Removal {
  readonly writes: readonly Write[]
  removed(): void
}

export interface StoreHealth {
  readonly ok: boolean
  /** Since when commits fail, wall clock ms; `undefined` while they do not. */
  readonly failingSinceMs: number | undefined
  /** Why, as the operating system or the library said it. */
  readonly reason: string | undefined
  /** A commit hangs, or one has left the environment unusable. Nothing is taken until it ends, or the process does. */
  readonly isStuck: boolean
}

export interface GroupCommitOptions {
  readonly environment: Environment
  readonly clock: Clock
  readonly commitMsMax: number
  /** Writes that every commit carries: the sequence, and cursors that moved. */
  readonly companions: (appends: readonly Append[]) => readonly Write[]
  readonly onCommit: (seconds: number, failed: boolean) => void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  #appends: Append[] = []
  #removals: Removal[] = []
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isScheduled = false
  #isClosing = false
  #isStuck = false
  #isBroken = false
  readonly #stuck = Promise.withResolvers<void>()
  #removalsFirst = false
  #failure: { readonly sinceMs: number; readonly reason: string } | undefined

  constructor(options: GroupCommitOptions) {
    this.#options = options
  }

  append(append: Append): void {
    this.#appends.push(append)
    this.#schedule()
  }

  remove(removal: Removal): void {
    this.#removals.push(removal)
    this.wake()
  }

  /** Commits soon, for the sake of removals or companions alone. */
  wake(): void {
    if (this.#timer || this.#running || this.#isScheduled || this.#isClosing || this.#isBroken) return
    this.#timer = setTimeout(() => this.#schedule(), this.#failure ? FAILED_WAIT_MS : REMOVAL_WAIT_MS)
    this.#timer.unref()
  }

  health(): StoreHealth {
    const failure = this.#failure
    return {
      ok: !failure && !this.#isStuck,
      failingSinceMs: failure?.sinceMs,
      reason: failure?.reason,
      isStuck: this.#isStuck,
    }
  }

  /** Writes out what is waiting, and the companions a last time. Says whether the environment may be closed. */
  async close(): Promise<boolean> {
    this.#isClosing = true
    clearTimeout(this.#timer)
    while (this.#running && !this.#isStuck) await Promise.race([this.#running, this.#stuck.promise])
    if (this.#isStuck) return false
    do await this.#commit()
    while (!this.#failure && !this.#isStuck && (this.#appends.length > 0 || this.#removals.length > 0))
    this.#settleWaiting(new SidecarError('SHUTTING_DOWN', 'the store is closed'))
    return !this.#isStuck
  }

  #schedule(): void {
    if (this.#running || this.#isScheduled || this.#isClosing || this.#isBroken) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#running && !this.#isClosing) this.#running = this.#run()
    })
  }

  async #run(): Promise<void> {
    do await this.#commit()
    while (this.#appends.length > 0 && !this.#isBroken)
    this.#running = undefined
    if (this.#removals.length > 0) this.wake()
  }

  async #commit(): Promise<void> {
    const appends = this.#removalsFirst && this.#removals.length > 0 ? [] : this.#takeAppends()
    const removals = this.#removals.splice(0, COMMIT_REMOVALS_MAX)
    const writes = [
      ...appends.flatMap((append) => append.writes),
      ...removals.flatMap((removal) => removal.writes),
    ]
    writes.push(...this.#options.companions(appends))
    if (writes.length === 0) return
    const startMs = this.#options.clock.monotonicMs()
    const failure = await this.#write(writes, appends)
    this.#options.onCommit((this.#options.clock.monotonicMs() - startMs) / 1000, failure !== undefined)
    this.#removalsFirst = failure !== undefined && appends.length > 0
    if (failure) this.#removals.unshift(...removals)
    else for (const removal of removals) removal.removed()
    for (const append of appends) append.settle(failure)
    // Another commit would only hang: the library does not settle what it cannot begin.
    if (this.#isBroken && failure) this.#settleWaiting(failure)
  }

  async #write(writes: readonly Write[], appends: readonly Append[]): Promise<SidecarError | undefined> {
    const { environment, commitMsMax, clock } = this.#options
    // After some failures the library never settles the promise: it returns while it holds its own lock.
    const timer = setTimeout(() => this.#becomeStuck(appends), commitMsMax)
    try {
      await environment.commit(writes)
      this.#failure = undefined
      return undefined
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown'
      this.#failure = { sinceMs: this.#failure?.sinceMs ?? clock.nowMs(), reason }
      this.#isBroken = !environment.isUsable()
      return new SidecarError('STORE_FAILED', 'the store could not write', { cause })
    } finally {
      clearTimeout(timer)
      this.#isStuck = this.#isBroken
    }
  }

  #becomeStuck(inFlight: readonly Append[]): void {
    const failure = new SidecarError('STORE_FAILED', 'a commit did not end in time')
    this.#isStuck = true
    this.#stuck.resolve()
    for (const append of inFlight) append.giveUp(failure)
    this.#settleWaiting(failure)
  }

  #takeAppends(): Append[] {
    let bytes = 0
    let count = 0
    while (
      count < this.#appends.length &&
      (count === 0 || bytes + this.#appends[count].bytes <= COMMIT_BYTES_MAX)
    ) {
      bytes += this.#appends[count].bytes
      count++
    }
    return this.#appends.splice(0, count)
  }

  #settleWaiting(failure: SidecarError): void {
    const appends = this.#appends
    this.#appends = []
    for (const append of appends) append.settle(failure)
  }
}
