import type { RetryOptions } from './options.ts'
import type { SendOutcome } from './sender.ts'

/** What to do about an attempt that did not succeed. */
export type RetryDecision =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'giveUp'; readonly reason: string }

export interface Attempt {
  /** The one that just ended, from 0. */
  readonly index: number
  /** Since the first attempt began, ms. */
  readonly elapsedMs: number
  /** Uniform in [0, 1). */
  readonly random: number
}

const MULTIPLIER = 1.5
const SPREAD = 0.5
/** A peer may ask for patience, not for silence until further notice, ms. */
const HINT_MS_MAX = 300_000

/**
 * Pure. A refusal is final. The peer's hint wins over the back-off and gets jitter on top only, since it must not be
 * undercut; several requests in flight would otherwise all come back at the same moment.
 */
export function decideRetry(
  outcome: Exclude<SendOutcome, { kind: 'ok' }>,
  attempt: Attempt,
  options: RetryOptions,
): RetryDecision {
  if (outcome.kind === 'refused') return { kind: 'giveUp', reason: outcome.reason }
  const ms =
    outcome.afterMs === undefined
      ? backoffMs(attempt, options)
      : Math.min(outcome.afterMs, HINT_MS_MAX) +
        Math.round(attempt.random * SPREAD * options.initialIntervalMs)
  const isTooLate = options.elapsedMsMax > 0 && attempt.elapsedMs + ms > options.elapsedMsMax
  return isTooLate ? { kind: 'giveUp', reason: 'retries_exhausted' } : { kind: 'wait', ms }
}

function backoffMs(attempt: Attempt, options: RetryOptions): number {
  const interval = Math.min(options.intervalMsMax, options.initialIntervalMs * MULTIPLIER ** attempt.index)
  return Math.round(interval * (1 - SPREAD + 2 * SPREAD * attempt.random))
}
