// The one error class and the one table of codes. A code is also a metric label and decides, in one place, what a
// client hears: `receivers/status.ts` reads this table and nothing else. Messages are constant lower-case phrases;
// they never hold input bytes, attribute values or key material.

/** Numbers of google.rpc.Code that we answer with. */
export const GrpcCode = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

interface ErrorRow {
  readonly grpc: number
  readonly http: number
  /** Whether a client that sends the same bytes again may succeed. Retryable answers carry RetryInfo / Retry-After. */
  readonly retryable: boolean
}

const row = (grpc: number, http: number, retryable: boolean): ErrorRow => ({ grpc, http, retryable })

export const ERRORS = {
  MALFORMED: row(GrpcCode.INVALID_ARGUMENT, 400, false),
  TOO_DEEP: row(GrpcCode.INVALID_ARGUMENT, 400, false),
  TOO_LARGE: row(GrpcCode.RESOURCE_EXHAUSTED, 413, false),
  UNSUPPORTED_ENCODING: row(GrpcCode.UNIMPLEMENTED, 415, false),
  UNAUTHENTICATED: row(GrpcCode.UNAUTHENTICATED, 401, false),
  TENANT_DENIED: row(GrpcCode.PERMISSION_DENIED, 403, false),
  OVERLOADED: row(GrpcCode.UNAVAILABLE, 503, true),
  QUEUE_FULL: row(GrpcCode.UNAVAILABLE, 503, true),
  KEY_UNAVAILABLE: row(GrpcCode.UNAVAILABLE, 503, true),
  STORE_FAILED: row(GrpcCode.UNAVAILABLE, 503, true),
  SHUTTING_DOWN: row(GrpcCode.UNAVAILABLE, 503, true),
  DOWNSTREAM_UNAVAILABLE: row(GrpcCode.UNAVAILABLE, 503, true),
  DOWNSTREAM_REFUSED: row(GrpcCode.INTERNAL, 500, false),
  INTERNAL: row(GrpcCode.INTERNAL, 500, false),
  // The rest never reaches a telemetry client: start-up, command line, admin.
  CONFIG: row(GrpcCode.INTERNAL, 500, false),
  USAGE: row(GrpcCode.INVALID_ARGUMENT, 400, false),
  STORE_LOCKED: row(GrpcCode.INTERNAL, 500, false),
  STORE_CORRUPT: row(GrpcCode.INTERNAL, 500, false),
  KEY_RECORD_CORRUPT: row(GrpcCode.INTERNAL, 500, false),
  SEALED_VALUE: row(GrpcCode.INVALID_ARGUMENT, 400, false),
  KMS: row(GrpcCode.UNAVAILABLE, 503, true),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

export interface SidecarErrorOptions {
  readonly cause?: unknown
  /** How long the client should wait before it tries again, in milliseconds. Only read for retryable codes. */
  readonly retryAfterMs?: number
}

/** Every failure that crosses a module's border. `cause` is for logs; it never reaches the wire. */
export class SidecarError extends Error {
  readonly code: ErrorCode
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: SidecarErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SidecarError'
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }

  get isRetryable(): boolean {
    return ERRORS[this.code].retryable
  }
}

/** What is not a SidecarError is our bug: INTERNAL, with the original kept as the cause for the log. */
export function asSidecarError(thrown: unknown): SidecarError {
  return thrown instanceof SidecarError
    ? thrown
    : new SidecarError('INTERNAL', 'internal error', { cause: thrown })
}

/** A failure as fields of a log line. What we throw says its code and phrase; only what nobody expected brings a stack. */
export function loggable(thrown: unknown): Record<string, unknown> {
  return thrown instanceof SidecarError ? { code: thrown.code, reason: thrown.message } : { err: thrown }
}
