// What the admin pages show of the keys.
import type { KmsClass, KmsError } from '../kms/kms.ts'
import type { MeteredKms } from '../kms/metered-kms.ts'
import type { KeysMetrics, KeyType } from './metrics.ts'
import { type IsServing, unservedCalls } from './unserved.ts'

export interface KeyTypeStatus {
  readonly size: number
  readonly sizeMax: number
  readonly hits: number
  readonly misses: number
  readonly hitRatio: number
  /** Keys that left because the cache was full. Many of them, and a low hit ratio, mean that `kms.cache.max_size` is small. */
  readonly capacityEvictions: number
}

export interface KmsFailure {
  readonly error: KmsClass
  readonly operation: string
  readonly runbook: string
  /** Milliseconds since the epoch. */
  readonly atMs: number
}

export interface KeysStatus {
  readonly provider: string
  readonly masterKeyId: string
  readonly caches: Readonly<Record<KeyType, KeyTypeStatus>>
  /** The last failed call to the key service, until one of its kind succeeds. */
  readonly lastError: KmsFailure | undefined
  /** The last failed call got no answer, or was told to come later. A refusal is an answer. */
  readonly isUnreachable: boolean
  /** What keeps every tenant from its keys now; `undefined` where some would be served, or nothing failed. */
  readonly unserved: KmsError | undefined
  /** On the monotonic clock: when the key service last gave a key. */
  readonly lastKeyMs: number
  /** Damaged records met so far, `kind/tenant/id`, the first hundred. */
  readonly corruptRecords: readonly string[]
}

export interface StatusSettings {
  readonly kms: MeteredKms
  readonly metrics: KeysMetrics
  readonly sizeOf: (type: KeyType) => number
  readonly sizeMax: number
  readonly isServing: IsServing
  readonly corruptRecords: readonly string[]
}

export function keysStatus(parts: StatusSettings): KeysStatus {
  const { kms, metrics, sizeOf, sizeMax, isServing, corruptRecords } = parts
  const ofType = (type: KeyType): KeyTypeStatus => {
    const { hits, misses, hitRatio, evictions } = metrics.byType[type]
    return { size: sizeOf(type), sizeMax, hits, misses, hitRatio, capacityEvictions: evictions }
  }
  const failure = kms.history.last
  return {
    provider: kms.provider,
    masterKeyId: kms.masterKeyId,
    caches: {
      signing: ofType('signing'),
      public: ofType('public'),
      encryption: ofType('encryption'),
      pseudonym: ofType('pseudonym'),
    },
    lastError: failure && {
      error: failure.error.kmsClass,
      operation: failure.error.operation,
      runbook: failure.error.runbook,
      atMs: failure.atMs,
    },
    isUnreachable: failure?.error.isRetryable === true,
    unserved: unservedCalls(kms.history, isServing)[0]?.error,
    lastKeyMs: kms.history.lastKeyMs,
    corruptRecords,
  }
}
