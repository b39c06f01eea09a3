// The edited request, in one pass over the marks. The growth of every frame is known before the first byte is written:
// a frame is recorded after the one around it, so going through them backwards adds each growth to its parent in time.
import { strict as assert } from 'node:assert'
import { sortInSlices } from '../base/sort-in-slices.ts'
import { inOneGo, type Slices } from '../base/turns.ts'
import { copy, type Edits, FRAME, MARK, ROOT, UNFILLED } from './edits.ts'
import { varintSize, writeVarint } from './write.ts'

/** Marks that are put in, and bytes that are copied, between two yields. */
const SLICE_MARKS = 4_096
const SLICE_BYTES = 4 * 1024 * 1024

/**
 * The request with all filled marks applied, in a buffer of its own; `buf` itself when there are none. Lengths of the
 * frames around a mark are corrected where they changed. Every other byte is the byte it was.
 */
export const splice = (buf: Uint8Array, edits: Edits): Uint8Array => inOneGo(spliceInSlices(buf, edits))

/** As `splice`, for a large request: between two slices others have their turn. Nobody may use `edits` meanwhile. */
export function* spliceInSlices(buf: Uint8Array, edits: Edits): Slices<Uint8Array> {
  if (edits.filledCount === 0) return buf
  const growths = new Int32Array(edits.frameCount)
  const size = buf.length + measure(edits, growths)
  const order = edits.isOutOfOrder ? yield* sortEdits(edits) : undefined
  const rebuilding = new Rebuilding(buf, size, edits, growths, order)
  while (!rebuilding.isDone) {
    rebuilding.goOn()
    if (!rebuilding.isDone) yield
  }
  return rebuilding.finish()
}

/** Fills in how much each frame's content grows, and returns how much the request does. */
function measure(edits: Edits, growths: Int32Array): number {
  const { marks, frames } = edits
  let total = 0
  for (let at = 0; at < edits.markCount * MARK; at += MARK) {
    if (marks[at + 3] === UNFILLED) continue
    const growth = marks[at + 4] - marks[at + 3] - (marks[at + 1] - marks[at])
    if (marks[at + 2] === ROOT) total += growth
    else growths[marks[at + 2]] += growth
  }
  for (let frame = edits.frameCount - 1; frame >= 0; frame--) {
    const growth = growths[frame]
    if (growth === 0) continue
    const at = frame * FRAME
    const content = frames[at + 2] - frames[at + 1] + growth
    const header =
      frames[at] < 0 ? 1 + varintSize(content) : varintSize(content) - (frames[at + 1] - frames[at])
    if (frames[at + 3] === ROOT) total += growth + header
    else growths[frames[at + 3]] += growth + header
  }
  return total
}

class Rebuilding {
  readonly #out: Buffer
  // Plain views: `subarray` of a Buffer is several times slower, and the code stays monomorphic.
  readonly #source: Uint8Array
  readonly #target: Uint8Array
  readonly #edits: Edits
  readonly #growths: Int32Array
  readonly #order: EditOrder | undefined
  #nextMark = 0
  #nextFrame = 0
  /** How far source and target are. */
  #read = 0
  #write = 0

  constructor(
    buf: Uint8Array,
    size: number,
    edits: Edits,
    growths: Int32Array,
    order: EditOrder | undefined,
  ) {
    this.#out = Buffer.allocUnsafeSlow(size)
    this.#target = new Uint8Array(this.#out.buffer, this.#out.byteOffset, size)
    this.#source = new Uint8Array(buf.buffer, buf.byteOffset, buf.length)
    this.#edits = edits
    this.#growths = growths
    this.#order = order
  }

  get isDone(): boolean {
    return this.#nextMark === this.#edits.markCount
  }

  /** The next marks, until they make a slice. */
  goOn(): void {
    const { marks, frames, arena, markCount, frameCount } = this.#edits
    const [source, target, growths, order] = [this.#source, this.#target, this.#growths, this.#order]
    let read = this.#read
    let write = this.#write
    let nextFrame = this.#nextFrame
    const writeMax = write + SLICE_BYTES
    const end = Math.min(markCount, this.#nextMark + SLICE_MARKS)
    let i = this.#nextMark
    for (; i < end && write < writeMax; i++) {
      const mark = (order === undefined ? i : order.marks[i]) * MARK
      if (marks[mark + 3] === UNFILLED) continue
      const start = marks[mark]
      for (; nextFrame < frameCount; nextFrame++) {
        const frame = order === undefined ? nextFrame : order.frames[nextFrame]
        const at = frame * FRAME
        if (frames[at + 1] > start) break
        if (growths[frame] === 0) continue
        const header = frames[at] < 0 ? frames[at + 1] : frames[at]
        assert(header >= read, 'edits do not overlap')
        copy(source, read, header, target, write)
        write += header - read
        if (frames[at] < 0) target[write++] = -1 - frames[at]
        write = writeVarint(target, write, frames[at + 2] - frames[at + 1] + growths[frame])
        read = frames[at + 1]
      }
      assert(start >= read, 'edits do not overlap')
      copy(source, read, start, target, write)
      write += start - read
      copy(arena, marks[mark + 3], marks[mark + 4], target, write)
      write += marks[mark + 4] - marks[mark + 3]
      read = marks[mark + 1]
    }
    this.#nextMark = i
    this.#nextFrame = nextFrame
    this.#read = read
    this.#write = write
  }

  /** The whole request, the caller's from here on. */
  finish(): Uint8Array {
    copy(this.#source, this.#read, this.#source.length, this.#target, this.#write)
    const written = this.#write + this.#source.length - this.#read
    assert(written === this.#target.length, 'a splice writes what it measured')
    return this.#out
  }
}

interface EditOrder {
  readonly marks: Uint32Array
  readonly frames: Uint32Array
}

/**
 * Marks and frames by position. Needed only where a message has its fields in an unusual order, or a visitor goes back
 * to the front of a message. At one position: the end of an inner frame before what its parent holds next, inserts
 * before a replacement, and otherwise in the order of the calls.
 */
function* sortEdits(edits: Edits): Slices<EditOrder> {
  const { marks, frames } = edits
  const depthOf = (mark: number): number =>
    marks[mark * MARK + 2] === ROOT ? -1 : frames[marks[mark * MARK + 2] * FRAME + 1]
  const isReplacement = (mark: number): number => (marks[mark * MARK + 1] > marks[mark * MARK] ? 1 : 0)
  const markOrder = countTo(edits.markCount)
  yield* sortInSlices(
    markOrder,
    (a, b) =>
      marks[a * MARK] - marks[b * MARK] ||
      isReplacement(a) - isReplacement(b) ||
      depthOf(b) - depthOf(a) ||
      a - b,
  )
  const frameOrder = countTo(edits.frameCount)
  yield* sortInSlices(frameOrder, (a, b) => frames[a * FRAME + 1] - frames[b * FRAME + 1] || a - b)
  return { marks: markOrder, frames: frameOrder }
}

function countTo(count: number): Uint32Array<ArrayBuffer> {
  const numbers = new Uint32Array(count)
  for (let i = 0; i < count; i++) numbers[i] = i
  return numbers
}
