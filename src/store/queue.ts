// The queue as its consumers see it: which entries are live, who has taken them, when one may go. Bodies are in the
// database; the newest also stand in memory, so that a drain that keeps up never reads them back.
import assert from 'node:assert'
import type { Signal } from '../wire/otlp.ts'
import { Consumer } from './consumer.ts'
import {
  decodeHeader,
  type EntryHeader,
  encodeHeader,
  entryBytes,
  entryKey,
  isBodyOf,
  Part,
  type QueueEntry,
  SIGNALS,
  sequenceOf,
} from './entry.ts'
import type { Environment, Write } from './environment.ts'
import { ExportWaiters } from './export-waiters.ts'
import type { Removal } from './group-commit.ts'
import { cursorKey, foreignCursorWrites, newestSequence, setAsideWrites } from './queue-records.ts'
import { QueueUsage } from './queue-usage.ts'
import { RecentEntries } from './recent-entries.ts'

export interface ConsumerId {
  readonly signal: Signal
  readonly id: string
}

/** The name by which `Store.next` and `Store.ack` know a consumer. */
export function consumerName(signal: Signal, id: string): string {
  return `${signal}:${id}`
}

export interface QueueOptions {
  readonly environment: Environment
  readonly consumers: readonly ConsumerId[]
  readonly readCacheBytesMax: number
  readonly remove: (removal: Removal) => void
  /** Something waits for the next commit that is not a removal. */
  readonly wake: () => void
  readonly onRemoved: (bytes: number) => void
  /** Every consumer is done with an entry; `isRefused`: at least one of them gave it up. */
  readonly onLeave: (signal: Signal, itemCount: number, isRefused: boolean) => void
  readonly onCorrupt: (signal: Signal, itemCount: number) => void
}

/** One signal's part of the queue. */
interface Lane {
  readonly signal: Signal
  readonly consumers: readonly Consumer[]
  readonly recent: RecentEntries
  readonly listeners: Set<() => void>
  /** Acknowledged by all or set aside, not yet removed on disk. */
  readonly leaving: Set<number>
}

export class Queue {
  readonly #options: QueueOptions
  readonly #lanes = new Map<Signal, Lane>()
  readonly #consumers = new Map<string, Consumer>()
  readonly #dirty = new Set<Consumer>()
  readonly #exports = new ExportWaiters()
  /** The highest sequence found when the folder was opened. */
  readonly newestAtOpen: number
  // Removals that a crash cut off were told by the process that was asked for them.
  #isOpen = false
  readonly #usage = new QueueUsage()

  constructor(options: QueueOptions) {
    this.#options = options
    let newest = 0
    for (const signal of SIGNALS) newest = Math.max(newest, this.#openLane(signal))
    this.newestAtOpen = newest
    const writes = foreignCursorWrites(options.environment, this.#consumers)
    if (writes.length > 0) options.remove({ writes, removed: () => undefined })
    this.#isOpen = true
  }

  /** What the queue holds, for the bounds and the books. */
  get usage(): Pick<QueueUsage, 'bytes' | 'itemCount' | 'itemCounts'> {
    return this.#usage
  }

  /** Takes room for an entry that is about to be committed and adds its writes. Returns its bytes. */
  reserve(entry: QueueEntry, writes: Write[]): number {
    const { signal, sequence, body } = entry
    writes.push({
      database: 'queue',
      key: entryKey(Part.HEADER, signal, sequence),
      value: encodeHeader(entry, sequence),
    })
    writes.push({ database: 'queue', key: entryKey(Part.BODY, signal, sequence), value: body })
    const bytes = entryBytes(body.length, entry.refs.length)
    this.#usage.bytes += bytes
    return bytes
  }

  /** The commit of a reserved entry has ended. Called in order of sequence. */
  settle(entry: QueueEntry, isCommitted: boolean): void {
    if (!isCommitted) {
      this.#usage.bytes -= entryBytes(entry.body.length, entry.refs.length)
      return
    }
    const lane = this.#lane(entry.signal)
    this.#usage.countItems(entry.signal, entry.itemCount)
    lane.recent.add(entry)
    for (const listener of lane.listeners) listener()
  }

  next(name: string, afterSequence: number, count: number): QueueEntry[] {
    const consumer = this.#consumer(name)
    const found: QueueEntry[] = []
    if (consumer.isBlocked) return found
    const lane = this.#lane(consumer.signal)
    const from = Math.max(afterSequence, consumer.cursor)
    for (const entry of this.#live(lane, from)) {
      if (found.length >= count) break
      if (lane.leaving.has(entry.sequence) || consumer.isAcknowledged(entry.sequence)) continue
      consumer.handOut(entry.sequence)
      found.push(entry)
    }
    return found
  }

  ack(name: string, sequence: number, isRefused: boolean): void {
    const consumer = this.#consumer(name)
    const lane = this.#lane(consumer.signal)
    if (isRefused) this.#exports.refuse(sequence)
    consumer.acknowledge(sequence)
    this.#dirty.add(consumer)
    if (lane.leaving.has(sequence)) return
    if (lane.consumers.every((other) => other.isAcknowledged(sequence))) this.#leave(lane, sequence)
    else this.#options.wake()
  }

  exported(sequence: number): Promise<void> {
    return this.#exports.wait(sequence, () => this.#isLive(sequence))
  }

  onEntries(signal: Signal, listener: () => void): () => void {
    const { listeners } = this.#lane(signal)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  /** Cursors that moved since they were last asked for. Losing them to a failed commit only repeats a few entries. */
  cursorWrites(): Write[] {
    const writes: Write[] = []
    for (const consumer of this.#dirty) {
      writes.push({ database: 'meta', key: cursorKey(consumer.name), value: consumer.encode() })
    }
    this.#dirty.clear()
    return writes
  }

  close(): void {
    this.#exports.close()
  }

  /** Reads the headers of one signal, counts what is live and finishes removals that a crash cut off. */
  #openLane(signal: Signal): number {
    const { environment, consumers, readCacheBytesMax } = this.#options
    const own = consumers
      .filter((consumer) => consumer.signal === signal)
      .map(({ id }) => {
        const name = consumerName(signal, id)
        return new Consumer(signal, name, environment.databases.meta.get(cursorKey(name)))
      })
    for (const consumer of own) this.#consumers.set(consumer.name, consumer)
    const start = entryKey(Part.HEADER, signal, 0)
    const end = entryKey(Part.HEADER, signal, Number.MAX_SAFE_INTEGER)
    const { queue } = environment.databases
    const newest = newestSequence(environment, signal)
    const recent = new RecentEntries(newest, own.length > 0 ? readCacheBytesMax : 0)
    const lane = {
      signal,
      consumers: own,
      recent,
      listeners: new Set<() => void>(),
      leaving: new Set<number>(),
    }
    this.#lanes.set(signal, lane)
    for (const { key, value } of queue.getRange({ start, end })) this.#openEntry(lane, sequenceOf(key), value)
    return newest
  }

  #openEntry(lane: Lane, sequence: number | undefined, record: Uint8Array): void {
    if (sequence === undefined) return
    const header = decodeHeader(record, lane.signal, sequence)
    if (!header) {
      this.#setAside(lane, sequence, undefined)
      return
    }
    this.#usage.bytes += entryBytes(header.bodyBytes, header.refs.length)
    this.#usage.countItems(lane.signal, header.itemCount)
    const isTaken =
      lane.consumers.length > 0 && lane.consumers.every((consumer) => consumer.isAcknowledged(sequence))
    if (isTaken) this.#leave(lane, sequence)
  }

  /** Live entries above `from`, oldest first; what is damaged is set aside on the way. */
  *#live(lane: Lane, from: number): Generator<QueueEntry> {
    const { queue } = this.#options.environment.databases
    if (from < lane.recent.floor) {
      const start = entryKey(Part.HEADER, lane.signal, from + 1)
      const end = entryKey(Part.HEADER, lane.signal, lane.recent.floor + 1)
      for (const { key, value } of queue.getRange({ start, end })) {
        const sequence = sequenceOf(key)
        if (sequence === undefined || lane.leaving.has(sequence)) continue
        const entry = this.#read(lane, sequence, value)
        if (entry) yield entry
      }
    }
    yield* lane.recent.above(Math.max(from, lane.recent.floor))
  }

  #read(lane: Lane, sequence: number, record: Uint8Array): QueueEntry | undefined {
    const { signal } = lane
    const header = decodeHeader(record, signal, sequence)
    const body = this.#options.environment.databases.queue.get(entryKey(Part.BODY, signal, sequence))
    if (header && isBodyOf(header, body)) {
      const { itemCount, acceptedAtMs, refs } = header
      return { sequence, signal, itemCount, acceptedAtMs, body, refs }
    }
    if (header) {
      this.#usage.bytes -= entryBytes(header.bodyBytes, header.refs.length)
      this.#usage.countItems(lane.signal, -header.itemCount)
    }
    this.#setAside(lane, sequence, header)
    return undefined
  }

  /** Moves a damaged entry, as it is, to the `corrupt` database, and counts it. */
  #setAside(lane: Lane, sequence: number, header: EntryHeader | undefined): void {
    const writes = setAsideWrites(this.#options.environment, lane.signal, sequence)
    lane.leaving.add(sequence)
    this.#options.remove({ writes, removed: () => lane.leaving.delete(sequence) })
    this.#options.onCorrupt(lane.signal, header?.itemCount ?? 0)
    this.#exports.done(sequence)
  }

  /** The last consumer has it. It counts as gone at once; its bytes are free when the removal is on disk. */
  #leave(lane: Lane, sequence: number): void {
    const { signal } = lane
    const entry = lane.recent.delete(sequence)
    const headerKey = entryKey(Part.HEADER, signal, sequence)
    const record = entry ? undefined : this.#options.environment.databases.queue.get(headerKey)
    const header = record && decodeHeader(record, signal, sequence)
    const bytes = entry
      ? entryBytes(entry.body.length, entry.refs.length)
      : header
        ? entryBytes(header.bodyBytes, header.refs.length)
        : 0
    const itemCount = (entry ?? header)?.itemCount ?? 0
    this.#usage.countItems(signal, -itemCount)
    if (this.#isOpen) this.#options.onLeave(signal, itemCount, this.#exports.isRefused(sequence))
    lane.leaving.add(sequence)
    for (const consumer of lane.consumers) consumer.forget(sequence)
    this.#options.remove({
      writes: [
        { database: 'queue', key: headerKey, value: undefined },
        { database: 'queue', key: entryKey(Part.BODY, signal, sequence), value: undefined },
      ],
      removed: () => {
        lane.leaving.delete(sequence)
        this.#usage.bytes -= bytes
        this.#options.onRemoved(bytes)
      },
    })
    this.#exports.done(sequence)
  }

  #isLive(sequence: number): boolean {
    for (const { signal, recent, leaving } of this.#lanes.values()) {
      if (leaving.has(sequence)) return false
      if (recent.get(sequence)) return true
      const key = entryKey(Part.HEADER, signal, sequence)
      if (this.#options.environment.databases.queue.get(key)) return true
    }
    return false
  }

  #lane(signal: Signal): Lane {
    const lane = this.#lanes.get(signal)
    assert(lane, 'every signal has a lane')
    return lane
  }

  #consumer(name: string): Consumer {
    const consumer = this.#consumers.get(name)
    assert(consumer, 'a consumer is known from the opening of the store')
    return consumer
  }
}
