// Public records of signing keys. They come from the key store, synchronously and without the key service; the cache
// saves the decoding.
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../base/clock.ts'
import type { PublicKeyRecord } from '../../formats/endorsement.ts'
import type { EvictionCause } from '../cache.ts'
import type { KeyTypeMetrics } from '../metrics.ts'
import type { KeyRecordError } from '../records/key-record.ts'
import type { KeyStore } from '../records/keystore.ts'
import { storedKeys } from '../records/stored-key.ts'
import { publicKeyRecord } from './signing-keys.ts'

export interface PublicKeysOptions {
  readonly store: KeyStore
  readonly clock: Clock
  readonly sizeMax: number
  readonly ttlMs: number
  readonly metrics: KeyTypeMetrics
  readonly onCorrupt: (error: KeyRecordError) => void
}

interface Entry {
  readonly records: readonly PublicKeyRecord[]
  readonly expiresAtMs: number
}

export class PublicKeys {
  readonly #options: PublicKeysOptions
  readonly #entries: LRUCache<string, Entry>
  #leaving: EvictionCause = 'flushed'

  constructor(options: PublicKeysOptions) {
    this.#options = options
    this.#entries = new LRUCache({
      max: options.sizeMax,
      dispose: (_entry, _tenant, reason) => {
        if (reason === 'evict') options.metrics.evicted('capacity')
        else if (reason === 'delete') options.metrics.evicted(this.#leaving)
      },
    })
  }

  get size(): number {
    return this.#entries.size
  }

  get(tenant: string): readonly PublicKeyRecord[] {
    const { store, clock, ttlMs, metrics, onCorrupt } = this.#options
    const known = this.#entries.get(tenant)
    const startMs = clock.monotonicMs()
    if (known !== undefined && startMs < known.expiresAtMs) {
      metrics.hit()
      return known.records
    }
    const endWait = metrics.startWait(clock)
    const { records, corrupt } = storedKeys(store, 'signing', tenant)
    for (const error of corrupt) onCorrupt(error)
    const found = records.map(publicKeyRecord)
    endWait()
    // A tenant without keys is not kept: it may get its first one at any moment.
    if (found.length > 0) this.#entries.set(tenant, { records: found, expiresAtMs: startMs + ttlMs })
    return found
  }

  delete(tenant: string): void {
    this.#leaving = 'flushed'
    this.#entries.delete(tenant)
  }

  clear(): void {
    for (const tenant of [...this.#entries.keys()]) this.delete(tenant)
  }

  purge(): void {
    const nowMs = this.#options.clock.monotonicMs()
    this.#leaving = 'expired'
    for (const [tenant, entry] of [...this.#entries.entries()]) {
      if (nowMs >= entry.expiresAtMs) this.#entries.delete(tenant)
    }
  }
}
