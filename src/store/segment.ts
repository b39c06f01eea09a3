// One file of the queue, with the index of its entries.
import { closeSync, openSync } from 'node:fs'
import type { Signal } from '../wire/otlp.ts'
import { decodeData } from './data-record.ts'
import { type QueueEntry, SIGNALS } from './entry.ts'
import { EntryIndex, EntryState } from './entry-index.ts'
import type { Extent } from './extent.ts'
import { readRecord } from './scan.ts'

type Lanes = Readonly<Record<Signal, EntryIndex>>

/** A file that was written anew, and where its entries stand in it. */
export interface Rewritten {
  readonly extent: Extent
  readonly places: readonly {
    readonly signal: Signal
    readonly sequence: number
    readonly offset: number
    readonly itemCount: number
    readonly bytes: number
  }[]
}

export class Segment {
  readonly file: number
  readonly path: string
  readonly tag: Buffer
  /** No entry in it has a lower sequence. */
  readonly firstSequence: number
  lanes: Lanes = emptyLanes()
  extent: Extent
  /** Entries that keep the file, and their bytes. */
  heldCount = 0
  heldBytes = 0
  #fd: number | undefined

  constructor(file: number, path: string, tag: Buffer, firstSequence: number, extent: Extent) {
    this.file = file
    this.path = path
    this.tag = tag
    this.firstSequence = firstSequence
    this.extent = extent
  }

  add(
    signal: Signal,
    sequence: number,
    offset: number,
    items: number,
    bytes: number,
    isReadable: boolean,
  ): void {
    this.lanes[signal].push(
      sequence,
      offset,
      items,
      bytes,
      isReadable ? EntryState.LIVE : EntryState.UNREADABLE,
    )
    this.heldCount++
    this.heldBytes += bytes
  }

  /** The entry keeps the file no longer. */
  release(signal: Signal, i: number): void {
    const lane = this.lanes[signal]
    lane.setState(i, EntryState.LEFT)
    this.heldCount--
    this.heldBytes -= lane.bytes(i)
  }

  /** The entry as it was given; `undefined` when the disk does not give it back. */
  read(signal: Signal, i: number): QueueEntry | undefined {
    try {
      this.#fd ??= openSync(this.path, 'r')
      const found = readRecord(this.#fd, this.tag, this.lanes[signal].offset(i))
      const data = found && decodeData(found.meta)
      if (!data || data.signal !== signal || data.sequence !== this.lanes[signal].sequence(i))
        return undefined
      const { sequence, itemCount, acceptedAtMs, refs } = data
      return { sequence, signal, itemCount, acceptedAtMs, body: found.body, refs }
    } catch {
      // Not there, or not to be opened: for whoever asked it is the same.
      return undefined
    }
  }

  /** All live entries, read one by one; `undefined` when one of them is known not to be readable. */
  readHeld(): Iterable<QueueEntry | undefined> | undefined {
    const held: (readonly [Signal, number])[] = []
    for (const signal of SIGNALS) {
      for (let i = 0; i < this.lanes[signal].count; i++) {
        const state = this.lanes[signal].state(i)
        if (state === EntryState.UNREADABLE) return undefined
        if (state === EntryState.LIVE) held.push([signal, i])
      }
    }
    const sequence = ([signal, i]: readonly [Signal, number]): number => this.lanes[signal].sequence(i)
    return this.#readEach(held.sort((a, b) => sequence(a) - sequence(b)))
  }

  *#readEach(places: readonly (readonly [Signal, number])[]): Generator<QueueEntry | undefined> {
    for (const [signal, i] of places) yield this.read(signal, i)
  }

  /** The file of that name is another now, with the live entries alone. What left meanwhile leaves again. */
  replace({ extent, places }: Rewritten): void {
    const former = this.lanes
    this.close()
    this.lanes = emptyLanes()
    this.extent = extent
    this.heldCount = 0
    this.heldBytes = 0
    for (const { signal, sequence, offset, itemCount, bytes } of places) {
      this.add(signal, sequence, offset, itemCount, bytes, true)
      const before = former[signal].find(sequence)
      if (before !== undefined && former[signal].state(before) !== EntryState.LIVE)
        this.release(signal, this.lanes[signal].count - 1)
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

function emptyLanes(): Lanes {
  return { traces: new EntryIndex(), logs: new EntryIndex(), metrics: new EntryIndex() }
}
