// The only place where one of our errors becomes what a telemetry client hears. The numbers stand in the table of
// `errors.ts`; here they get their retry hint. Which hint makes whom retry: Go over gRPC retries UNAVAILABLE always,
// RESOURCE_EXHAUSTED only with RetryInfo; JS over gRPC retries nothing; all retry HTTP 503 and honour Retry-After.
import { asSidecarError, ERRORS, type ErrorCode, type SidecarError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'

/** What a retryable refusal says when nobody measured a better delay, ms. */
const RETRY_AFTER_MS_DEFAULT = 1_000
/** A longer hint makes exporters drop what they hold: their queues turn over in about this time, ms. */
const RETRY_AFTER_MS_MAX = 30_000

/** A refusal as both transports say it. */
export interface Refusal {
  /** The metric label. */
  readonly code: ErrorCode
  /** Constant text; never input, values or causes. */
  readonly message: string
  readonly grpcCode: number
  readonly httpStatus: number
  /** For RetryInfo and Retry-After; `undefined` when the same bytes can never succeed. */
  readonly retryAfterMs: number | undefined
}

/**
 * Maps anything thrown to an answer. What is not a SidecarError is our bug and becomes INTERNAL; its message stays
 * with us.
 */
export function refusalOf(thrown: unknown): Refusal {
  const error = asSidecarError(thrown)
  const row = ERRORS[error.code]
  return {
    code: error.code,
    message: error.code === 'INTERNAL' ? 'internal error' : error.message,
    grpcCode: row.grpc,
    httpStatus: row.http,
    retryAfterMs: row.retryable ? retryAfterMsOf(error) : undefined,
  }
}

/** Logs what is our bug, and nothing else: by name and place only, since V8 quotes input in its messages. */
export function logBug(thrown: unknown, log: Logger): void {
  const error = asSidecarError(thrown)
  if (error.code !== 'INTERNAL') return
  const origin = error.cause instanceof Error ? error.cause : error
  const frames = origin.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  log.error({ name: origin.name, at: frames.map((line) => line.trim()) }, 'request failed')
}

function retryAfterMsOf(error: SidecarError): number {
  const wanted = error.retryAfterMs ?? RETRY_AFTER_MS_DEFAULT
  if (!Number.isFinite(wanted)) return RETRY_AFTER_MS_MAX
  return Math.min(RETRY_AFTER_MS_MAX, Math.max(1, Math.ceil(wanted)))
}

/** Retry-After in whole seconds, rounded up: a zero would ask for a retry at once. */
export function retryAfterSeconds(retryAfterMs: number): number {
  return Math.max(1, Math.ceil(retryAfterMs / 1_000))
}
