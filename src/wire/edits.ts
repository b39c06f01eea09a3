// What a request will look like, as marks over the bytes it has. A mark is five integers; replacement bytes stand in one
// growing arena. The scan keeps the stack of open frames here, and a frame is recorded only when the first mark inside
// it appears, so a request without a match costs nothing but the stack.
import { strict as assert } from 'node:assert'
import { SidecarError } from '../base/errors.ts'
import { EDIT_MEMORY } from '../base/limits.ts'

/** Integers per entry of each table. */
export const MARK = 5 // start, end, frame, arena start or UNFILLED, arena end
export const FRAME = 4 // length position, content start, content end, parent frame
const OPEN = 4 // length position, content start, content end, recorded frame or UNRECORDED

export const UNFILLED = -1
const UNRECORDED = -1
/** The request itself: it has no length in front. */
export const ROOT = -1

/** 100 messages deep at most (see scan), and three leaves on top. */
const OPEN_FRAMES_MAX = 128
/** Tables and arena that grew beyond this are given back on reset, bytes. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024
const ARENA_BYTES_MIN = 16 * 1024
const TABLE_INTS_MIN = 1024

/** In place of a length's position: the field is not there yet, and -1 - position is the tag to write. */
export const ABSENT_KEY = -1 - 0x0a
export const ABSENT_VALUE = -1 - 0x12

/**
 * The edits of one request. A visitor edits while the scan runs, so that the frames around an edit are known; bytes
 * that are known only later go through `reserve` and `fill`. Positions are those of the request as it was scanned.
 *
 * An edit belongs to the innermost open frame that contains its range, ends included. So inside `attribute`, the range
 * of the key or of the value changes just that; [fieldStart, end) removes the attribute; an insert at `fieldStart`
 * puts a sibling in front of it. From `leave`, an insert at `end` appends to the message that is left.
 *
 * Bytes given to an edit are copied; the caller keeps them. One instance serves any number of requests, one after
 * the other: `scan` resets it.
 */
export class Edits {
  /** @internal read by splice */
  marks: Int32Array = new Int32Array(TABLE_INTS_MIN)
  markCount = 0
  /** How many marks have bytes: 0 means that the request stays as it is. */
  filledCount = 0
  /** @internal read by splice */
  frames: Int32Array = new Int32Array(TABLE_INTS_MIN)
  frameCount = 0
  /** @internal read by splice */
  arena: Uint8Array = new Uint8Array(ARENA_BYTES_MIN)
  arenaBytesUsed = 0
  /** @internal whether positions of marks or frames ever went backwards */
  isOutOfOrder = false
  /** Whether edits may stand between the fields of the request itself, where no frame is open. */
  mayEditRoot = false
  #requestBytes = 0
  /** Bytes that reserved marks will be filled with, as far as that was said. */
  #bytesExpected = 0
  readonly #open: Int32Array = new Int32Array(OPEN_FRAMES_MAX * OPEN)
  #depth = 0

  /** Forgets all marks, for a request of so many bytes. Called by `scan`. */
  reset(requestBytes: number): void {
    this.markCount = 0
    this.filledCount = 0
    this.frameCount = 0
    this.arenaBytesUsed = 0
    this.isOutOfOrder = false
    this.#depth = 0
    this.#requestBytes = requestBytes
    this.#bytesExpected = 0
    if (this.arena.byteLength > KEPT_BYTES_MAX) this.arena = new Uint8Array(ARENA_BYTES_MIN)
    if (this.marks.byteLength > KEPT_BYTES_MAX) this.marks = new Int32Array(TABLE_INTS_MIN)
    if (this.frames.byteLength > KEPT_BYTES_MAX) this.frames = new Int32Array(TABLE_INTS_MIN)
  }

  /** Puts `bytes` in the place of [start, end). */
  replace(start: number, end: number, bytes: Uint8Array): void {
    this.fill(this.reserve(start, end), bytes)
  }

  /** Takes [start, end) away. */
  remove(start: number, end: number): void {
    this.fillFrom(this.reserve(start, end), this.arena, 0, 0)
  }

  /** Puts `bytes` before the byte at `at`; several at one place keep the order of their calls. */
  insert(at: number, bytes: Uint8Array): void {
    this.fill(this.reserve(at, at), bytes)
  }

  /** Memory that the edits take, with what is still to be filled in. */
  get bytesHeld(): number {
    return this.marks.byteLength + this.frames.byteLength + this.arena.byteLength + this.#bytesExpected
  }

  /** A reserved mark will be filled with so many bytes: counted before the work is done. */
  expect(bytes: number): void {
    this.#bytesExpected += bytes
  }

  /**
   * A mark over [start, end) whose bytes come later, until the next reset. Never filled, it changes nothing. Throws
   * TOO_LARGE when the edits take more memory than a request of this size may.
   */
  reserve(start: number, end: number): number {
    assert(start >= 0 && start <= end && end <= this.#requestBytes, 'an edit is inside the request')
    // Once the scan is over the frames around a position are gone; only the two ends of the request need none.
    const isAtEdge = start === end && (start === 0 || start === this.#requestBytes)
    assert(this.#depth > 0 || isAtEdge || this.mayEditRoot, 'an edit is made while its frame is open')
    const at = this.markCount * MARK
    const isFull = at + MARK > this.marks.length
    this.#boundMemory(isFull ? this.marks.byteLength : 0)
    const frame = this.#recordFrame(start, end, this.#depth)
    const mark = this.markCount++
    if (isFull) this.marks = grownInts(this.marks)
    if (mark > 0 && !this.#isAfter(at - MARK, start, frame)) this.isOutOfOrder = true
    this.marks[at] = start
    this.marks[at + 1] = end
    this.marks[at + 2] = frame
    this.marks[at + 3] = UNFILLED
    this.marks[at + 4] = UNFILLED
    return mark
  }

  /** Gives a reserved mark its bytes; none at all means that the range is removed. Once per mark. */
  fill(mark: number, bytes: Uint8Array): void {
    this.fillFrom(mark, bytes, 0, bytes.length)
  }

  /** As `fill`, with the bytes [start, end) of `source`. */
  fillFrom(mark: number, source: Uint8Array, start: number, end: number): void {
    const at = mark * MARK
    assert(mark < this.markCount && this.marks[at + 3] === UNFILLED, 'a mark is filled once')
    const from = this.arenaBytesUsed
    const to = from + (end - start)
    if (to > this.arena.length) this.#growArena(to)
    copy(source, start, end, this.arena, from)
    this.arenaBytesUsed = to
    this.marks[at + 3] = from
    this.marks[at + 4] = to
    this.filledCount++
  }

  /** @internal The scan entered a frame whose length stands at `lengthAt`. */
  openFrame(lengthAt: number, start: number, end: number): void {
    const at = this.#depth++ * OPEN
    const open = this.#open
    open[at] = lengthAt
    open[at + 1] = start
    open[at + 2] = end
    open[at + 3] = UNRECORDED
  }

  /** @internal How many frames are open. */
  get openFrameCount(): number {
    return this.#depth
  }

  /** @internal The scan left `count` frames. */
  closeFrames(count: number): void {
    this.#depth -= count
  }

  /** The innermost open frame around [start, end) among the first `depth`, recorded together with those around it. */
  #recordFrame(start: number, end: number, depth: number): number {
    const open = this.#open
    let at = (depth - 1) * OPEN
    while (at >= 0 && (open[at + 1] > start || open[at + 2] < end)) at -= OPEN
    if (at < 0) return ROOT
    if (open[at + 3] === UNRECORDED) {
      // A value that is not there was opened above its key, which touches it and is no parent of it.
      const below = open[at] === ABSENT_VALUE ? 1 : 0
      const parent = this.#recordFrame(open[at + 1], open[at + 2], at / OPEN - below)
      open[at + 3] = this.#addFrame(open[at], open[at + 1], open[at + 2], parent)
    }
    return open[at + 3]
  }

  /** Whether a mark at `start` in `frame` surely goes behind the one at `at`. */
  #isAfter(at: number, start: number, frame: number): boolean {
    const previous = this.marks[at]
    return (
      start > previous ||
      (start === previous && this.marks[at + 1] === previous && this.marks[at + 2] === frame)
    )
  }

  #addFrame(lengthAt: number, start: number, end: number, parent: number): number {
    const frame = this.frameCount++
    const at = frame * FRAME
    if (at + FRAME > this.frames.length) {
      this.#boundMemory(this.frames.byteLength)
      this.frames = grownInts(this.frames)
    }
    if (frame > 0 && start < this.frames[at - FRAME + 1]) this.isOutOfOrder = true
    this.frames[at] = lengthAt
    this.frames[at + 1] = start
    this.frames[at + 2] = end
    this.frames[at + 3] = parent
    return frame
  }

  /** Throws TOO_LARGE when the edits would take more with so many bytes: a table doubles. */
  #boundMemory(bytes: number): void {
    if (this.bytesHeld + bytes > EDIT_MEMORY.base + EDIT_MEMORY.perByte * this.#requestBytes)
      throw new SidecarError('TOO_LARGE', 'request needs more changes than one of its size may')
  }

  #growArena(bytes: number): void {
    const grown = new Uint8Array(Math.max(bytes, this.arena.length * 2))
    grown.set(this.arena.subarray(0, this.arenaBytesUsed))
    this.arena = grown
  }
}

function grownInts(ints: Int32Array): Int32Array {
  const grown = new Int32Array(ints.length * 2)
  grown.set(ints)
  return grown
}

/** Below this, a loop beats the view object that `set` needs. */
const LOOP_BYTES_MAX = 48

/** Copies [start, end) of `source` to `target` at `at`. */
export function copy(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  if (end - start <= LOOP_BYTES_MAX) {
    for (let i = start; i < end; i++) target[at++] = source[i]
  } else {
    target.set(source.subarray(start, end), at)
  }
}
