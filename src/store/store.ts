// The store of one process: the queue of what was accepted, the evidence for it, and key records, each in files of its
// own that are only added to. One `append` is one unit: entry and statements are on disk together or not at all. Sequence
// numbers follow the order of the calls and are never given out twice, also not after a restart with an empty queue.
// See docs/decisions/store-durability.md.
import { type Clock, systemClock } from '../base/clock.ts'
import { makeDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { type Logger, type Registry, silentTelemetry } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'
import { DrainRate } from './drain-rate.ts'
import { ENTRY_OVERHEAD_BYTES, type NewEntry, type QueueEntry } from './entry.ts'
import { GroupCommit, type StoreHealth } from './group-commit.ts'
import { Journal } from './journal.ts'
import type { JournalDraft } from './journal-write.ts'
import { type DirectoryLock, lockDirectory } from './lock.ts'
import { type StoreMetrics, storeMetrics } from './metrics.ts'
import { type OpenedFolder, openFolder } from './opening.ts'
import { STORE_DEFAULTS, type StoreOptions } from './options.ts'
import { type ConsumerId, Queue } from './queue.ts'
import type { KeyedValue, Table } from './table.ts'

export interface StoreSurroundings {
  readonly clock?: Clock
  readonly log?: Logger
  readonly registry?: Registry
  /** Hears of each entry that leaves the queue because every consumer is done with it. `isRefused`: one gave it up. */
  readonly onLeave?: (signal: Signal, itemCount: number, isRefused: boolean) => void
  /** Hears of each entry that was counted as waiting and that the disk does not give back. */
  readonly onCorrupt?: (signal: Signal, itemCount: number) => void
}

/** Both resolve with the sequence, or `undefined` when there was no entry; see `Store.append`. */
export interface Appended<Sequence> {
  readonly written: Promise<Sequence>
  readonly durable: Promise<Sequence>
}

export class Store {
  /** Made once per folder; names the evidence streams of this installation. */
  readonly instanceId: string
  /** Counts the times that this folder was opened, from 1. */
  readonly boot: number
  readonly queueBytesMax: number
  readonly #evidenceBytesMax: number
  readonly #folder: OpenedFolder
  readonly #lock: DirectoryLock
  readonly #journal: Journal
  readonly #commits: GroupCommit<JournalDraft>
  readonly #queue: Queue
  readonly #drainRate: DrainRate
  readonly #metrics: StoreMetrics
  readonly #log: Logger
  readonly #onCorrupt: ((signal: Signal, itemCount: number) => void) | undefined
  #sequence: number
  #isOutOfPlace = false
  #isDamaged = false
  #closed: Promise<void> | undefined

  /**
   * Opens or makes the folder. Consumers are the exporters of each signal: one that is new starts at the oldest entry
   * still there; one that is gone no longer holds entries back; a signal with none keeps its entries.
   * Rejects STORE_LOCKED, STORE_CORRUPT when anything in it cannot be read, or STORE_FAILED when it cannot be used.
   */
  static async open(
    options: StoreOptions,
    consumers: readonly ConsumerId[],
    surroundings: StoreSurroundings = {},
  ): Promise<Store> {
    await makeDirectory(options.directory).catch((thrown) => {
      throw asStoreError(thrown)
    })
    const lock = lockDirectory(options.directory)
    let folder: OpenedFolder | undefined
    try {
      folder = await openFolder(options.directory, lock)
      const store = new Store(options, consumers, surroundings, folder, lock)
      await store.#journal.start()
      return store
    } catch (thrown) {
      await folder?.close()
      lock.release()
      throw asStoreError(thrown)
    }
  }

  private constructor(
    options: StoreOptions,
    consumers: readonly ConsumerId[],
    surroundings: StoreSurroundings,
    folder: OpenedFolder,
    lock: DirectoryLock,
  ) {
    const settings = { ...STORE_DEFAULTS, ...options }
    const silent = silentTelemetry()
    const clock = surroundings.clock ?? systemClock
    const { mark, evidence, segments, sequence, taken } = folder
    const { segmentBytes } = settings
    this.instanceId = mark.state.instanceId
    this.boot = mark.state.boot
    this.queueBytesMax = settings.queueBytesMax
    this.#evidenceBytesMax = settings.evidenceBytesMax
    this.#folder = folder
    this.#lock = lock
    this.#log = surroundings.log ?? silent.log
    this.#onCorrupt = surroundings.onCorrupt
    this.#sequence = sequence
    this.#drainRate = new DrainRate(clock)
    this.#metrics = storeMetrics(surroundings.registry ?? silent.registry, () => this)
    if (folder.isHealed) this.#log.warn('one of two copies of the key records was damaged and was made anew')
    if (folder.wasLeftOpen)
      this.#log.warn('the last process did not stop in order: it goes on from what was on disk')
    this.#queue = new Queue({
      segments,
      taken,
      sequence,
      consumers,
      readCacheBytesMax: settings.readCacheBytesMax,
      wake: () => this.#commits.wake(),
      onRemoved: (bytes) => this.#drainRate.drained(bytes),
      onUnreadable: (signal, itemCount) => this.#countUnreadable(signal, itemCount),
      onLeave: (signal, itemCount, isRefused) => surroundings.onLeave?.(signal, itemCount, isRefused),
    })
    const cursors = (isAll: boolean): readonly KeyedValue[] => this.#queue.cursors(isAll)
    this.#journal = new Journal({
      directory: options.directory,
      mark,
      clock,
      evidence,
      segments,
      cursors,
      segmentBytes,
    })
    this.#commits = new GroupCommit({
      commit: (drafts, isTrial) => this.#journal.commit(drafts, isTrial),
      upkeep: () => this.#journal.upkeep(),
      clock,
      commitMsMax: settings.commitMsMax,
      onCommit: (seconds, failed) => this.#observeCommit(seconds, failed),
    })
  }

  /** Bytes of the queue, with what is about to be committed. */
  get queueBytesUsed(): number {
    return this.#queue.usage.bytes
  }

  /** Spans, log records and data points in committed entries that some consumer still has to take. */
  get queuedItems(): number {
    return this.#queue.usage.itemCount
  }

  /** The same, by signal. */
  get queuedItemsBySignal(): ReadonlyMap<Signal, number> {
    return this.#queue.usage.itemCounts
  }

  get evidenceBytesUsed(): number {
    return this.#folder.evidence.bytes
  }

  get evidenceBytesMax(): number {
    return this.#evidenceBytesMax
  }

  /** 1 while something cannot be read that nobody has put aside. */
  get damaged(): number {
    return this.#isDamaged ? 1 : 0
  }

  /** How long until `bytes` will have left the queue, by the measured rate, within 1 to 30 s. */
  retryAfterMs(bytes = 1): number {
    return this.#drainRate.retryAfterMs(bytes)
  }

  /**
   * Puts one entry and its statements into the next commit. The bytes are the store's from here on.
   * Throws QUEUE_FULL (with `retryAfterMs`), STORE_FAILED or SHUTTING_DOWN at once, and then nothing was taken.
   * `durable` resolves when it is flushed and still in place; it rejects STORE_FAILED with nothing taken. `written` resolves
   * at the same moment: there is no point in between worth a promise of its own.
   */
  append(entry: NewEntry, statements: readonly KeyedValue[]): Appended<number>
  append(entry: undefined, statements: readonly KeyedValue[]): Appended<undefined>
  append(entry: NewEntry | undefined, statements: readonly KeyedValue[]): Appended<number | undefined> {
    this.#admit(entry, statements)
    const queued: QueueEntry | undefined = entry && { ...entry, sequence: ++this.#sequence }
    let bytes = statements.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
    if (queued) bytes += this.#queue.reserve(queued)
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    this.#commits.append({
      draft: { entry: queued, statements },
      bytes,
      giveUp: reject,
      settle: (failure) => {
        if (queued) this.#queue.settle(queued, failure === undefined)
        if (failure) reject(failure)
        else resolve(queued?.sequence)
      },
    })
    return { written: promise, durable: promise }
  }

  /** Up to `count` committed entries of the consumer's signal above `afterSequence` that it has not
   *  acknowledged; none after close. */
  next(consumer: string, afterSequence: number, count: number): QueueEntry[] {
    return this.#closed ? [] : this.#queue.next(consumer, afterSequence, count)
  }

  /**
   * The consumer is done with the entry; after the last one it leaves the queue. Kept in batches: after a crash a few
   * entries are handed out again. `isRefused` says that the next hop will never take it, which `exported` reports.
   */
  ack(consumer: string, sequence: number, isRefused = false): void {
    if (!this.#closed) this.#queue.ack(consumer, sequence, isRefused)
  }

  /** Resolves when every consumer has acknowledged the entry; rejects DOWNSTREAM_REFUSED, or SHUTTING_DOWN at close. */
  exported(sequence: number): Promise<void> {
    return this.#queue.exported(sequence)
  }

  /** Calls back after each commit that brought entries of the signal. Returns how to stop that. */
  onEntries(signal: Signal, listener: () => void): () => void {
    return this.#queue.onEntries(signal, listener)
  }

  /** The records of key management. */
  get keys(): Table {
    return this.#folder.keys
  }

  /** Leaves no trace in the files of key records that were replaced or removed. */
  scrubKeys(): Promise<void> {
    return this.#folder.keys.scrub()
  }

  /** The last statement that was stored under a tip's key. */
  tip(key: Uint8Array): Uint8Array | undefined {
    return this.#folder.evidence.tip(key)
  }

  /** Whether OK may be said. `isStuck` means that a restart is the only help. */
  health(): StoreHealth {
    const health = this.#commits.health()
    const reason = this.#isDamaged ? DAMAGED : this.#outOfPlace()
    return reason === undefined || !health.ok ? health : { ...health, ok: false, reason }
  }

  /** Commits what was taken, keeps the cursors, lets go of the folder. Twice is the same. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const mayClose = await this.#commits.close()
    this.#queue.close()
    if (!mayClose) return
    // What cannot be flushed any more is in the queue's files, and is filed at the next start.
    await this.#folder.evidence.sync().catch(() => undefined)
    this.#journal.close()
    this.#folder.mark.write({ isOpen: false })
    await this.#folder.close()
    this.#lock.release()
  }

  #outOfPlace(): string | undefined {
    if (this.#closed) return undefined
    try {
      this.#journal.checkInPlace()
      return undefined
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'unknown'
      // Readiness asks every few seconds; one line says it.
      if (!this.#isOutOfPlace) this.#log.error({ reason }, 'the store takes nothing more until a restart')
      this.#isOutOfPlace = true
      return reason
    }
  }

  #admit(entry: NewEntry | undefined, statements: readonly KeyedValue[]): void {
    if (this.#closed) throw new SidecarError('SHUTTING_DOWN', 'the store is closed')
    if (this.#commits.health().isStuck) throw new SidecarError('STORE_FAILED', 'the store needs a restart')
    if (!entry) return
    if (this.#isDamaged) throw new SidecarError('STORE_FAILED', DAMAGED)
    const bytes = entry.body.length + entry.refs.length + ENTRY_OVERHEAD_BYTES
    const excess = this.queueBytesUsed + bytes - this.queueBytesMax
    if (excess > 0) {
      throw new SidecarError('QUEUE_FULL', 'the queue is full', {
        retryAfterMs: this.#drainRate.retryAfterMs(excess),
      })
    }
    if (statements.length > 0 && this.evidenceBytesUsed >= this.#evidenceBytesMax) {
      throw new SidecarError('STORE_FAILED', 'the statements have reached their bound')
    }
  }

  #observeCommit(seconds: number, failed: boolean): void {
    this.#metrics.commitSeconds.observe(seconds)
    if (!failed) return
    this.#metrics.commitFailures.inc()
    this.#log.error({ reason: this.#commits.health().reason }, 'the store could not write')
  }

  #countUnreadable(signal: Signal, itemCount: number): void {
    this.#isDamaged = true
    this.#metrics.corruptEntries.inc()
    this.#metrics.droppedItems.inc(itemCount)
    this.#onCorrupt?.(signal, itemCount)
    this.#log.error({ signal, itemCount, code: 'STORE_CORRUPT' }, 'a queue entry cannot be read')
  }
}

const DAMAGED = 'the data folder is damaged'

/** What the system threw while the folder was opened, as an error of ours. */
function asStoreError(thrown: unknown): SidecarError {
  if (thrown instanceof SidecarError) return thrown
  return new SidecarError('STORE_FAILED', 'the storage directory cannot be used', { cause: thrown })
}
