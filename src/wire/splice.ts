// The edited request, in one pass over the marks. The growth of every frame is known before the first byte is written:
// a frame is recorded after the one around it, so going through them backwards adds each growth to its parent in time.
import { strict as assert } from 'node:assert'
import { copy, type Edits, FRAME, MARK, ROOT, UNFILLED } from './edits.ts'
import { varintSize, writeVarint } from './write.ts'

/**
 * The request with all filled marks applied, in a buffer of its own; `buf` itself when there are none. Lengths of the
 * frames around a mark are corrected where they changed. Every other byte is the byte it was.
 */
export function splice(buf: Uint8Array, edits: Edits): Uint8Array {
  if (edits.filledCount === 0) return buf
  const growths = new Int32Array(edits.frameCount)
  const size = buf.length + measure(edits, growths)
  const out = Buffer.allocUnsafeSlow(size)
  // Plain views: `subarray` of a Buffer is several times slower, and the code stays monomorphic.
  const target = new Uint8Array(out.buffer, out.byteOffset, size)
  const source = new Uint8Array(buf.buffer, buf.byteOffset, buf.length)
  const order = edits.isOutOfOrder ? sortEdits(edits) : undefined
  const written = rebuild(source, target, edits, growths, order)
  assert(written === size, 'a splice writes what it measured')
  return out
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

function rebuild(
  source: Uint8Array,
  target: Uint8Array,
  edits: Edits,
  growths: Int32Array,
  order: EditOrder | undefined,
): number {
  const { marks, frames, markCount, frameCount } = edits
  let read = 0
  let write = 0
  let nextFrame = 0
  for (let i = 0; i < markCount; i++) {
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
    copy(edits.arena, marks[mark + 3], marks[mark + 4], target, write)
    write += marks[mark + 4] - marks[mark + 3]
    read = marks[mark + 1]
  }
  copy(source, read, source.length, target, write)
  return write + source.length - read
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
function sortEdits(edits: Edits): EditOrder {
  const { marks, frames } = edits
  const depthOf = (mark: number): number =>
    marks[mark * MARK + 2] === ROOT ? -1 : frames[marks[mark * MARK + 2] * FRAME + 1]
  const isReplacement = (mark: number): number => (marks[mark * MARK + 1] > marks[mark * MARK] ? 1 : 0)
  const markOrder = Uint32Array.from({ length: edits.markCount }, (_, i) => i).sort(
    (a, b) =>
      marks[a * MARK] - marks[b * MARK] ||
      isReplacement(a) - isReplacement(b) ||
      depthOf(b) - depthOf(a) ||
      a - b,
  )
  const frameOrder = Uint32Array.from({ length: edits.frameCount }, (_, i) => i).sort(
    (a, b) => frames[a * FRAME + 1] - frames[b * FRAME + 1] || a - b,
  )
  return { marks: markOrder, frames: frameOrder }
}
