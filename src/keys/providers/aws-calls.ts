// One call to AWS KMS: which region, how patiently, for how long, and what its failure is called.
import type { KMSClient } from '@aws-sdk/client-kms'
import { KmsError } from '../kms.ts'
import { settledOrAborted } from '../settled-or-aborted.ts'
import type { AwsKey } from './aws-arn.ts'
import type { AwsClients, AwsRequestOptions } from './aws-clients.ts'
import { asAwsKmsError } from './aws-errors.ts'
import type { Attempt, AwsFailover } from './aws-failover.ts'

export interface AwsCallsParts {
  readonly clients: AwsClients
  readonly failover: AwsFailover
  readonly request: AwsRequestOptions
}

const TIMEOUT_MS_MIN = 100
const HASTY_ATTEMPTS = 2

export class AwsCalls {
  readonly #parts: AwsCallsParts

  constructor(parts: AwsCallsParts) {
    this.#parts = parts
  }

  /** The outcome of `call` with the first of `keys` whose region answers. Rejects with KmsError; ends with the signal. */
  async call<T>(
    operation: string,
    keys: readonly AwsKey[],
    signal: AbortSignal,
    call: (client: KMSClient, key: AwsKey) => Promise<T>,
  ): Promise<T> {
    const { clients, failover } = this.#parts
    checkAbort(signal, operation)
    return await failover.first(keys, signal, async (attempt) => {
      const { timeoutMs, attemptsMax } = this.#patience(attempt)
      const client = clients.of(attempt.key.region, timeoutMs, attemptsMax, operation)
      try {
        // The SDK does not look at the signal while it fetches credentials.
        return await settledOrAborted(call(client, attempt.key), signal, () => gaveUp(operation))
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
  #patience({ hasNext, count }: Attempt): { timeoutMs: number; attemptsMax: number } {
    const { timeoutMs, attemptsMax } = this.#parts.request
    if (!hasNext) return { timeoutMs, attemptsMax }
    return {
      timeoutMs: Math.max(TIMEOUT_MS_MIN, Math.floor(timeoutMs / count / HASTY_ATTEMPTS)),
      attemptsMax: Math.min(attemptsMax, HASTY_ATTEMPTS),
    }
  }
}

/** Throws when the caller has gone. */
export function checkAbort(signal: AbortSignal, operation: string): void {
  if (signal.aborted) throw gaveUp(operation)
}

/** For an answer that is well-formed and lacks something, as half an answer may. The whole one may come next time. */
export function incomplete(operation: string): KmsError {
  return new KmsError('network', operation, 'the answer lacks what was asked for')
}

function gaveUp(operation: string): KmsError {
  return new KmsError('timeout', operation, 'gave up waiting')
}
