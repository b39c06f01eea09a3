// What a key service is to us, and the one taxonomy of its failures, the same in log, metric, health and admin answers.
import { SidecarError } from '../base/errors.ts'
import type { KmsContext } from '../formats/key-context.ts'

/**
 * A key service. Every operation carries the context; the same context must come back for unwrap. Each call may take as
 * long as the service does, so each takes an `AbortSignal`. All reject with `KmsError`.
 */
export interface Kms {
  /** `local`, `aws`, `vault`, `gcp` or `azure`; stands in announcements. */
  readonly provider: string
  /** The master key of tenants that have none of their own. */
  readonly masterKeyId: string
  /** The master key that wraps for a tenant; `masterKeyId` for all where absent. */
  masterKeyOf?(tenantId: string): string
  /** One id for one master key, whichever version or replica of it is named; each its own where absent. */
  canonicalKeyId?(masterKeyId: string): string
  /** A fresh 32-byte key, in plain and wrapped. The caller owns `plaintext` and zeroes it. */
  generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey>
  /** Wraps up to 4,096 bytes. `plaintext` stays the caller's and is not kept. */
  wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey>
  /** The bytes that were wrapped; the caller owns and zeroes them. */
  unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array>
  describe(abort: AbortSignal): Promise<KmsDescription>
  /** Signs with an asymmetric key inside the service, where the service has them. */
  sign?(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array>
  /** The public half of such a key, DER SubjectPublicKeyInfo. */
  publicKey?(keyId: string, abort: AbortSignal): Promise<Uint8Array>
  close(): Promise<void>
}

export interface GeneratedDataKey extends WrappedKey {
  readonly plaintext: Uint8Array
}

export interface WrappedKey {
  readonly wrapped: Uint8Array
  /** The master key that wrapped it, needed to unwrap. */
  readonly masterKeyId: string
}

export interface KmsDescription {
  readonly enabled: boolean
  readonly masterKeyId: string
}

/** A master key that a stored record needs. */
export interface NamedMasterKey {
  readonly tenant: string
  readonly masterKeyId: string
}

interface KmsClassRow {
  /** Whether the same call may succeed in a moment. */
  readonly retryable: boolean
  /** Whether it speaks about the service or the master key, rather than about one call. */
  readonly countsForBreaker: boolean
}

export const KMS_CLASSES = {
  access_denied: { retryable: false, countsForBreaker: true },
  key_disabled: { retryable: false, countsForBreaker: true },
  key_not_found: { retryable: false, countsForBreaker: true },
  throttled: { retryable: true, countsForBreaker: true },
  network: { retryable: true, countsForBreaker: true },
  timeout: { retryable: true, countsForBreaker: true },
  invalid_ciphertext: { retryable: false, countsForBreaker: false },
  bad_request: { retryable: false, countsForBreaker: false },
} as const satisfies Record<string, KmsClassRow>

export type KmsClass = keyof typeof KMS_CLASSES

const RUNBOOK = 'docs/runbooks/kms-provider-failure.md'

/**
 * What runbooks of earlier versions grep the log for, whichever service failed. AWS has two names for a key that is out of
 * use, and a JVM one of its own for a host name that does not resolve.
 */
const LEGACY_NAMES: Readonly<Partial<Record<KmsClass, readonly string[]>>> = {
  access_denied: ['AccessDenied'],
  key_disabled: ['DisabledException', 'KMSInvalidStateException'],
  throttled: ['ThrottlingException'],
  network: ['NetworkException'],
}
const NAME_NOT_RESOLVED = /ENOTFOUND|EAI_AGAIN/

export interface KmsErrorOptions {
  readonly cause?: unknown
  readonly retryAfterMs?: number
}

/**
 * A failed call to the key service. `kmsClass` is the metric label `error`. `providerMessage` is the service's own text,
 * for the log and never for a telemetry client; whoever makes the error keeps key bytes and plaintext out of it.
 */
export class KmsError extends SidecarError {
  readonly kmsClass: KmsClass
  readonly operation: string
  readonly providerMessage: string

  constructor(kmsClass: KmsClass, operation: string, providerMessage: string, options: KmsErrorOptions = {}) {
    super('KMS', `key service: ${kmsClass}`, options)
    this.name = 'KmsException'
    this.kmsClass = kmsClass
    this.operation = operation
    this.providerMessage = providerMessage
  }

  override get isRetryable(): boolean {
    return KMS_CLASSES[this.kmsClass].retryable
  }

  /** Where the runbook says what to do, `path#anchor`. */
  get runbook(): string {
    return `${RUNBOOK}#${this.kmsClass.replaceAll('_', '-')}`
  }

  /** The log line that runbooks grep for, also with the words of earlier versions. */
  get logText(): string {
    const { providerMessage } = this
    const said = /^No (?:response|connection)/.test(providerMessage)
      ? `Timeout: ${providerMessage}`
      : providerMessage
    const names = LEGACY_NAMES[this.kmsClass]?.filter((name) => !said.includes(name)) ?? []
    if (NAME_NOT_RESOLVED.test(said)) names.push('UnknownHostException')
    const aliases = names.length === 0 ? '' : ` [${names.join(', ')}]`
    return `KmsException ${this.kmsClass} in ${this.operation}: ${said} (see ${this.runbook})${aliases}`
  }
}

/** What a provider threw that is not a `KmsError` yet: an abort is a timeout, anything else our own mistake. */
export function asKmsError(thrown: unknown, operation: string): KmsError {
  if (thrown instanceof KmsError) return thrown
  const name = thrown instanceof Error ? thrown.name : ''
  if (name === 'AbortError' || name === 'TimeoutError') {
    return new KmsError('timeout', operation, 'No response in time', { cause: thrown })
  }
  return new KmsError('bad_request', operation, 'unexpected failure of the provider', { cause: thrown })
}
