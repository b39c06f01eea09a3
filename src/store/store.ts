// The store of one process: the queue of what was accepted, the evidence for it, and key records, in one lmdb
// environment. One `append` is one unit: entry and records are on disk together or not at all. Sequence numbers follow
// the order of the calls and are never given out twice, also not after a restart with an empty queue.
import { dirname, resolve } from 'node:path'
import { type Clock, systemClock } from '../base/clock.ts'
import { makeDirectory, syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { type Logger, type Registry, silentTelemetry } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'
import { metaNumber, readNumber, startBoot } from './boot.ts'
import { DrainRate } from './drain-rate.ts'
import { ENTRY_OVERHEAD_BYTES, type NewEntry, type QueueEntry } from './entry.ts'
import { asStoreError, type Environment, openEnvironment, type Write } from './environment.ts'
import { type Append, GroupCommit, type StoreHealth } from './group-commit.ts'
import { type DirectoryLock, lockDirectory } from './lock.ts'
import { type StoreMetrics, storeMetrics } from './metrics.ts'
import { mapBytes, STORE_DEFAULTS, type StoreOptions } from './options.ts'
import { type ConsumerId, Queue } from './queue.ts'
import { openTable, type Table, type TableName, type TableRecord } from './table.ts'

export interface StoreSurroundings {
  readonly clock?: Clock
  readonly log?: Logger
  readonly registry?: Registry
  /** Hears of each entry that leaves the queue because every consumer is done with it. `isRefused`: one gave it up. */
  readonly onLeave?: (signal: Signal, itemCount: number, isRefused: boolean) => void
  /** Hears of each damaged entry that was set aside. */
  readonly onCorrupt?: (signal: Signal, itemCount: number) => void
}

/** Both resolve with the sequence, or `undefined` when there was no entry; see `Store.append`. */
export interface Appended<Sequence> {
  readonly written: Promise<Sequence>
  readonly durable: Promise<Sequence>
}

const SEQUENCE_KEY = Buffer.from('store/sequence')
/** Appends between two looks at how large the evidence has grown. */
const EVIDENCE_CHECK_COUNT = 64

export class Store {
  /** Made once per folder; names the evidence streams of this installation. */
  readonly instanceId: string
  /** Counts the times that this folder was opened, from 1. */
  readonly boot: number
  readonly queueBytesMax: number
  readonly #evidenceBytesMax: number
  readonly #environment: Environment
  readonly #lock: DirectoryLock
  readonly #commits: GroupCommit
  readonly #queue: Queue
  readonly #drainRate: DrainRate
  readonly #metrics: StoreMetrics
  readonly #log: Logger
  readonly #onCorrupt: ((signal: Signal, itemCount: number) => void) | undefined
  #sequence: number
  #evidenceBytesUsed: number
  #appendsUntilCheck = EVIDENCE_CHECK_COUNT
  #closed: Promise<void> | undefined

  /**
   * Opens or makes the folder. Consumers are the exporters of each signal: one that is new starts at the oldest entry
   * still there; one that is gone no longer holds entries back; a signal with none keeps its entries.
   * Throws STORE_LOCKED, STORE_CORRUPT, or STORE_FAILED when the folder cannot be used.
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
    let environment: Environment | undefined
    try {
      environment = openEnvironment(options.directory, mapBytes({ ...STORE_DEFAULTS, ...options }))
      const { instanceId, boot } = await startBoot(environment)
      // The file's name, and a new folder's, must survive a power cut as well as what is in the file.
      for (const folder of [options.directory, dirname(resolve(options.directory))])
        await syncDirectory(folder)
      return new Store(options, consumers, surroundings, { environment, lock, instanceId, boot })
    } catch (thrown) {
      await environment?.close()
      lock.release()
      throw asStoreError(thrown)
    }
  }

  private constructor(
    options: StoreOptions,
    consumers: readonly ConsumerId[],
    surroundings: StoreSurroundings,
    opened: { environment: Environment; lock: DirectoryLock; instanceId: string; boot: number },
  ) {
    const settings = { ...STORE_DEFAULTS, ...options }
    const silent = silentTelemetry()
    const clock = surroundings.clock ?? systemClock
    this.instanceId = opened.instanceId
    this.boot = opened.boot
    this.queueBytesMax = settings.queueBytesMax
    this.#evidenceBytesMax = settings.evidenceBytesMax
    this.#environment = opened.environment
    this.#lock = opened.lock
    this.#log = surroundings.log ?? silent.log
    this.#onCorrupt = surroundings.onCorrupt
    this.#drainRate = new DrainRate(clock)
    this.#metrics = storeMetrics(surroundings.registry ?? silent.registry, () => this)
    this.#commits = new GroupCommit({
      environment: opened.environment,
      clock,
      commitMsMax: settings.commitMsMax,
      companions: (appends) => this.#companions(appends),
      onCommit: (seconds, failed) => this.#observeCommit(seconds, failed),
    })
    this.#queue = new Queue({
      environment: opened.environment,
      consumers,
      readCacheBytesMax: settings.readCacheBytesMax,
      remove: (removal) => this.#commits.remove(removal),
      wake: () => this.#commits.wake(),
      onRemoved: (bytes) => this.#drainRate.drained(bytes),
      onCorrupt: (signal, itemCount) => this.#countCorrupt(signal, itemCount),
      onLeave: (signal, itemCount, isRefused) => surroundings.onLeave?.(signal, itemCount, isRefused),
    })
    this.#sequence = Math.max(readNumber(opened.environment, SEQUENCE_KEY), this.#queue.newestAtOpen)
    this.#evidenceBytesUsed = opened.environment.bytesOf('statements')
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
    return this.#evidenceBytesUsed
  }

  get evidenceBytesMax(): number {
    return this.#evidenceBytesMax
  }

  /** How long until `bytes` will have left the queue, by the measured rate, within 1 to 30 s. */
  retryAfterMs(bytes = 1): number {
    return this.#drainRate.retryAfterMs(bytes)
  }

  /**
   * Puts one entry and its records into the next commit. The bytes are the store's from here on.
   * Throws QUEUE_FULL (with `retryAfterMs`), STORE_FAILED or SHUTTING_DOWN at once, and then nothing was taken.
   * `durable` resolves after fdatasync and the synced meta page; it rejects STORE_FAILED with nothing written. `written`
   * resolves at the same moment: lmdb has no point in between at which the data would survive the process alone.
   */
  append(entry: NewEntry, records: readonly TableRecord[]): Appended<number>
  append(entry: undefined, records: readonly TableRecord[]): Appended<undefined>
  append(entry: NewEntry | undefined, records: readonly TableRecord[]): Appended<number | undefined> {
    this.#admit(entry, records)
    const sequence = entry ? ++this.#sequence : undefined
    const writes: Write[] = records.map(({ table, key, value }) => ({ database: table, key, value }))
    let bytes = records.reduce((sum, record) => sum + record.key.length + record.value.length, 0)
    let queued: QueueEntry | undefined
    if (entry && sequence !== undefined) {
      queued = { ...entry, sequence }
      bytes += this.#queue.reserve(queued, writes)
    }
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    this.#commits.append({
      writes,
      bytes,
      giveUp: reject,
      settle: (failure) => {
        if (queued) this.#queue.settle(queued, failure === undefined)
        if (failure) reject(failure)
        else resolve(sequence)
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

  table(name: TableName | 'corrupt'): Table {
    return openTable(this.#environment, name, (write) => this.#put(write))
  }

  /** Whether commits work. `isStuck` means that a restart is the only help. */
  health(): StoreHealth {
    return this.#commits.health()
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
    await this.#environment.close()
    this.#lock.release()
  }

  #admit(entry: NewEntry | undefined, records: readonly TableRecord[]): void {
    if (this.#closed) throw new SidecarError('SHUTTING_DOWN', 'the store is closed')
    if (this.#commits.health().isStuck) throw new SidecarError('STORE_FAILED', 'the store needs a restart')
    if (!entry) return
    const bytes = entry.body.length + entry.refs.length + ENTRY_OVERHEAD_BYTES
    const excess = this.queueBytesUsed + bytes - this.queueBytesMax
    if (excess > 0) {
      throw new SidecarError('QUEUE_FULL', 'the queue is full', {
        retryAfterMs: this.#drainRate.retryAfterMs(excess),
      })
    }
    if (records.length > 0 && this.#evidenceBytes() >= this.#evidenceBytesMax) {
      throw new SidecarError('STORE_FAILED', 'the statements table has reached its bound')
    }
  }

  #evidenceBytes(): number {
    if (--this.#appendsUntilCheck <= 0) {
      this.#appendsUntilCheck = EVIDENCE_CHECK_COUNT
      this.#evidenceBytesUsed = this.#environment.bytesOf('statements')
    }
    return this.#evidenceBytesUsed
  }

  #companions(appends: readonly Append[]): Write[] {
    const writes = this.#queue.cursorWrites()
    if (appends.length > 0) writes.push(metaNumber(SEQUENCE_KEY, this.#sequence))
    return writes
  }

  async #put(write: Write): Promise<void> {
    this.#admit(undefined, [])
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#commits.append({
      writes: [write],
      bytes: write.key.length + (write.value?.length ?? 0),
      giveUp: reject,
      settle: (failure) => (failure ? reject(failure) : resolve()),
    })
    return promise
  }

  #observeCommit(seconds: number, failed: boolean): void {
    this.#metrics.commitSeconds.observe(seconds)
    if (!failed) return
    this.#metrics.commitFailures.inc()
    this.#log.error({ reason: this.#commits.health().reason }, 'the store could not write')
  }

  #countCorrupt(signal: Signal, itemCount: number): void {
    this.#metrics.corruptEntries.inc()
    this.#metrics.droppedItems.inc(itemCount)
    this.#onCorrupt?.(signal, itemCount)
    this.#log.error({ signal, itemCount, code: 'STORE_CORRUPT' }, 'a damaged queue entry was set aside')
  }
}
