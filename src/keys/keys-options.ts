import type { Clock } from '../base/clock.ts'
import { DATA_KEY_BYTES_MAX, DATA_KEY_USES_MAX } from '../base/limits.ts'
import type { Logger, Registry } from '../base/telemetry.ts'
import type { Kms } from '../kms/kms.ts'
import type { GivenPseudonymKeys } from './data/pseudonym-file.ts'
import type { RunningKeyStore } from './operations/key-operations.ts'

export interface KeysOptions {
  readonly privateKeyTtlMs: number
  readonly publicKeyTtlMs: number
  readonly encryptionKeyTtlMs: number
  /** Tenants per kind of key. */
  readonly sizeMax: number
  readonly staleGraceMs: number
  /** One call to the key service. */
  readonly requestMsMax: number
  /** A load, which may be several calls, that takes longer has failed. */
  readonly loadMsMax: number
  /** A tenant whose loads fail waits no longer than this before the next; best no longer than a breaker stays open. */
  readonly failureMsMax: number
  readonly dataKeyUsesMax: number
  readonly dataKeyBytesMax: number
  /** The classes that the policy may seal, each `[A-Za-z0-9_-]{1,64}`; announced with every data key. */
  readonly dataClasses: readonly string[]
  /** Mix a secret that never travels into every data key. */
  readonly tenantSecret: boolean
  /** Bind sealed values to the ids of the span or log record around them. */
  readonly idsBound: boolean
  /** Fill short plaintexts up to size classes before they are sealed. */
  readonly padded: boolean
  /** Pseudonym keys that this and other sidecars were given, see `parsePseudonymKeys`. */
  readonly pseudonymKeys: GivenPseudonymKeys | undefined
  /** Announced data keys in the key store; the oldest make room. */
  readonly announcementsMax: number
  /** A signing key older than this needs rotation. */
  readonly signingKeyAgeMsMax: number
}

const MINUTE_MS = 60_000

export const KEYS_DEFAULTS: Omit<KeysOptions, 'dataClasses'> = {
  privateKeyTtlMs: 60 * MINUTE_MS,
  publicKeyTtlMs: 24 * 60 * MINUTE_MS,
  encryptionKeyTtlMs: 60 * MINUTE_MS,
  sizeMax: 1_000,
  staleGraceMs: 15 * MINUTE_MS,
  requestMsMax: 5_000,
  loadMsMax: 15_000,
  failureMsMax: 5_000,
  dataKeyUsesMax: DATA_KEY_USES_MAX,
  dataKeyBytesMax: DATA_KEY_BYTES_MAX,
  tenantSecret: false,
  idsBound: true,
  padded: false,
  pseudonymKeys: undefined,
  announcementsMax: 200_000,
  signingKeyAgeMsMax: 90 * 24 * 60 * MINUTE_MS,
}

export interface KeysSettings {
  readonly kms: Kms
  readonly store: RunningKeyStore
  readonly clock: Clock
  readonly log: Logger
  readonly registry: Registry
  /** The key service that still opens the stored keys, for rewrapping; absent: the configured one does. */
  readonly openFormerKms?: () => Promise<Kms | undefined>
  /** For jitter only; `Math.random` when absent. */
  readonly random?: () => number
}
