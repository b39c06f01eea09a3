// The queue as its consumers see it: which entries are live, who has taken them, when one may go. Bodies are on disk; the
// newest also stand in memory, so that a drain that keeps up never reads them back.
import assert from 'node:assert'
import type { Signal } from '../wire/otlp.ts'
import { Consumer } from './consumer.ts'
import { entryBytes, type QueueEntry, SIGNALS } from './entry.ts'
import { EntryState } from './entry-index.ts'
import { ExportWaiters } from './export-waiters.ts'
import { QueueUsage } from './queue-usage.ts'
import { RecentEntries } from './recent-entries.ts'
import type { Segment } from './segment.ts'
import type { KeyedValue } from './table.ts'
import type { Taken } from './taken.ts'

export interface ConsumerId {
  readonly signal: Signal
  readonly id: string
}

/** The name by which `Store.next` and `Store.ack` know a consumer. */
export function consumerName(signal: Signal, id: string): string {
  return `${signal}:${id}`
}

export interface QueueOptions {
  /** Ascending; the journal adds to them and takes the oldest away. */
  readonly segments: readonly Segment[]
  readonly taken: Taken
  /** The last sequence that was given out. */
  readonly sequence: number
  readonly consumers: readonly ConsumerId[]
  readonly readCacheBytesMax: number
  /** Cursors moved, or a file may go. */
  readonly wake: () => void
  readonly onRemoved: (bytes: number) => void
  /** Every consumer is done with an entry; `isRefused`: at least one of them gave it up. */
  readonly onLeave: (signal: Signal, itemCount: number, isRefused: boolean) => void
  /** An entry that the disk does not give back. It is nobody's from here on, and its file stays. */
  readonly onUnreadable: (signal: Signal, itemCount: number) => void
}

/** One signal's part of the queue. */
interface Lane {
  readonly signal: Signal
  readonly consumers: readonly Consumer[]
  readonly recent: RecentEntries
  readonly listeners: Set<() => void>
}

export class Queue {
  readonly #options: QueueOptions
  readonly #lanes = new Map<Signal, Lane>()
  readonly #consumers = new Map<string, Consumer>()
  readonly #dirty = new Set<Consumer>()
  readonly #exports = new ExportWaiters()
  readonly #usage = new QueueUsage()

  constructor(options: QueueOptions) {
    this.#options = options
    for (const signal of SIGNALS) this.#openLane(signal)
  }

  /** What the queue holds, for the bounds and the item accounting. */
  get usage(): Pick<QueueUsage, 'bytes' | 'itemCount' | 'itemCounts'> {
    return this.#usage
  }

  /** Takes room for an entry that is about to be committed. */
  reserve(entry: QueueEntry): number {
    const bytes = entryBytes(entry.body.length, entry.refs.length)
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
    if (count <= 0) return found
    for (const entry of this.#live(consumer, Math.max(afterSequence, consumer.cursor))) {
      consumer.handOut(entry.sequence)
      found.push(entry)
      if (found.length >= count) break
    }
    return found
  }

  ack(name: string, sequence: number, isRefused: boolean): void {
    const consumer = this.#consumer(name)
    const lane = this.#lane(consumer.signal)
    if (isRefused) this.#exports.refuse(sequence)
    consumer.acknowledge(sequence)
    this.#dirty.add(consumer)
    if (lane.consumers.every((other) => other.isAcknowledged(sequence))) this.#leave(lane, sequence)
    this.#options.wake()
  }

  exported(sequence: number): Promise<void> {
    return this.#exports.wait(sequence, () => this.#isLive(sequence))
  }

  onEntries(signal: Signal, listener: () => void): () => void {
    const { listeners } = this.#lane(signal)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  /** Nothing when none has moved since it was last asked, unless for `isAll`. A failed commit only repeats a few entries. */
  cursors(isAll: boolean): KeyedValue[] {
    if (!isAll && this.#dirty.size === 0) return []
    this.#dirty.clear()
    return [...this.#consumers.values()].map((each) => ({
      key: Buffer.from(each.name),
      value: each.encode(),
    }))
  }

  close(): void {
    this.#exports.close()
  }

  #openLane(signal: Signal): void {
    const { consumers, taken, readCacheBytesMax, sequence } = this.#options
    const names = consumers.filter((each) => each.signal === signal).map(({ id }) => consumerName(signal, id))
    const own = names.map((name) => taken.consumer(signal, name) ?? new Consumer(signal, name))
    for (const consumer of own) this.#consumers.set(consumer.name, consumer)
    const recent = new RecentEntries(sequence, own.length > 0 ? readCacheBytesMax : 0)
    const lane = { signal, consumers: own, recent, listeners: new Set<() => void>() }
    this.#lanes.set(signal, lane)
    this.#openEntries(lane)
  }

  /** What everybody had does not come again. */
  #openEntries({ signal, consumers }: Lane): void {
    const { segments, taken } = this.#options
    for (const segment of segments) {
      const entries = segment.lanes[signal]
      for (let i = 0; i < entries.count; i++) {
        const sequence = entries.sequence(i)
        const isTaken =
          taken.has(signal, sequence) ||
          (consumers.length > 0 && consumers.every((consumer) => consumer.isAcknowledged(sequence)))
        if (isTaken) segment.release(signal, i)
        else if (entries.state(i) === EntryState.LIVE) {
          this.#usage.bytes += entries.bytes(i)
          this.#usage.countItems(signal, entries.items(i))
        }
      }
    }
  }

  /** What the consumer has not acknowledged above `from`, oldest first; what cannot be read is given up on the way. */
  *#live(consumer: Consumer, from: number): Generator<QueueEntry> {
    const { recent } = this.#lane(consumer.signal)
    if (from < recent.floor) yield* this.#stored(consumer, from, recent.floor)
    for (const entry of recent.above(Math.max(from, recent.floor)))
      if (!consumer.isAcknowledged(entry.sequence)) yield entry
  }

  *#stored(consumer: Consumer, from: number, to: number): Generator<QueueEntry> {
    // A copy of the list, since files go and come while somebody reads.
    for (const segment of this.#options.segments.slice(this.#segmentIndex(from + 1))) {
      const entries = segment.lanes[consumer.signal]
      for (let i = entries.lowerBound(from + 1); i < entries.count && entries.sequence(i) <= to; i++) {
        if (consumer.isAcknowledged(entries.sequence(i))) continue
        const entry = entries.state(i) === EntryState.LIVE ? segment.read(consumer.signal, i) : undefined
        if (entry) yield entry
        else this.#skip(consumer, segment, i)
      }
    }
  }

  #skip(consumer: Consumer, segment: Segment, i: number): void {
    const { signal } = consumer
    const entries = segment.lanes[signal]
    this.#dirty.add(consumer)
    if (entries.state(i) === EntryState.LEFT) consumer.pass(entries.sequence(i))
    // It stays pending: the next start must not take it for exported.
    else consumer.handOut(entries.sequence(i))
    if (entries.state(i) !== EntryState.LIVE) return
    this.#usage.bytes -= entries.bytes(i)
    this.#usage.countItems(signal, -entries.items(i))
    entries.setState(i, EntryState.UNREADABLE)
    this.#options.onUnreadable(signal, entries.items(i))
    this.#exports.done(entries.sequence(i))
  }

  /** The last consumer has it. */
  #leave(lane: Lane, sequence: number): void {
    const { signal } = lane
    lane.recent.delete(sequence)
    const segment = this.#options.segments[this.#segmentIndex(sequence)]
    const i = segment?.lanes[signal].find(sequence)
    if (!segment || i === undefined || segment.lanes[signal].state(i) !== EntryState.LIVE) return
    const [bytes, itemCount] = [segment.lanes[signal].bytes(i), segment.lanes[signal].items(i)]
    segment.release(signal, i)
    this.#usage.bytes -= bytes
    this.#usage.countItems(signal, -itemCount)
    this.#options.onRemoved(bytes)
    this.#options.onLeave(signal, itemCount, this.#exports.isRefused(sequence))
    this.#exports.done(sequence)
  }

  #isLive(sequence: number): boolean {
    const segment = this.#options.segments[this.#segmentIndex(sequence)]
    return SIGNALS.some((signal) => {
      const i = segment?.lanes[signal].find(sequence)
      return i !== undefined && segment?.lanes[signal].state(i) === EntryState.LIVE
    })
  }

  /** The file that a sequence stands in, if it stands in any; 0 when it is older than all. */
  #segmentIndex(sequence: number): number {
    const { segments } = this.#options
    let low = 0
    let high = segments.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (segments[middle].firstSequence <= sequence) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
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
