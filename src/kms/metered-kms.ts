// A key service whose calls are bounded in time and counted, and whose failures are logged, once each, where they happen.
import type { Clock } from '../base/clock.ts'
import type { Logger, Registry } from '../base/telemetry.ts'
import type { KmsContext } from '../formats/key-context.ts'
import { boundedCall } from './bounded-call.ts'
import { BreakerOpenError } from './breaker.ts'
import { CallHistory, type CallKind } from './call-history.ts'
import { type KmsCallMetrics, kmsCallMetrics } from './call-metrics.ts'
import {
  asKmsError,
  type GeneratedDataKey,
  type Kms,
  type KmsClass,
  type KmsDescription,
  KmsError,
  type WrappedKey,
} from './kms.ts'

export interface MeteredKmsSettings {
  readonly kms: Kms
  /** Where calls are counted. */
  readonly registry: Registry
  readonly log: Logger
  readonly clock: Clock
  /** A call that has not settled by then has failed, whatever the provider does. */
  readonly requestMsMax: number
  /** What is untrusted is asked about: a refusal of it is an answer, and no failure of the service or of ours. */
  readonly isUntrusted?: boolean
}

/** What one answer alone does not settle. */
const UNCONFIRMED: ReadonlySet<KmsClass> = new Set(['invalid_ciphertext', 'bad_request'])

export class MeteredKms implements Kms {
  readonly #kms: Kms
  readonly #parts: MeteredKmsSettings
  readonly #metrics: KmsCallMetrics
  readonly history = new CallHistory()
  readonly sign?: NonNullable<Kms['sign']>
  readonly publicKey?: NonNullable<Kms['publicKey']>

  constructor(parts: MeteredKmsSettings) {
    this.#kms = parts.kms
    this.#parts = parts
    this.#metrics = kmsCallMetrics(parts.registry)
    const { kms } = parts
    if (kms.sign) {
      const sign = kms.sign.bind(kms)
      this.sign = (message, keyId, abort) =>
        this.#call('sign', undefined, abort, (abort) => sign(message, keyId, abort))
    }
    if (kms.publicKey) {
      const publicKey = kms.publicKey.bind(kms)
      this.publicKey = (keyId, abort) =>
        this.#call('get_public_key', undefined, abort, (abort) => publicKey(keyId, abort))
    }
  }

  get provider(): string {
    return this.#kms.provider
  }

  get masterKeyId(): string {
    return this.#kms.masterKeyId
  }

  masterKeyOf(tenantId: string): string {
    return this.#kms.masterKeyOf?.(tenantId) ?? this.masterKeyId
  }

  canonicalKeyId(masterKeyId: string): string {
    return this.#kms.canonicalKeyId?.(masterKeyId) ?? masterKeyId
  }

  generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    return this.#call('generate_data_key', context, abort, (abort) =>
      this.#kms.generateDataKey(context, abort),
    )
  }

  wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    return this.#call('encrypt', context, abort, (abort) => this.#kms.wrap(plaintext, context, abort))
  }

  unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call('decrypt', context, abort, (abort) =>
      this.#kms.unwrap(wrapped, masterKeyId, context, abort),
    )
  }

  /** Rejects `key_disabled` also where the service describes such a key without complaint. */
  describe(abort: AbortSignal): Promise<KmsDescription> {
    return this.#call('describe_key', undefined, abort, async (abort) => {
      const description = await this.#kms.describe(abort)
      if (!description.enabled)
        throw new KmsError('key_disabled', 'describe_key', 'the master key is disabled')
      return description
    })
  }

  close(): Promise<void> {
    return this.#kms.close()
  }

  async #call<T>(
    operation: string,
    context: KmsContext | undefined,
    abort: AbortSignal,
    call: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { requestMsMax, clock } = this.#parts
    try {
      const result = await boundedCall(operation, requestMsMax, abort, (abort) =>
        this.#confirmed(operation, () => call(abort)),
      )
      this.#metrics.request(operation)
      this.history.succeeded(this.#kindOf(operation, context), clock.monotonicMs())
      return result
    } catch (thrown) {
      // An open breaker's rejection is no call: the service was not asked, and what it said last stands.
      if (thrown instanceof BreakerOpenError) throw thrown
      this.#metrics.request(operation)
      throw this.#failed(operation, context, thrown)
    }
  }

  /**
   * An answer that finds fault with what was asked would give up a stored key for good. It can be the fault of the answer, or
   * of the way to it, so it has to come twice. Where the same call then succeeds, there was no failure.
   */
  async #confirmed<T>(operation: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (thrown) {
      if (!(thrown instanceof KmsError) || !UNCONFIRMED.has(thrown.kmsClass)) throw thrown
      const { log, isUntrusted } = this.#parts
      this.#metrics.request(operation)
      const facts = { operation, error: thrown.kmsClass, answer: thrown.providerMessage }
      if (!isUntrusted) log.warn(facts, 'The key service found fault with a call, which is made once more')
      return await call()
    }
  }

  #kindOf(operation: string, context: KmsContext | undefined): CallKind {
    const isOfOne = context !== undefined && this.masterKeyOf(context.tenantId) !== this.masterKeyId
    return { operation, purpose: context?.purpose, isOfOne }
  }

  #failed(operation: string, context: KmsContext | undefined, thrown: unknown): KmsError {
    const { log, clock } = this.#parts
    const error = asKmsError(thrown, operation)
    if (this.#parts.isUntrusted && !error.isRetryable) {
      log.debug({ operation, error: error.kmsClass }, error.logText)
      return error
    }
    const kind = this.#kindOf(operation, context)
    this.history.failed({ ...kind, tenant: context?.tenantId, error, atMs: clock.nowMs() })
    this.#metrics.error(operation, error.kmsClass)
    log.error({ operation, error: error.kmsClass, runbook: error.runbook }, error.logText)
    return error
  }
}
