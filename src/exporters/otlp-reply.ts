// What a next hop says: the Export…ServiceResponse of an OK, and the google.rpc.Status of a refusal. Both are read
// leniently where it costs nothing: the verdict stands in the status, and an answer that cannot be read changes no
// verdict. Field numbers: opentelemetry-proto collector/*/v1 (the same for all signals), google/rpc/{status,error_details}.
import { Fields, readInt32, readInt64 } from '../wire/reader.ts'
import type { SendOutcome } from './sender.ts'

const MESSAGE_CHARS_MAX = 256
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'
const LENGTH = 2
const VARINT = 0

/** The outcome of an OK with this body. */
export function readExportResponse(body: Uint8Array): SendOutcome {
  try {
    return readPartialSuccess(body)
  } catch {
    return { kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' }
  }
}

function readPartialSuccess(body: Uint8Array): SendOutcome {
  let rejectedItems = 0
  let message = ''
  const response = new Fields(body)
  while (response.next()) {
    if (response.field !== 1 || response.wireType !== LENGTH) continue
    const partial = new Fields(body, response.start, response.end)
    while (partial.next()) {
      if (partial.field === 1 && partial.wireType === VARINT) {
        rejectedItems = Math.max(0, Number(readInt64(body, partial.start, partial.end)))
      }
      if (partial.field === 2 && partial.wireType === LENGTH) message = text(body, partial.start, partial.end)
    }
  }
  return { kind: 'ok', rejectedItems, message }
}

/** The delay in the RetryInfo of a google.rpc.Status, ms; `undefined` when there is none or it cannot be read. */
export function readRetryDelayMs(status: Uint8Array): number | undefined {
  try {
    const fields = new Fields(status)
    while (fields.next()) {
      if (fields.field !== 3 || fields.wireType !== LENGTH) continue
      const delayMs = readAny(status, fields.start, fields.end)
      if (delayMs !== undefined) return delayMs
    }
  } catch {
    // A hint that cannot be read is no hint.
  }
  return undefined
}

function readAny(buf: Uint8Array, start: number, end: number): number | undefined {
  let isRetryInfo = false
  let valueStart = 0
  let valueEnd = 0
  const any = new Fields(buf, start, end)
  while (any.next()) {
    if (any.wireType !== LENGTH) continue
    if (any.field === 1) isRetryInfo = text(buf, any.start, any.end) === RETRY_INFO
    if (any.field === 2) {
      valueStart = any.start
      valueEnd = any.end
    }
  }
  return isRetryInfo ? readRetryInfo(buf, valueStart, valueEnd) : undefined
}

/** An empty RetryInfo, or one of zero, means at once. */
function readRetryInfo(buf: Uint8Array, start: number, end: number): number {
  let seconds = 0
  let nanos = 0
  const info = new Fields(buf, start, end)
  while (info.next()) {
    if (info.field !== 1 || info.wireType !== LENGTH) continue
    const duration = new Fields(buf, info.start, info.end)
    while (duration.next()) {
      if (duration.wireType !== VARINT) continue
      if (duration.field === 1) seconds = Number(readInt64(buf, duration.start, duration.end))
      if (duration.field === 2) nanos = readInt32(buf, duration.start, duration.end)
    }
  }
  return Math.max(0, Math.ceil(seconds * 1000 + nanos / 1e6))
}

function text(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, Math.min(end - start, 4 * MESSAGE_CHARS_MAX))
    .toString('utf8')
    .slice(0, MESSAGE_CHARS_MAX)
}
