// Sorting what may be a million of something without holding the event loop: runs are sorted one by one and then merged.
import type { Slices } from './turns.ts'

/** Sorted in one go, some tenths of a millisecond. */
const RUN_COUNT = 2_048
/** Merged between two yields. */
const MERGED_COUNT = 16_384

/** Sorts `items` in place, stable, and yields on the way. `compare` as for `Array.prototype.sort`. */
export function* sortInSlices(
  items: Uint32Array<ArrayBuffer>,
  compare: (a: number, b: number) => number,
): Slices<void> {
  for (let first = 0; first < items.length; first += RUN_COUNT) {
    items.subarray(first, first + RUN_COUNT).sort(compare)
    if (items.length > RUN_COUNT) yield
  }
  if (items.length <= RUN_COUNT) return
  let from = items
  let to = new Uint32Array(items.length)
  for (let width = RUN_COUNT; width < items.length; width *= 2) {
    yield* mergeRuns(from, to, width, compare)
    const merged = to
    to = from
    from = merged
  }
  if (from !== items) items.set(from)
}

/** Each two neighbouring runs of `width` items of `from` become one of `to`. */
function* mergeRuns(
  from: Uint32Array,
  to: Uint32Array,
  width: number,
  compare: (a: number, b: number) => number,
): Slices<void> {
  let sinceYield = 0
  for (let first = 0; first < from.length; first += 2 * width) {
    const middle = Math.min(first + width, from.length)
    const end = Math.min(first + 2 * width, from.length)
    let left = first
    let right = middle
    for (let at = first; at < end; at++) {
      const isLeft = right >= end || (left < middle && compare(from[left]!, from[right]!) <= 0)
      to[at] = from[isLeft ? left++ : right++]!
      if (++sinceYield === MERGED_COUNT) {
        sinceYield = 0
        yield
      }
    }
  }
}
