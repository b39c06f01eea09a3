// Many appends, one commit. One commit is under way at a time; whatever comes meanwhile forms the next. Order of commits is
// order of calls. What else has to reach the disk, or leave it, is done between two commits.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'

/** Bytes of appends in one commit. */
const COMMIT_BYTES_MAX = 8 * 1024 * 1024
/** How long what consumers told waits for an append to ride along with, ms. */
const UPKEEP_WAIT_MS = 20
/** The same after a failed commit, ms. */
const FAILED_WAIT_MS = 200

/** What one append wants written. */
export interface Append<Draft> {
  readonly draft: Draft
  readonly bytes: number
  /** What became of it, once: on disk, or not written at all. */
  settle(failure: SidecarError | undefined): void
  /** Its commit hangs. Whoever waits is told so; `settle` still follows if the commit ever ends. */
  giveUp(failure: SidecarError): void
}

export interface StoreHealth {
  readonly ok: boolean
  /** Since when commits fail, wall clock ms; `undefined` while they do not. */
  readonly failingSinceMs: number | undefined
  /** Why, as the operating system or we said it. */
  readonly reason: string | undefined
  /** A commit hangs. Nothing is taken until it ends, or the process does. */
  readonly isStuck: boolean
}

export interface GroupCommitOptions<Draft> {
  /**
   * All or nothing, and on disk when it resolves. Without drafts, only what consumers told, if they told anything; with
   * `isTrial`, something in any case, to see whether the disk works again. Resolves whether there was anything to write.
   */
  readonly commit: (drafts: readonly Draft[], isTrial: boolean) => Promise<boolean>
  /** Work on the files that nobody waits for. Not beside a commit. */
  readonly upkeep: () => Promise<void>
  readonly clock: Clock
  readonly commitMsMax: number
  readonly onCommit: (seconds: number, failed: boolean) => void
}

export class GroupCommit<Draft> {
  readonly #options: GroupCommitOptions<Draft>
  #appends: Append<Draft>[] = []
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isScheduled = false
  #isClosing = false
  #isStuck = false
  #isWoken = false
  readonly #stuck = Promise.withResolvers<void>()
  #failure: { readonly sinceMs: number; readonly reason: string } | undefined

  constructor(options: GroupCommitOptions<Draft>) {
    this.#options = options
  }

  append(append: Append<Draft>): void {
    this.#appends.push(append)
    this.#schedule()
  }

  /** Commits soon, for the sake of what consumers told alone. */
  wake(): void {
    this.#isWoken = true
    if (this.#timer || this.#running || this.#isScheduled || this.#isClosing) return
    this.#timer = setTimeout(() => this.#schedule(), this.#failure ? FAILED_WAIT_MS : UPKEEP_WAIT_MS)
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

  /** Writes out what is waiting. Says whether the files may be closed. */
  async close(): Promise<boolean> {
    this.#isClosing = true
    clearTimeout(this.#timer)
    while (this.#running && !this.#isStuck) await Promise.race([this.#running, this.#stuck.promise])
    if (this.#isStuck) return false
    do await this.#turn()
    while (!this.#failure && !this.#isStuck && this.#appends.length > 0)
    this.#settleWaiting(new SidecarError('SHUTTING_DOWN', 'the store is closed'))
    return !this.#isStuck
  }

  #schedule(): void {
    if (this.#running || this.#isScheduled || this.#isClosing) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#running && !this.#isClosing) this.#running = this.#run()
    })
  }

  async #run(): Promise<void> {
    do await this.#turn()
    while (this.#appends.length > 0)
    this.#running = undefined
    if (this.#isWoken) this.wake()
  }

  async #turn(): Promise<void> {
    const { commit, upkeep, clock, onCommit } = this.#options
    const appends = this.#takeAppends()
    const isTrial = this.#failure !== undefined
    this.#isWoken = false
    const startMs = clock.monotonicMs()
    let isWritten = true
    const failure = await this.#watched(appends, async () => {
      isWritten = await commit(
        appends.map(({ draft }) => draft),
        isTrial,
      )
    })
    if (isWritten) onCommit((clock.monotonicMs() - startMs) / 1000, failure !== undefined)
    for (const append of appends) append.settle(failure)
    const upkeepFailure = failure ?? (await this.#watched([], upkeep))
    // What could not be done now is tried again, also when no append comes to take it along.
    if (upkeepFailure) this.#isWoken = true
    else this.#failure = undefined
  }

  /** Runs what works on the disk, and notices when it hangs. */
  async #watched(
    appends: readonly Append<Draft>[],
    work: () => Promise<void>,
  ): Promise<SidecarError | undefined> {
    const { commitMsMax, clock } = this.#options
    const timer = setTimeout(() => this.#becomeStuck(appends), commitMsMax)
    try {
      await work()
      return undefined
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown'
      this.#failure = { sinceMs: this.#failure?.sinceMs ?? clock.nowMs(), reason }
      return new SidecarError('STORE_FAILED', 'the store could not write', { cause })
    } finally {
      clearTimeout(timer)
      this.#isStuck = false
    }
  }

  #becomeStuck(inFlight: readonly Append<Draft>[]): void {
    const failure = new SidecarError('STORE_FAILED', 'a commit did not end in time')
    this.#isStuck = true
    this.#stuck.resolve()
    for (const append of inFlight) append.giveUp(failure)
    this.#settleWaiting(failure)
  }

  #takeAppends(): Append<Draft>[] {
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
