// A key service whose calls are counted and whose failures are logged, once each, where they happen.
import type { Clock } from '../clock.ts'
import type { Logger } from '../telemetry.ts'
import type { KmsContext } from './context.ts'
import {
  asKmsError,
  type GeneratedDataKey,
  type Kms,
  type KmsDescription,
  type KmsError,
  type WrappedKey,
} from './kms.ts'
import type { KeysMetrics } from './metrics.ts'

export class MeteredKms implements Kms {
  readonly #kms: Kms
  readonly #metrics: Pick<KeysMetrics, 'request' | 'error'>
  readonly #log: Logger
  readonly #clock: Clock
  /** The last failure, until a call succeeds. */
  lastFailure: { readonly error: KmsError; readonly atMs: number } | undefined

  constructor(kms: Kms, metrics: Pick<KeysMetrics, 'request' | 'error'>, log: Logger, clock: Clock) {
    this.#kms = kms
    this.#metrics = metrics
    this.#log = log
    this.#clock = clock
  }

  get provider(): string {
    return this.#kms.provider
  }

  get masterKeyId(): string {
    return this.#kms.masterKeyId
  }

  generateDataKey(context: KmsContext, signal: AbortSignal): Promise<GeneratedDataKey> {
    return this.#call('generate_data_key', () => this.#kms.generateDataKey(context, signal))
  }

  wrap(plaintext: Uint8Array, context: KmsContext, signal: AbortSignal): Promise<WrappedKey> {
    return this.#call('encrypt', () => this.#kms.wrap(plaintext, context, signal))
  }

  unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call('decrypt', () => this.#kms.unwrap(wrapped, masterKeyId, context, signal))
  }

  describe(signal: AbortSignal): Promise<KmsDescription> {
    return this.#call('describe_key', () => this.#kms.describe(signal))
  }

  close(): Promise<void> {
    return this.#kms.close()
  }

  async #call<T>(operation: string, call: () => Promise<T>): Promise<T> {
    this.#metrics.request(operation)
    try {
      const result = await call()
      this.lastFailure = undefined
      return result
    } catch (thrown) {
      const error = asKmsError(thrown, operation)
      this.lastFailure = { error, atMs: this.#clock.nowMs() }
      this.#metrics.error(operation, error.kmsClass)
      this.#log.error({ operation, error: error.kmsClass, runbook: error.runbook }, error.logText)
      throw error
    }
  }
}
