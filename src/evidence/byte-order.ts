// Orders many ranges of one buffer by their bytes: a byte string before every longer one that it begins. A comparison of
// two would read what they have in common again for each of log n partners; here what a run has in common is read once,
// the next bytes are sorted as numbers, and only what is still equal goes on. So the work is linear in the bytes.

/** Bytes that one round sorts by. Each is one of 257 digits, 0 for "ended", so that they fit a double with the index. */
const DIGITS = 3
const RADIX = 257
/** Ranges that one call can order; a request has far fewer. */
const COUNT_LIMIT = 2 ** 28

export interface RangeList {
  readonly buf: Uint8Array
  start(index: number): number
  end(index: number): number
}

/** Bytes that `sortRanges` has read since the start: what tests and work budgets look at. */
export const ordering = { bytesRead: 0 }

/** Orders `order[from, to)`, indices of `ranges`; equal ones keep their order. Whether two are equal. */
export function sortRanges(ranges: RangeList, order: Int32Array, from: number, to: number): boolean {
  let hasTie = false
  // From, to and depth of the runs that are still to be ordered.
  const runs = [from, to, 0]
  while (runs.length > 0) {
    const depth = runs.pop()!
    const end = runs.pop()!
    const start = runs.pop()!
    const common = commonEnd(ranges, order, start, end, depth)
    const keys = new Float64Array(end - start)
    for (let i = start; i < end; i++)
      keys[i - start] = digits(ranges, order[i], common) * COUNT_LIMIT + i - start
    keys.sort()
    place(order, start, keys)
    for (let first = 0; first < keys.length; ) {
      const value = Math.floor(keys[first] / COUNT_LIMIT)
      let next = first + 1
      while (next < keys.length && Math.floor(keys[next] / COUNT_LIMIT) === value) next++
      if (next - first > 1) {
        // A last digit of 0: all of the run have ended, and are equal.
        if (value % RADIX === 0) hasTie = true
        else runs.push(start + first, start + next, common + DIGITS)
      }
      first = next
    }
  }
  return hasTie
}

/** How many bytes all of the run have in common; `depth` are known to be. */
function commonEnd(ranges: RangeList, order: Int32Array, from: number, to: number, depth: number): number {
  const { buf } = ranges
  const start = ranges.start(order[from])
  let common = ranges.end(order[from]) - start
  for (let i = from + 1; i < to && common > depth; i++) {
    const other = ranges.start(order[i])
    const limit = Math.min(common, ranges.end(order[i]) - other)
    let same = depth
    while (same < limit && buf[start + same] === buf[other + same]) same++
    ordering.bytesRead += same - depth
    common = same
  }
  return common
}

function digits(ranges: RangeList, index: number, depth: number): number {
  const end = ranges.end(index)
  let value = 0
  let pos = ranges.start(index) + depth
  for (let i = 0; i < DIGITS; i++) value = value * RADIX + (pos < end ? ranges.buf[pos++] + 1 : 0)
  ordering.bytesRead += DIGITS
  return value
}

function place(order: Int32Array, start: number, keys: Float64Array): void {
  const before = order.slice(start, start + keys.length)
  for (let i = 0; i < keys.length; i++) order[start + i] = before[keys[i] % COUNT_LIMIT]
}
