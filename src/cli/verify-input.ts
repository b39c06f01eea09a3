// Exported traces from a file or a pipe, whatever form they are in: OTLP/JSON as one document or one request a line
// (streamed, so a file may be larger than memory), protobuf as one request, or as a row of them with a length before
// each: four bytes big endian as the Collector's file exporter writes, or a varint.
import { createReadStream } from 'node:fs'
import { asSidecarError, SidecarError } from '../errors.ts'
import { jsonToProtobuf } from '../wire/json.ts'
import { readLength, varintEnd } from '../wire/reader.ts'
import { scan, type Visitor } from '../wire/scan.ts'

/** One request, or what was wrong where one should have been. `line` counts from 1; absent where there are no lines. */
export type Piece = {
  readonly line?: number
} & ({ readonly body: Uint8Array } | { readonly error: SidecarError })

/** Longest line, and largest file that is no JSON lines, bytes. */
const HELD_BYTES_MAX = 1024 * 1024 * 1024
const NEWLINE = 0x0a
const BRACE = 0x7b
const GZIP = 0x1f8b
const ZSTD = 0x28b5

/** Reads a source to its end. Throws what the stream throws; what is wrong with the content comes as pieces. */
export async function* readPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const lines = splitLines(source)
  const first = await lines.next()
  if (first.done === true) return yield { error: unreadable('is empty') }
  if (!isJsonLine(first.value)) return yield* wholePieces(await readAll(first.value, lines))
  yield piece(() => jsonToProtobuf(first.value, 'traces'), 1)
  let line = 1
  for await (const bytes of lines) {
    line++
    if (!isBlank(bytes)) yield piece(() => jsonToProtobuf(bytes, 'traces'), line)
  }
}

/** The pieces of a file, or of standard input for `-`. */
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

/** Whether a first line is a request of its own: it looks like a whole object, though it may be a broken one. */
function isJsonLine(line: Uint8Array): boolean {
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1').trim()
  return text.startsWith('{') && text.endsWith('}')
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
  const magic = (body[0] << 8) | body[1]
  if (magic === GZIP || magic === ZSTD) return yield { error: unreadable('is compressed: unpack it first') }
  if (isBlank(body)) return yield { error: unreadable('is empty') }
  if (firstVisible(body) === BRACE) return yield piece(() => jsonToProtobuf(body, 'traces'))
  const frames = splitFrames(body)
  if (frames === undefined) return yield { error: unreadable('is neither OTLP/JSON nor OTLP protobuf') }
  for (const frame of frames) yield { body: frame }
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

function piece(read: () => Uint8Array, line?: number): Piece {
  const at = line === undefined ? {} : { line }
  try {
    return { ...at, body: read() }
  } catch (thrown) {
    return { ...at, error: asSidecarError(thrown) }
  }
}

function firstVisible(bytes: Uint8Array): number | undefined {
  return bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && byte !== NEWLINE)
}

function isBlank(bytes: Uint8Array): boolean {
  return firstVisible(bytes) === undefined
}

function unreadable(message: string): SidecarError {
  return new SidecarError('MALFORMED', message)
}
