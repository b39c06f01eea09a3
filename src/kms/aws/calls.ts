// One call to AWS KMS: which region, how patiently, for how long, and what its failure is called.
import type { KMSClient } from '@aws-sdk/client-kms'
import { settledOrAborted } from '../../base/abort.ts'
import { KmsError } from '../kms.ts'
import type { AwsKey } from './arn.ts'
import type { AwsClients, AwsRequestOptions } from './clients.ts'
import { asAwsKmsError } from './errors.ts'
import type { Attempt, AwsFailover } from './failover.ts'

export interface AwsCallsSettings {
  readonly clients: AwsClients
  readonly failover: AwsFailover
  readonly request: AwsRequestOptions
}

const TOTAL_MS_MIN = 200
const HASTY_ATTEMPTS = 2
const PAUSE_MS_MAX = 2_000

export class AwsCalls {
  readonly #parts: AwsCallsSettings

  constructor(parts: AwsCallsSettings) {
    this.#parts = parts
  }

  /** The outcome of `call` with the first of `keys` whose region answers. Rejects with KmsError; ends with the signal. */
  async call<T>(
    operation: string,
    keys: readonly AwsKey[],
    abort: AbortSignal,
    call: (client: KMSClient, key: AwsKey, abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clients, failover } = this.#parts
    checkAbort(abort, operation)
    return await failover.first(keys, abort, async (attempt) => {
      const { timeoutMs, attemptsMax, totalMs } = this.#patience(attempt)
      const client = clients.of(attempt.key.region, timeoutMs, attemptsMax, operation)
      const bounds = { abort, operation, totalMs }
      try {
        return await bounded(bounds, (either) => call(client, attempt.key, either))
      } catch (thrown) {
        throw asAwsKmsError(thrown, operation, timeoutMs)
      }
    })
  }

  close(): void {
    this.#parts.clients.close()
  }

  /** While another region waits its turn, tries are short, so that all of them fit into one request's time. There are
   *  two, since a connection that the service has closed meanwhile costs the first. */
  #patience({ hasNext, count }: Attempt): Patience {
    const { timeoutMs, attemptsMax } = this.#parts.request
    if (!hasNext) {
      // The SDK makes the pauses longer when the service throttles.
      return { timeoutMs, attemptsMax, totalMs: timeoutMs * attemptsMax + PAUSE_MS_MAX * (attemptsMax - 1) }
    }
    const totalMs = Math.max(TOTAL_MS_MIN, Math.floor(timeoutMs / count))
    const hasty = Math.min(attemptsMax, HASTY_ATTEMPTS)
    return { timeoutMs: Math.ceil(totalMs / hasty), attemptsMax: hasty, totalMs }
  }
}

interface Patience {
  /** Of one attempt. */
  readonly timeoutMs: number
  readonly attemptsMax: number
  /** Of all attempts and the pauses between them. */
  readonly totalMs: number
}

interface Bounds {
  readonly abort: AbortSignal
  readonly operation: string
  readonly totalMs: number
}

/** Ends with the caller's signal and with the time. The SDK looks at neither while it fetches credentials, and bounds the
 *  wait for an answer's next byte, but not for its last. */
async function bounded<T>(bounds: Bounds, call: (abort: AbortSignal) => Promise<T>): Promise<T> {
  const { abort, operation, totalMs } = bounds
  const overdue = new AbortController()
  const timer = setTimeout(() => overdue.abort(), totalMs)
  const either = AbortSignal.any([abort, overdue.signal])
  try {
    return await settledOrAborted(call(either), either, () =>
      abort.aborted
        ? gaveUp(operation)
        : new KmsError('timeout', operation, `No response after ${totalMs}ms`),
    )
  } finally {
    clearTimeout(timer)
  }
}

/** Throws when the caller has gone. */
export function checkAbort(abort: AbortSignal, operation: string): void {
  if (abort.aborted) throw gaveUp(operation)
}

/** For an answer that is well-formed and lacks something, as half an answer may. The whole one may come next time. */
export function incomplete(operation: string): KmsError {
  return new KmsError('network', operation, 'the answer lacks what was asked for')
}

function gaveUp(operation: string): KmsError {
  return new KmsError('timeout', operation, 'gave up waiting')
}
