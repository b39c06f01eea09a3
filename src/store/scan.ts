// Reads the records of one file from front to back. What does not hold together is stepped over: the next record is
// found by the file's tag, and who asked sees by the numbers what is missing.
import { readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { decodeHead, type Frame, frameBytes, HEAD_BYTES, TAG_BYTES } from './frame.ts'

const WINDOW_BYTES = 256 * 1024
const SECTOR_BYTES = 4096

export interface FoundRecord {
  readonly frame: Frame
  readonly at: number
  /** A copy; `undefined` when it is not what was written. */
  readonly meta: Buffer | undefined
  readonly isBodyGood: boolean
}

/** All records between two positions whose heads are whole, in the order in which they stand. */
export function* scanRecords(fd: number, tag: Buffer, from: number, to: number): Generator<FoundRecord> {
  const window = new Window(fd, to)
  for (let at = from; at < to; ) {
    const frame = decodeHead(window.at(at, HEAD_BYTES), tag)
    if (!frame || at + frameBytes(frame) > to) {
      const next = findTag(window, tag, at + 1, to)
      if (next === undefined) return
      at = next
      continue
    }
    const meta = Buffer.from(window.at(at + HEAD_BYTES, frame.metaBytes))
    const isMetaGood = meta.length === frame.metaBytes && crc32(meta) === frame.metaCrc
    const bodyAt = at + HEAD_BYTES + frame.metaBytes
    const isBodyGood = isMetaGood && crcOf(window, bodyAt, frame.bodyBytes) === frame.bodyCrc
    yield { frame, at, meta: isMetaGood ? meta : undefined, isBodyGood }
    // The lengths stand under the head's own checksum, so they hold also where the rest does not.
    at += frameBytes(frame)
  }
}

/** Bytes of one record, checked; `undefined` when they are not what was written. */
export function readRecord(
  fd: number,
  tag: Buffer,
  at: number,
): { readonly frame: Frame; readonly meta: Buffer; readonly body: Buffer } | undefined {
  const frame = decodeHead(readAt(fd, at, HEAD_BYTES), tag)
  if (!frame) return undefined
  const rest = readAt(fd, at + HEAD_BYTES, frame.metaBytes + frame.bodyBytes)
  const meta = rest.subarray(0, frame.metaBytes)
  const body = rest.subarray(frame.metaBytes)
  if (body.length !== frame.bodyBytes || crc32(meta) !== frame.metaCrc) return undefined
  return crc32(body) === frame.bodyCrc ? { frame, meta, body } : undefined
}

/** Fewer bytes at the end of the file. What the disk cannot read comes as zeros, which no checksum takes. */
export function readAt(fd: number, at: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(bytes)
  return buffer.subarray(0, fill(fd, buffer, at))
}

function fill(fd: number, buffer: Buffer, at: number): number {
  let length = 0
  while (length < buffer.length) {
    const count = readPiece(fd, buffer, length, at + length)
    if (count === 0) break
    length += count
  }
  return length
}

function readPiece(fd: number, buffer: Buffer, offset: number, at: number): number {
  try {
    return readSync(fd, buffer, offset, buffer.length - offset, at)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EIO')) throw thrown
    const bytes = Math.min(SECTOR_BYTES, buffer.length - offset)
    buffer.fill(0, offset, offset + bytes)
    return bytes
  }
}

function findTag(window: Window, tag: Buffer, from: number, to: number): number | undefined {
  for (let at = from; at + HEAD_BYTES <= to; ) {
    const bytes = window.at(at, Math.min(WINDOW_BYTES / 2, to - at))
    const found = bytes.indexOf(tag)
    if (found >= 0) return at + found
    if (bytes.length < TAG_BYTES) return undefined
    at += bytes.length - TAG_BYTES + 1
  }
  return undefined
}

function crcOf(window: Window, from: number, bytes: number): number {
  let crc = 0
  for (let at = from; at < from + bytes; ) {
    const piece = window.at(at, Math.min(WINDOW_BYTES, from + bytes - at))
    if (piece.length === 0) return -1
    crc = crc32(piece, crc)
    at += piece.length
  }
  return crc
}

/** A view into the file that moves forward; what it returns holds until it is asked again. */
class Window {
  readonly #fd: number
  readonly #end: number
  readonly #buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  #start = 0
  #length = 0

  constructor(fd: number, end: number) {
    this.#fd = fd
    this.#end = end
  }

  at(position: number, bytes: number): Buffer {
    if (bytes > WINDOW_BYTES) return readAt(this.#fd, position, bytes)
    if (position < this.#start || position + bytes > this.#start + this.#length) {
      const wanted = Math.max(0, Math.min(WINDOW_BYTES, this.#end - position))
      this.#start = position
      this.#length = fill(this.#fd, this.#buffer.subarray(0, wanted), position)
    }
    const offset = position - this.#start
    return this.#buffer.subarray(offset, Math.min(offset + bytes, this.#length))
  }
}
