// A call to a key service, tried again where that can help. Every call that goes through here may be made twice: each
// makes a new ciphertext or reads.

import { pause, settledOrAborted } from '../base/abort.ts'
import { KmsError } from './kms.ts'

export interface CallLimits {
  /** Until the connection stands, TLS included. */
  readonly connectTimeoutMs: number
  /** One attempt, from its start to the last byte of the answer. */
  readonly timeoutMs: number
  readonly attemptsMax: number
}

export const KMS_REQUEST_DEFAULTS: CallLimits = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }

export interface AttemptSettings {
  readonly limits: CallLimits
  /** For jitter only. */
  readonly random: () => number
  /** What the service's SDK threw, in our taxonomy. Must not keep the original, which may hold key bytes. */
  readonly errorOf: (thrown: unknown, operation: string) => KmsError
}

const BACKOFF_MS_FIRST = 100
const BACKOFF_MS_MAX = 1_000
/** A service that wants a longer pause than this gets it from the caller's breaker, not from a waiting request. */
const RETRY_AFTER_MS_MAX = 1_000

/** The outcome of the first attempt that succeeds or fails for good. Rejects with `KmsError`. */
export async function callWithAttempts<T>(
  parts: AttemptSettings,
  operation: string,
  abort: AbortSignal,
  attempt: (abort: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let count = 1; ; count++) {
    if (abort.aborted) throw gaveUp(operation)
    try {
      return await boundedAttempt(parts, operation, abort, attempt)
    } catch (thrown) {
      if (!(thrown instanceof KmsError)) throw thrown
      const waitMs = waitMsAfter(thrown, count, parts)
      if (waitMs === undefined || abort.aborted) throw thrown
      await pause(waitMs, abort)
      if (abort.aborted) throw thrown
    }
  }
}

async function boundedAttempt<T>(
  { limits, errorOf }: AttemptSettings,
  operation: string,
  abort: AbortSignal,
  attempt: (abort: AbortSignal) => Promise<T>,
): Promise<T> {
  const overdue = new AbortController()
  const timer = setTimeout(() => overdue.abort(), limits.timeoutMs)
  const either = AbortSignal.any([abort, overdue.signal])
  const late = (): KmsError =>
    abort.aborted
      ? gaveUp(operation)
      : new KmsError('timeout', operation, `No response after ${limits.timeoutMs}ms`)
  try {
    return await settledOrAborted(attempt(either), either, late)
  } catch (thrown) {
    if (thrown instanceof KmsError) throw thrown
    // An SDK whose signal aborted may say so in many ways.
    throw either.aborted ? late() : errorOf(thrown, operation)
  } finally {
    clearTimeout(timer)
  }
}

function gaveUp(operation: string): KmsError {
  return new KmsError('timeout', operation, 'gave up waiting')
}

function waitMsAfter(
  error: KmsError,
  count: number,
  { limits, random }: AttemptSettings,
): number | undefined {
  if (!error.isRetryable || count >= limits.attemptsMax) return undefined
  const askedMs = error.retryAfterMs ?? 0
  if (askedMs > RETRY_AFTER_MS_MAX) return undefined
  const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** (count - 1))
  return Math.max(askedMs, backoffMs * (0.5 + random() / 2))
}

/** Resolves early when the caller gives up. */
