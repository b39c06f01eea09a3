// Exported traces from a file or a pipe, whatever form they are in: OTLP/JSON as one document or one request a line
// (streamed, so a file may be larger than memory), protobuf as one request, or as a row of them with a length before
// each: four bytes big endian as the Collector's file exporter writes, or a varint. Answers of Jaeger are read too.
import { createReadStream } from 'node:fs'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import { jsonToProtobuf } from '../../wire/json.ts'
import { readLength, varintEnd } from '../../wire/reader.ts'
import { scan, type Visitor } from '../../wire/scan.ts'
import {
  emptyInput,
  faultOfWhole,
  firstVisible,
  hasJsonLines,
  isBlank,
  isJsonLine,
  notOtlp,
  numberedLines,
} from './input-faults.ts'
import { jaegerRequest, looksLikeJaeger } from './jaeger.ts'

/** One request, or what was wrong where one should have been. `line` counts from 1; absent where there are no lines. */
export type Piece = {
  readonly line?: number
} & (
  | {
      readonly body: Uint8Array
      /** Where it comes from keeps less than was signed. */
      readonly isLossy?: boolean
    }
  | { readonly error: SidecarError }
)

/** Longest line, and largest file that is no JSON lines, bytes. */
const HELD_BYTES_MAX = 1024 * 1024 * 1024
const NEWLINE = 0x0a
const BRACE = 0x7b

/** Reads a source to its end. Throws what the stream throws; what is wrong with the content comes as pieces. */
export async function* readPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const lines = splitLines(source)
  const first = await lines.next()
  if (first.done === true) return yield { error: emptyInput() }
  if (!isJsonLine(first.value)) return yield* wholePieces(await readAll(first.value, lines))
  yield piece(first.value, 1)
  let line = 1
  for await (const bytes of lines) {
    line++
    if (!isBlank(bytes)) yield piece(bytes, line)
  }
}

/** The bytes of a file, or of standard input for `-`. */
export function openSource(path: string, stdin: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return path === '-' ? stdin : createReadStream(path)
}

/** Lines without their ends; the bytes between two ends are never decoded here. */
async function* splitLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  for await (const chunk of source) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      held.push(chunk.subarray(from, at))
      yield Buffer.concat(held)
      held = []
      heldBytes = 0
      from = at + 1
    }
    if (from === chunk.length) continue
    held.push(chunk.subarray(from))
    heldBytes += chunk.length - from
    if (heldBytes > HELD_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'line is too long')
  }
  if (heldBytes > 0) yield Buffer.concat(held)
}

async function readAll(first: Uint8Array, lines: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts = [first]
  const newline = Uint8Array.of(NEWLINE)
  let bytes = first.length
  for await (const line of lines) {
    parts.push(newline, line)
    bytes += line.length + 1
    if (bytes > HELD_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'file is too large for its form')
  }
  return Buffer.concat(parts)
}

function* wholePieces(body: Uint8Array): Generator<Piece> {
  const fault = faultOfWhole(body)
  if (fault !== undefined) return yield { error: fault }
  if (firstVisible(body) === BRACE) return yield* orLines(body, piece(body))
  const frames = splitFrames(body)
  if (frames === undefined) return yield* orLines(body, { error: notOtlp() })
  for (const frame of frames) yield { body: frame }
}

/** What is no whole may be one request a line all the same, with a line of something else at its head. */
function* orLines(body: Uint8Array, whole: Piece): Generator<Piece> {
  if (!('error' in whole && hasJsonLines(body))) return yield whole
  for (const { line, bytes } of numberedLines(body)) yield piece(bytes, line)
}

/** The one division of the bytes in which every frame is a request. */
function splitFrames(body: Uint8Array): Uint8Array[] | undefined {
  // The row of frames is tried with and without the newline that splitting into lines may have taken from its end.
  for (const bytes of [body, Buffer.concat([body, Uint8Array.of(NEWLINE)])]) {
    for (const frames of [[bytes], divide(bytes, bigEndianFrame), divide(bytes, varintFrame)]) {
      if (frames?.every(isRequest) === true) return frames
    }
  }
  return undefined
}

/** Where a frame's content begins, and its length; `undefined` when there is no frame. */
type FrameHead = (body: Uint8Array, pos: number) => { start: number; length: number } | undefined

function divide(body: Uint8Array, headOf: FrameHead): Uint8Array[] | undefined {
  const frames: Uint8Array[] = []
  for (let pos = 0; pos < body.length; ) {
    const head = headOf(body, pos)
    if (head === undefined || head.start + head.length > body.length) return undefined
    pos = head.start + head.length
    frames.push(body.subarray(head.start, pos))
  }
  return frames
}

const bigEndianFrame: FrameHead = (body, pos) => {
  if (pos + 4 > body.length) return undefined
  const length = new DataView(body.buffer, body.byteOffset + pos, 4).getUint32(0)
  return { start: pos + 4, length }
}

const varintFrame: FrameHead = (body, pos) => {
  try {
    return { start: varintEnd(body, pos, body.length), length: readLength(body, pos, body.length) }
  } catch {
    return undefined
  }
}

const ignore: Visitor = {
  enter() {},
  leave() {},
  text() {},
  attribute: () => true,
  scalar() {},
  attributeEnd() {},
}

function isRequest(body: Uint8Array): boolean {
  try {
    scan(body, 'traces', ignore)
    return true
  } catch {
    return false
  }
}

/** One request in JSON, be it OTLP's or Jaeger's. */
function piece(json: Uint8Array, line?: number): Piece {
  const at = line === undefined ? {} : { line }
  try {
    const jaeger = looksLikeJaeger(json) ? jaegerRequest(json) : undefined
    const body = jsonToProtobuf(jaeger ?? json, 'traces')
    return { ...at, body, ...(jaeger !== undefined && { isLossy: true }) }
  } catch (thrown) {
    return { ...at, error: asSidecarError(thrown) }
  }
}
