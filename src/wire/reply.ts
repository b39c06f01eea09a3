// What OTLP answers: Export…ServiceResponse with its partial_success, and google.rpc.Status with RetryInfo, in protobuf
// and JSON. Answers of a next hop are hostile input like any other; the caller caps them at RESPONSE_BYTES_MAX.
import { JsonLexer } from './json-lexer.ts'
import type { Signal } from './otlp.ts'
import { Fields, malformed, readInt32, readInt64 } from './reader.ts'
import { Wire } from './schema.ts'
import { Writer } from './write.ts'

/** partial_success. Zero and empty leave it unset: everything was accepted (OTLP 1.11, "Full Success"). */
export interface PartialSuccess {
  /** A safe integer: spans, log records or data points. */
  readonly rejectedItems: number
  readonly message: string
}

/** google.rpc.Status, with the delay of its RetryInfo when it has one. */
export interface RpcStatus {
  readonly code: number
  readonly message: string
  readonly retryDelayMs?: number
}

const REJECTED: Readonly<Record<Signal, string>> = {
  traces: 'rejectedSpans',
  logs: 'rejectedLogRecords',
  metrics: 'rejectedDataPoints',
}

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'
/** Longest delay of google.protobuf.Duration, 10 000 years; more is not a Duration. */
const DURATION_SECONDS_MAX = 315_576_000_000
const decoder = new TextDecoder()

/** An Export…ServiceResponse in protobuf; no bytes at all on full success. The message is the same for all signals. */
export function encodeResponse(partial: PartialSuccess): Uint8Array {
  const writer = new Writer()
  if (partial.rejectedItems === 0 && partial.message === '') return writer.finish()
  const mark = writer.open(1)
  if (partial.rejectedItems !== 0) {
    writer.tag(1, Wire.VARINT)
    writer.varint(partial.rejectedItems)
  }
  if (partial.message !== '') writer.string(2, partial.message)
  writer.close(mark)
  return writer.finish()
}

/** An Export…ServiceResponse in JSON; `{}` on full success. */
export function responseJson(partial: PartialSuccess, signal: Signal): string {
  if (partial.rejectedItems === 0 && partial.message === '') return '{}'
  return JSON.stringify({
    partialSuccess: {
      [REJECTED[signal]]: partial.rejectedItems === 0 ? undefined : String(partial.rejectedItems),
      errorMessage: partial.message === '' ? undefined : partial.message,
    },
  })
}

/** google.rpc.Status in protobuf: a body over HTTP, `grpc-status-details-bin` over gRPC. */
export function encodeStatus(status: RpcStatus): Uint8Array {
  const writer = new Writer()
  if (status.code !== 0) {
    writer.tag(1, Wire.VARINT)
    writer.varint64(BigInt(status.code))
  }
  if (status.message !== '') writer.string(2, status.message)
  if (status.retryDelayMs !== undefined) {
    const any = writer.open(3)
    writer.string(1, RETRY_INFO)
    const retryInfo = writer.open(2)
    const duration = writer.open(1)
    const { seconds, nanos } = durationOf(status.retryDelayMs)
    if (seconds !== 0) {
      writer.tag(1, Wire.VARINT)
      writer.varint(seconds)
    }
    if (nanos !== 0) {
      writer.tag(2, Wire.VARINT)
      writer.varint(nanos)
    }
    writer.close(duration)
    writer.close(retryInfo)
    writer.close(any)
  }
  return writer.finish()
}

/** google.rpc.Status in JSON (ProtoJSON: a Duration is a string of seconds). */
export function statusJson(status: RpcStatus): string {
  const details =
    status.retryDelayMs === undefined
      ? undefined
      : [{ '@type': RETRY_INFO, retryDelay: durationText(status.retryDelayMs) }]
  return JSON.stringify({
    code: status.code === 0 ? undefined : status.code,
    message: status.message === '' ? undefined : status.message,
    details,
  })
}

function durationOf(ms: number): { seconds: number; nanos: number } {
  // Rounded up: a client that comes back too early is refused again.
  const whole = Math.min(Math.max(Math.ceil(ms), 0), DURATION_SECONDS_MAX * 1000)
  return { seconds: Math.floor(whole / 1000), nanos: (whole % 1000) * 1_000_000 }
}

function durationText(ms: number): string {
  const { seconds, nanos } = durationOf(ms)
  return nanos === 0 ? `${seconds}s` : `${seconds}.${String(nanos / 1_000_000).padStart(3, '0')}s`
}

/** partial_success of an Export…ServiceResponse in protobuf; zero and empty when it is unset. Throws MALFORMED. */
export function decodeResponse(body: Uint8Array): PartialSuccess {
  let rejectedItems = 0
  let message = ''
  const response = new Fields(body)
  while (response.next()) {
    if (response.field !== 1) continue
    response.expect(Wire.LENGTH)
    const partial = new Fields(body, response.start, response.end)
    while (partial.next()) {
      if (partial.field === 1) {
        partial.expect(Wire.VARINT)
        rejectedItems = rejectedCount(readInt64(body, partial.start, partial.end))
      } else if (partial.field === 2) {
        partial.expect(Wire.LENGTH)
        message = textOf(body, partial.start, partial.end)
      }
    }
  }
  return { rejectedItems, message }
}

/** A count that a peer claims: negative is none, and what no request can hold is the largest safe integer. */
function rejectedCount(claimed: bigint): number {
  if (claimed <= 0n) return 0
  return claimed > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(claimed)
}

/** google.rpc.Status in protobuf. Details other than RetryInfo are passed over. Throws MALFORMED. */
export function decodeStatus(body: Uint8Array): RpcStatus {
  let code = 0
  let message = ''
  let retryDelayMs: number | undefined
  const status = new Fields(body)
  while (status.next()) {
    if (status.field === 1) {
      status.expect(Wire.VARINT)
      code = readInt32(body, status.start, status.end)
    } else if (status.field === 2) {
      status.expect(Wire.LENGTH)
      message = textOf(body, status.start, status.end)
    } else if (status.field === 3) {
      status.expect(Wire.LENGTH)
      retryDelayMs = retryDelayIn(body, status.start, status.end) ?? retryDelayMs
    }
  }
  return retryDelayMs === undefined ? { code, message } : { code, message, retryDelayMs }
}

/** The delay of a google.protobuf.Any that holds a RetryInfo. */
function retryDelayIn(body: Uint8Array, start: number, end: number): number | undefined {
  let typeUrl = ''
  let valueStart = 0
  let valueEnd = 0
  const any = new Fields(body, start, end)
  while (any.next()) {
    if (any.field > 2) continue
    any.expect(Wire.LENGTH)
    if (any.field === 1) typeUrl = textOf(body, any.start, any.end)
    else {
      valueStart = any.start
      valueEnd = any.end
    }
  }
  return isRetryInfo(typeUrl) ? retryInfoDelay(body, valueStart, valueEnd) : undefined
}

/** Only the part behind the last slash names the type (google.protobuf.Any). */
function isRetryInfo(typeUrl: string): boolean {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1) === 'google.rpc.RetryInfo'
}

function retryInfoDelay(body: Uint8Array, start: number, end: number): number | undefined {
  let delayMs: number | undefined
  const info = new Fields(body, start, end)
  while (info.next()) {
    if (info.field !== 1) continue
    info.expect(Wire.LENGTH)
    delayMs = durationMs(body, info.start, info.end)
  }
  return delayMs
}

function durationMs(body: Uint8Array, start: number, end: number): number {
  let seconds = 0n
  let nanos = 0
  const duration = new Fields(body, start, end)
  while (duration.next()) {
    if (duration.field > 2) continue
    duration.expect(Wire.VARINT)
    if (duration.field === 1) seconds = readInt64(body, duration.start, duration.end)
    else nanos = readInt32(body, duration.start, duration.end)
  }
  return clampedMs(Number(seconds) * 1000 + nanos / 1_000_000)
}

/** A delay that is negative or no Duration at all is none. */
function clampedMs(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), DURATION_SECONDS_MAX * 1000)
}

function textOf(body: Uint8Array, start: number, end: number): string {
  return decoder.decode(body.subarray(start, end))
}

/** An Export…ServiceResponse in JSON. Throws MALFORMED. */
export function parseResponseJson(body: Uint8Array, signal: Signal): PartialSuccess {
  const partial = objectIn(parseObject(body).partialSuccess)
  const rejected = partial[REJECTED[signal]] ?? 0
  const isInteger =
    typeof rejected === 'number' ? Number.isInteger(rejected) : /^-?[0-9]{1,20}$/.test(String(rejected))
  if (!isInteger) throw malformed('rejected count is no integer')
  return {
    rejectedItems: rejectedCount(BigInt(rejected as string | number)),
    message: stringIn(partial.errorMessage),
  } // checked above
}

/** google.rpc.Status in JSON. Throws MALFORMED. */
export function parseStatusJson(body: Uint8Array): RpcStatus {
  const status = parseObject(body)
  const code = status.code ?? 0
  if (typeof code !== 'number' || !Number.isInteger(code)) throw malformed('status code is no integer')
  const message = stringIn(status.message)
  let retryDelayMs: number | undefined
  for (const item of Array.isArray(status.details) ? status.details : []) {
    const detail = objectIn(item)
    if (isRetryInfo(stringIn(detail['@type']))) retryDelayMs = durationTextMs(stringIn(detail.retryDelay))
  }
  return retryDelayMs === undefined ? { code, message } : { code, message, retryDelayMs }
}

function durationTextMs(text: string): number | undefined {
  const match = /^(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)s$/.exec(text)
  return match === null ? undefined : clampedMs(Number(match[1]) * 1000)
}

/** Checked by our own lexer first: it bounds the depth, and its errors quote nothing. */
function parseObject(body: Uint8Array): Record<string, unknown> {
  const lexer = new JsonLexer(body)
  lexer.skipOn(Number.POSITIVE_INFINITY)
  lexer.expectEnd()
  return objectIn(JSON.parse(decoder.decode(body)))
}

/** What is absent or null is an object without fields. */
function objectIn(value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw malformed('json is no object')
  return value as Record<string, unknown> // any object that JSON.parse makes
}

function stringIn(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value !== 'string') throw malformed('json is no string')
  return value
}
