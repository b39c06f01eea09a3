// A call to a key service, tried again where that can help. Every call that goes through here may be made twice: each
// makes a new ciphertext or reads.

import { settledOrAborted } from '../base/abort.ts'
import { KmsError } from './kms.ts'

export interface CallLimits {
  /** Until the connection stands, TLS included. */
  readonly connectTimeoutMs: number
  /** One attempt, from its start to the last byte of the answer. */
  readonly timeoutMs: number
  readonly attemptsMax: number
}

export interface AttemptParts {
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
  parts: AttemptParts,
  operation: string,
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let count = 1; ; count++) {
    if (signal.aborted) throw gaveUp(operation)
    try {
      return await boundedAttempt(parts, operation, signal, attempt)
    } catch (thrown) {
      if (!(thrown instanceof KmsError)) throw thrown
      const waitMs = waitMsAfter(thrown, count, parts)
      if (waitMs === undefined || signal.aborted) throw thrown
      await pause(waitMs, signal)
      if (signal.aborted) throw thrown
    }
  }
}

async function boundedAttempt<T>(
  { limits, errorOf }: AttemptParts,
  operation: string,
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const overdue = new AbortController()
  const timer = setTimeout(() => overdue.abort(), limits.timeoutMs)
  const either = AbortSignal.any([signal, overdue.signal])
  const late = (): KmsError =>
    signal.aborted
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

function waitMsAfter(error: KmsError, count: number, { limits, random }: AttemptParts): number | undefined {
  if (!error.isRetryable || count >= limits.attemptsMax) return undefined
  const askedMs = error.retryAfterMs ?? 0
  if (askedMs > RETRY_AFTER_MS_MAX) return undefined
  const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** (count - 1))
  return Math.max(askedMs, backoffMs * (0.5 + random() / 2))
}

/** Resolves early when the caller gives up. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
