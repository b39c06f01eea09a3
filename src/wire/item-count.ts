import type { Slices } from '../base/turns.ts'
import { type Cleaned, rejectFaultyItems, rejectFaultyItemsInSlices } from './clean.ts'
import { Edits } from './edits.ts'
import { Faults } from './faults.ts'
import { Frame, type Signal } from './otlp.ts'
import { REQUEST_BOUNDS, scan, type Visitor } from './scan.ts'
import { scanInSlices } from './scan-in-slices.ts'

/** Spans, log records or data points of a request. The scan checks it as strictly as any other, and its bounds. */
export function countItems(signal: Signal, body: Uint8Array): number {
  const counter = new ItemCounter()
  scan(body, signal, counter, undefined, REQUEST_BOUNDS)
  return counter.itemCount
}

/** As `countItems`, for a large request: between two slices others have their turn. */
export function* countItemsInSlices(signal: Signal, body: Uint8Array): Generator<void, number> {
  const counter = new ItemCounter()
  yield* scanInSlices(body, signal, counter, new Edits(), REQUEST_BOUNDS)
  return counter.itemCount
}

/** The request without what a strict next hop would refuse it for, and what is left in it. For one that no rule sees. */
export function countSoundItems(signal: Signal, body: Uint8Array): Cleaned & { itemCount: number } {
  const counter = new ItemCounter()
  if (scan(body, signal, counter, undefined, REQUEST_BOUNDS) === 0)
    return { body, faults: new Faults(), itemCount: counter.itemCount }
  const cleaned = rejectFaultyItems(body, signal)
  return { ...cleaned, itemCount: counter.itemCount - cleaned.faults.rejectedItems }
}

/** As `countSoundItems`, for a large request. */
export function* countSoundItemsInSlices(
  signal: Signal,
  body: Uint8Array,
): Slices<Cleaned & { itemCount: number }> {
  const counter = new ItemCounter()
  const doubts = yield* scanInSlices(body, signal, counter, new Edits(), REQUEST_BOUNDS)
  if (doubts === 0) return { body, faults: new Faults(), itemCount: counter.itemCount }
  const cleaned = yield* rejectFaultyItemsInSlices(body, signal)
  return { ...cleaned, itemCount: counter.itemCount - cleaned.faults.rejectedItems }
}

class ItemCounter implements Visitor {
  itemCount = 0
  enter(frame: Frame): void {
    if (frame === Frame.ITEM) this.itemCount++
  }
  leave(): void {}
  text(): void {}
  attribute(): boolean {
    return true
  }
  scalar(): void {}
  attributeEnd(): void {}
}
