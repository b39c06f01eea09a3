// What the admin pages show of the keys.
import type { KmsClass } from './kms.ts'
import type { KeyType } from './metrics.ts'

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
  /** The last failed call to the key service, until one succeeds. */
  readonly lastError: KmsFailure | undefined
  /** Damaged records met so far, `kind/tenant/id`, the first hundred. */
  readonly corruptRecords: readonly string[]
}
