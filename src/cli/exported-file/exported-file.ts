// Exported telemetry from a file or a pipe, as `verify` and `reveal` read it: OTLP/JSON as one document or one request a
// line, OTLP protobuf as one request or several with their lengths before them, and Jaeger's answers. The form is told by
// the content. Lines and requests with lengths are streamed, so such a file may be larger than memory.
import { jsonToProtobuf, jsonToRequests } from '../../wire/json.ts'
import type { Signal } from '../../wire/otlp.ts'
import { ByteSource, HELD_BYTES_MAX } from './byte-source.ts'
import { FAULTS, type FilePlace, faultOfHead, faultOfWhole, faultText, firstVisible } from './faults.ts'
import {
  type FileForm,
  type FrameForm,
  frameHead,
  HEAD_BYTES_MAX,
  REQUEST_TAG,
  signalOf,
  type TraceIds,
} from './forms.ts'
import { jaegerRequest, looksLikeJaeger } from './jaeger.ts'

export interface FileRequest extends FilePlace {
  readonly form: FileForm
  readonly signal: Signal
  readonly body: Uint8Array
  /** Where it comes from keeps less than was sent. */
  readonly isLossy?: boolean
}

/** One request, or what was wrong where one should have been. */
export type Piece = FileRequest | (FilePlace & { readonly fault: string })

const BRACE = 0x7b
const UTF8_MARK = Buffer.from('\ufeff')

/** Reads a source to its end. Throws what the stream throws; what is wrong with the content comes as pieces. */
export async function* readExported(
  stream: AsyncIterable<Uint8Array>,
  traceIds: TraceIds,
): AsyncGenerator<Piece> {
  const source = new ByteSource(stream)
  try {
    const head = await source.peek(UTF8_MARK.length)
    if (head.length === 0) return yield { fault: FAULTS.empty }
    const fault = faultOfHead(head)
    if (fault !== undefined) return yield { fault }
    const form = await formOf(source, traceIds)
    if (form === 'protobuf') return yield* wholePieces(await source.peekAll(), traceIds)
    if (form !== 'json') return yield* framePieces(source, form, traceIds)
    if (UTF8_MARK.equals(head)) source.skip(UTF8_MARK.length)
    const isInLines = isJsonLine(await source.peekLine())
    yield* isInLines ? linePieces(source.lines()) : wholePieces(await source.peekAll(), traceIds)
  } finally {
    await source.close()
  }
}

/** By the beginning alone, but for bytes that may be one request: these are looked at as a whole. */
async function formOf(source: ByteSource, traceIds: TraceIds): Promise<FileForm> {
  const head = await source.peek(1)
  if (head[0] === REQUEST_TAG && signalOf(await source.peekAll(), traceIds) !== undefined) return 'protobuf'
  if (await beginsWithFrame(source, 'big_endian', traceIds)) return 'big_endian'
  return (await beginsWithFrame(source, 'varint', traceIds)) ? 'varint' : 'json'
}

async function beginsWithFrame(source: ByteSource, form: FrameForm, traceIds: TraceIds): Promise<boolean> {
  const bytes = await source.peek(HEAD_BYTES_MAX + 1)
  const head = frameHead(form, bytes)
  if (head === undefined || head.length > HELD_BYTES_MAX) return false
  if (bytes[head.headLength] !== REQUEST_TAG) return false
  // No other form begins with a zero: this is one also when it is damaged.
  if (form === 'big_endian' && bytes[0] === 0) return true
  const frame = await source.peek(head.headLength + head.length)
  return (
    frame.length === head.headLength + head.length &&
    signalOf(frame.subarray(head.headLength), traceIds) !== undefined
  )
}

// ---- protobuf with lengths

async function* framePieces(source: ByteSource, form: FrameForm, traceIds: TraceIds): AsyncGenerator<Piece> {
  let wasGood = true
  for (let request = 1; ; request++) {
    const bytes = await source.peek(HEAD_BYTES_MAX)
    if (bytes.length === 0) return
    const head = frameHead(form, bytes)
    const end = head === undefined ? Number.POSITIVE_INFINITY : head.headLength + head.length
    if (head === undefined || end > HELD_BYTES_MAX) return yield { request, fault: FAULTS.cutRequest }
    const frame = await source.peek(end)
    if (frame.length < end) return yield { request, fault: FAULTS.cutRequest }
    source.skip(end)
    const body = frame.subarray(head.headLength)
    const signal = signalOf(body, traceIds)
    if (signal !== undefined) yield { request, form, signal, body }
    // A damaged request leaves the next one where it is; a damaged length leaves nothing.
    else if (wasGood) yield { request, fault: FAULTS.notRequest }
    else return yield { request, fault: FAULTS.lostFrames }
    wasGood = signal !== undefined
  }
}

// ---- text

async function* linePieces(lines: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  let line = 0
  for await (const bytes of lines) {
    line++
    if (firstVisible(bytes) !== undefined) yield* jsonPieces(bytes, { line })
  }
}

async function* wholePieces(bytes: Uint8Array, traceIds: TraceIds): AsyncGenerator<Piece> {
  const signal = firstVisible(bytes) === undefined ? undefined : signalOf(bytes, traceIds)
  if (signal !== undefined) return yield { form: 'protobuf', signal, body: bytes }
  const pieces: Piece[] =
    firstVisible(bytes) === BRACE ? jsonPieces(bytes, {}) : [{ fault: faultOfWhole(bytes) }]
  // What is no whole may be one request a line all the same, with a line of something else at its head.
  const isFault = pieces.some((piece) => 'fault' in piece)
  yield* isFault && (await hasJsonLines(bytes)) ? linePieces(linesOf(bytes)) : pieces
}

const linesOf = (bytes: Uint8Array): AsyncIterable<Uint8Array> => new ByteSource(only(bytes)).lines()

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** An indented object is part of a document. */
async function hasJsonLines(bytes: Uint8Array): Promise<boolean> {
  for await (const line of linesOf(bytes)) if (line[0] === BRACE && isJsonLine(line)) return true
  return false
}

/** Whether a line is a request of its own: it looks like a whole object, though it may be a broken one. */
function isJsonLine(line: Uint8Array): boolean {
  return firstVisible(line) === BRACE && lastVisible(line) === 0x7d
}

function lastVisible(bytes: Uint8Array): number | undefined {
  return bytes.findLast((byte) => byte > 0x20)
}

/** One object, which may hold several signals. */
function jsonPieces(json: Uint8Array, place: FilePlace): Piece[] {
  try {
    const jaeger = looksLikeJaeger(json) ? jaegerRequest(json) : undefined
    if (jaeger !== undefined) {
      const body = jsonToProtobuf(jaeger, 'traces')
      return [{ ...place, form: 'json', signal: 'traces', body, isLossy: true }]
    }
    const requests = jsonToRequests(json).map((request) => ({ ...place, form: 'json' as const, ...request }))
    const full = requests.filter(({ body }) => body.length > 0)
    if (full.length > 0) return full
    return requests.length > 0 ? requests.slice(0, 1) : [{ ...place, fault: FAULTS.noSignal }]
  } catch (thrown) {
    return [{ ...place, fault: faultText(thrown) }]
  }
}
