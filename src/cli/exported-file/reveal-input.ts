// Exported telemetry from a file, of any signal: OTLP/JSON as one document or one request a line, protobuf as one
// request, or a row of them with four bytes of length before each, as the Collector's file exporter writes. Which it was
// is kept, so that the opened document can be written in the same form.
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import type { ExportedRequest } from '../../keys/operations/reveal.ts'
import { jsonToProtobuf, protobufToJson } from '../../wire/json.ts'
import { Frame, type Signal } from '../../wire/otlp.ts'
import { Fields } from '../../wire/reader.ts'
import { scan, type Visitor } from '../../wire/scan.ts'
import {
  faultOfWhole,
  firstVisible,
  hasJsonLines,
  type InputFault,
  notOtlp,
  numberedLines,
} from './input-faults.ts'

export type ExportForm = 'json' | 'json_lines' | 'protobuf' | 'protobuf_row'

export interface ExportedFile {
  readonly form: ExportForm
  readonly requests: readonly ExportedRequest[]
  readonly failures: readonly InputFault[]
}

/** Longest file that is read, bytes: it is held in memory. */
export const FILE_BYTES_MAX = 1024 * 1024 * 1024

const BRACE = 0x7b
const SIGNALS: readonly Signal[] = ['traces', 'logs', 'metrics']
const SIGNAL_OF: ReadonlyMap<string, Signal> = new Map([
  ['resourceSpans', 'traces'],
  ['resource_spans', 'traces'],
  ['resourceLogs', 'logs'],
  ['resource_logs', 'logs'],
  ['resourceMetrics', 'metrics'],
  ['resource_metrics', 'metrics'],
])

/** Reads a whole file, and goes on after what cannot be read. */
export function readExported(bytes: Uint8Array): ExportedFile {
  if (bytes.length > FILE_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'file is too large')
  const fault = faultOfWhole(bytes)
  if (fault !== undefined) return unread(fault)
  const whole = firstVisible(bytes) === BRACE ? asDocument(bytes) : readBinary(bytes)
  return whole.failures.length > 0 && hasJsonLines(bytes) ? readLines(bytes) : whole
}

function asDocument(bytes: Uint8Array): ExportedFile {
  try {
    return { form: 'json', requests: [jsonRequest(bytes)], failures: [] }
  } catch (thrown) {
    return unread(expected(thrown))
  }
}

function readLines(file: Uint8Array): ExportedFile {
  const requests: ExportedRequest[] = []
  const failures: InputFault[] = []
  for (const { line, bytes } of numberedLines(file)) {
    try {
      requests.push(jsonRequest(bytes))
    } catch (thrown) {
      failures.push({ line, message: expected(thrown).message })
    }
  }
  return { form: 'json_lines', requests, failures }
}

const unread = ({ message }: SidecarError): ExportedFile => ({
  form: 'json',
  requests: [],
  failures: [{ message }],
})

/** A mistake of ours is no fault of the input. */
function expected(thrown: unknown): SidecarError {
  const error = asSidecarError(thrown)
  if (error.code === 'INTERNAL') throw thrown
  return error
}

/** The requests in the form that they came in. */
export function writeExported(form: ExportForm, requests: readonly ExportedRequest[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const { signal, body } of requests) {
    if (form === 'json' || form === 'json_lines') parts.push(Buffer.from(`${protobufToJson(body, signal)}\n`))
    else if (form === 'protobuf') parts.push(body)
    else {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(body.length)
      parts.push(length, body)
    }
  }
  return Buffer.concat(parts)
}

function jsonRequest(bytes: Uint8Array): ExportedRequest {
  const signal = signalOf(bytes)
  if (signal === undefined)
    throw new SidecarError('MALFORMED', 'json has no resourceSpans, resourceLogs or resourceMetrics')
  return { signal, body: jsonToProtobuf(bytes, signal) }
}

function signalOf(bytes: Uint8Array): Signal | undefined {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  } catch {
    document = undefined
  }
  // For what is no object our own reader has the words.
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return 'traces'
  return Object.keys(document)
    .map((key) => SIGNAL_OF.get(key))
    .find((known) => known !== undefined)
}

function readBinary(bytes: Uint8Array): ExportedFile {
  const signal = binarySignal(bytes)
  if (signal !== undefined) return { form: 'protobuf', requests: [{ signal, body: bytes }], failures: [] }
  const requests = splitRow(bytes)
  return requests === undefined ? unread(notOtlp()) : { form: 'protobuf_row', requests, failures: [] }
}

function splitRow(bytes: Uint8Array): ExportedRequest[] | undefined {
  const requests: ExportedRequest[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 <= bytes.length ? at + 4 + view.getUint32(at) : bytes.length + 1
    if (end > bytes.length) return undefined
    const body = bytes.subarray(at + 4, end)
    const signal = binarySignal(body)
    if (signal === undefined) return undefined
    requests.push({ signal, body })
    at = end
  }
  return requests.length === 0 ? undefined : requests
}

/** The first signal as which the bytes can be read. A span has ids of their own length, which no metric has. */
function binarySignal(body: Uint8Array): Signal | undefined {
  return SIGNALS.find((signal) => {
    try {
      scan(body, signal, signal === 'traces' ? spansOnly(body) : nothing)
      return true
    } catch (thrown) {
      if (asSidecarError(thrown).code === 'INTERNAL') throw thrown
      return false
    }
  })
}

const nothing: Visitor = {
  enter: () => undefined,
  leave: () => undefined,
  text: () => undefined,
  attribute: () => true,
  scalar: () => undefined,
  attributeEnd: () => undefined,
}

function spansOnly(body: Uint8Array): Visitor {
  return {
    ...nothing,
    enter(frame, start, end) {
      if (frame !== Frame.ITEM) return
      const span = new Fields(body, start, end)
      while (span.next()) {
        if (span.field === 1 && span.end - span.start !== 16) throw notOtlp()
      }
    },
  }
}
