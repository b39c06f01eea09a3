// How far a file reaches: where its last record ends, how many records it has, and how many entries and items of each
// signal are in them. Two of these tell what is missing between them.
//   endAt 6 | records 6 | per signal: entries 4, items 6
import type { Signal } from '../wire/otlp.ts'
import { SIGNALS } from './entry.ts'

export interface Count {
  readonly entries: number
  readonly items: number
}

export type Totals = Readonly<Record<Signal, Count>>

export interface Extent {
  readonly endAt: number
  readonly records: number
  readonly totals: Totals
}

export const TOTALS_BYTES = 30
export const EXTENT_BYTES = 12 + TOTALS_BYTES

const NOTHING: Count = { entries: 0, items: 0 }
export const NO_TOTALS: Totals = { traces: NOTHING, logs: NOTHING, metrics: NOTHING }
export const NO_EXTENT: Extent = { endAt: 0, records: 0, totals: NO_TOTALS }

export function plus(totals: Totals, signal: Signal, items: number): Totals {
  const { entries, items: before } = totals[signal]
  return { ...totals, [signal]: { entries: entries + 1, items: before + items } }
}

/** Where a head or a mark had to be made anew, it says nothing of the file before. */
export function reaching(extent: Extent | undefined): Extent | undefined {
  return extent && extent.endAt > 0 ? extent : undefined
}

/** Never below nothing: damage may have left numbers that do not fit together. */
export function minus(a: Totals, b: Totals): Totals {
  const each = (signal: Signal): Count => ({
    entries: Math.max(0, a[signal].entries - b[signal].entries),
    items: Math.max(0, a[signal].items - b[signal].items),
  })
  return { traces: each('traces'), logs: each('logs'), metrics: each('metrics') }
}

export function writeTotals(totals: Totals, bytes: Buffer, at: number): void {
  let position = at
  for (const signal of SIGNALS) {
    position = bytes.writeUInt32BE(totals[signal].entries, position)
    position = bytes.writeUIntBE(totals[signal].items, position, 6)
  }
}

export function readTotals(bytes: Buffer, at: number): Totals {
  const read = (index: number): Count => ({
    entries: bytes.readUInt32BE(at + 10 * index),
    items: bytes.readUIntBE(at + 10 * index + 4, 6),
  })
  return { traces: read(0), logs: read(1), metrics: read(2) }
}

export function writeExtent(extent: Extent, bytes: Buffer, at: number): void {
  bytes.writeUIntBE(extent.endAt, at, 6)
  bytes.writeUIntBE(extent.records, at + 6, 6)
  writeTotals(extent.totals, bytes, at + 12)
}

export function readExtent(bytes: Buffer, at: number): Extent {
  return {
    endAt: bytes.readUIntBE(at, 6),
    records: bytes.readUIntBE(at + 6, 6),
    totals: readTotals(bytes, at + 12),
  }
}
