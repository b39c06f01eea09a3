// The records of one write to a file of the queue, one after the other.
import { encodeCursors, encodeData, encodePairs } from './data-record.ts'
import type { QueueEntry } from './entry.ts'
import { isTip } from './evidence-survey.ts'
import { type Extent, plus, type Totals } from './extent.ts'
import { encodeFrame, Kind } from './frame.ts'
import type { KeyedValue } from './table.ts'

/** What one append wants written. */
export interface JournalDraft {
  readonly entry: QueueEntry | undefined
  readonly statements: readonly KeyedValue[]
}

const NOTHING = new Uint8Array(0)

export class JournalWrite {
  readonly parts: Uint8Array[] = []
  /** Where each draft begins. */
  readonly offsets: number[] = []
  /** Statements for the evidence log, encoded. */
  readonly kept: Uint8Array[] = []
  readonly tips: KeyedValue[] = []
  /** The last that was given to an entry. */
  sequence: number
  readonly #tag: Uint8Array
  readonly #start: Extent
  #endAt: number
  #count = 0
  #totals: Totals

  /** Behind `extent` of the file with that tag; `sequence` is the last that was given before. */
  constructor(tag: Uint8Array, extent: Extent, sequence: number) {
    this.sequence = sequence
    this.#tag = tag
    this.#start = extent
    this.#endAt = extent.endAt
    this.#totals = extent.totals
  }

  get records(): number {
    return this.#start.records + this.#count
  }

  get extent(): Extent {
    return { endAt: this.#endAt, records: this.records, totals: this.#totals }
  }

  add({ entry, statements }: JournalDraft): void {
    if (entry) {
      this.sequence = entry.sequence
      this.#totals = plus(this.#totals, entry.signal, entry.itemCount)
    }
    this.offsets.push(this.#endAt)
    const data = encodeData({
      signal: entry?.signal,
      sequence: this.sequence,
      acceptedAtMs: entry?.acceptedAtMs ?? 0,
      itemCount: entry?.itemCount ?? 0,
      totals: this.#totals,
      refs: entry?.refs ?? NOTHING,
    })
    this.#frame(Kind.DATA, [data, ...this.#encodeStatements(statements)], entry?.body ?? NOTHING)
  }

  addCursors(cursors: readonly KeyedValue[]): void {
    this.#frame(Kind.CURSORS, encodeCursors(this.#totals, cursors), NOTHING)
  }

  #encodeStatements(statements: readonly KeyedValue[]): Uint8Array[] {
    if (statements.length === 0) return []
    const tips = statements.filter(({ key }) => isTip(key))
    const kept = statements.filter(({ key }) => !isTip(key))
    this.tips.push(...tips)
    const parts = [kept, tips].filter((pairs) => pairs.length > 0).map(encodePairs)
    if (kept.length > 0) this.kept.push(parts[0])
    return parts
  }

  #frame(kind: Kind, meta: readonly Uint8Array[], body: Uint8Array): void {
    const back = this.#count++
    const parts = encodeFrame({ number: this.records, back, kind, meta, body }, this.#tag)
    for (const part of parts) {
      if (part.length > 0) this.parts.push(part)
      this.#endAt += part.length
    }
  }
}
