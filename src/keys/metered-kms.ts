// A key service whose calls are bounded in time and counted, and whose failures are logged, once each, where they happen.
import type { Clock } from '../clock.ts'
import type { Logger } from '../telemetry.ts'
import type { KmsContext } from './context.ts'
import {
  asKmsError,
  type GeneratedDataKey,
  type Kms,
  type KmsDescription,
  KmsError,
  type WrappedKey,
} from './kms.ts'
import type { KeysMetrics } from './metrics.ts'
import { settledOrAborted } from './settled-or-aborted.ts'

export interface MeteredKmsParts {
  readonly kms: Kms
  readonly metrics: Pick<KeysMetrics, 'request' | 'error'>
  readonly log: Logger
  readonly clock: Clock
  /** A call that has not settled by then has failed, whatever the provider does. */
  readonly requestMsMax: number
}

export class MeteredKms implements Kms {
  readonly #kms: Kms
  readonly #parts: MeteredKmsParts
  /** The last failure, until a call succeeds. */
  lastFailure: { readonly error: KmsError; readonly atMs: number } | undefined

  constructor(parts: MeteredKmsParts) {
    this.#kms = parts.kms
    this.#parts = parts
  }

  get provider(): string {
    return this.#kms.provider
  }

  get masterKeyId(): string {
    return this.#kms.masterKeyId
  }

  generateDataKey(context: KmsContext, signal: AbortSignal): Promise<GeneratedDataKey> {
    return this.#call('generate_data_key', signal, (signal) => this.#kms.generateDataKey(context, signal))
  }

  wrap(plaintext: Uint8Array, context: KmsContext, signal: AbortSignal): Promise<WrappedKey> {
    return this.#call('encrypt', signal, (signal) => this.#kms.wrap(plaintext, context, signal))
  }

  unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call('decrypt', signal, (signal) => this.#kms.unwrap(wrapped, masterKeyId, context, signal))
  }

  describe(signal: AbortSignal): Promise<KmsDescription> {
    return this.#call('describe_key', signal, (signal) => this.#kms.describe(signal))
  }

  close(): Promise<void> {
    return this.#kms.close()
  }

  async #call<T>(
    operation: string,
    signal: AbortSignal,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { metrics, log, clock } = this.#parts
    metrics.request(operation)
    try {
      const result = await this.#bounded(operation, signal, call)
      this.lastFailure = undefined
      return result
    } catch (thrown) {
      const error = asKmsError(thrown, operation)
      this.lastFailure = { error, atMs: clock.nowMs() }
      metrics.error(operation, error.kmsClass)
      log.error({ operation, error: error.kmsClass, runbook: error.runbook }, error.logText)
      throw error
    }
  }

  async #bounded<T>(
    operation: string,
    signal: AbortSignal,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { requestMsMax } = this.#parts
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), requestMsMax)
    const either = AbortSignal.any([signal, overdue.signal])
    try {
      return await settledOrAborted(call(either), either, () => {
        const message = overdue.signal.aborted ? `No response after ${requestMsMax}ms` : 'gave up waiting'
        return new KmsError('timeout', operation, message)
      })
    } finally {
      clearTimeout(timer)
    }
  }
}
