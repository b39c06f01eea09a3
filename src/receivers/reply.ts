// Answers of OTLP 1.11, in protobuf and JSON: ExportServiceResponse and google.rpc.Status with RetryInfo.
import type { Signal } from '../wire/otlp.ts'

const REJECTED_NAME = {
  traces: 'rejectedSpans',
  logs: 'rejectedLogRecords',
  metrics: 'rejectedDataPoints',
} as const
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

/** An Export…ServiceResponse. `partial_success` is unset when nothing was rejected and there is nothing to say. */
export function encodeExportResponse(rejectedItems: number, message: string): Uint8Array {
  if (rejectedItems === 0 && message === '') return new Uint8Array(0)
  return field(1, [...varintField(1, rejectedItems), ...textField(2, message)])
}

export function exportResponseJson(signal: Signal, rejectedItems: number, message: string): string {
  if (rejectedItems === 0 && message === '') return '{}'
  const rejected = rejectedItems === 0 ? {} : { [REJECTED_NAME[signal]]: String(rejectedItems) }
  return JSON.stringify({
    partialSuccess: { ...rejected, ...(message === '' ? {} : { errorMessage: message }) },
  })
}

/** A google.rpc.Status; with a RetryInfo in its details when a delay is given. */
export function encodeStatus(code: number, message: string, retryAfterMs: number | undefined): Uint8Array {
  const details =
    retryAfterMs === undefined
      ? []
      : field(3, [...textField(1, RETRY_INFO), ...field(2, field(1, duration(retryAfterMs)))])
  return Uint8Array.from([...varintField(1, code), ...textField(2, message), ...details])
}

export function statusJson(code: number, message: string, retryAfterMs: number | undefined): string {
  const details = [{ '@type': RETRY_INFO, retryDelay: `${(retryAfterMs ?? 0) / 1_000}s` }]
  return JSON.stringify({ code, message, ...(retryAfterMs === undefined ? {} : { details }) })
}

function duration(ms: number): number[] {
  return [...varintField(1, Math.floor(ms / 1_000)), ...varintField(2, (ms % 1_000) * 1_000_000)]
}

function varintField(number: number, value: number): number[] {
  return value === 0 ? [] : [number << 3, ...varint(value)]
}

function textField(number: number, text: string): number[] {
  return text === '' ? [] : [...field(number, new TextEncoder().encode(text))]
}

function field(number: number, content: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([(number << 3) | 2, ...varint(content.length), ...Array.from(content)])
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  return [...bytes, rest]
}
