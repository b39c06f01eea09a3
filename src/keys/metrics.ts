// Names are the runbooks' (kms_…). Hits are counted per request and tenant, never per value; no label has a tenant in it.
import type { Clock } from '../base/clock.ts'
import { Counter, Gauge, Histogram, type Registry } from '../base/telemetry.ts'
import type { EvictionCause } from './cache.ts'

export type KeyType = 'signing' | 'public' | 'encryption' | 'pseudonym'

export const KEY_TYPES: readonly KeyType[] = ['signing', 'public', 'encryption', 'pseudonym']

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The counters of one kind of key. */
export class KeyTypeMetrics {
  hits = 0
  misses = 0
  /** For want of room only. */
  evictions = 0
  readonly #hit: Counter.Internal
  readonly #miss: Counter.Internal
  readonly #retrieved: Counter
  readonly #seconds: Histogram
  readonly #evictions: Counter
  readonly #type: KeyType

  constructor(type: KeyType, shared: SharedMetrics, registry: Registry) {
    this.#type = type
    shared.hits.inc({ key_type: type }, 0) // there from the start, so that ratios and rates have a beginning
    shared.misses.inc({ key_type: type }, 0)
    this.#hit = shared.hits.labels(type)
    this.#miss = shared.misses.labels(type)
    this.#evictions = shared.evictions
    this.#retrieved = new Counter({
      name: `kms_retrieve_${type}_key_total`,
      help: `Requests for the ${type} key of a tenant, from the cache or not`,
      registers: [registry],
    })
    this.#seconds = new Histogram({
      name: `kms_retrieve_${type}_key_seconds`,
      help: `Time a request waited for the ${type} key of a tenant that was not in the cache, over all its attempts, whether it got the key or not`,
      buckets: BUCKETS_SECONDS,
      registers: [registry],
    })
  }

  hit(): void {
    this.hits++
    this.#hit.inc()
    this.#retrieved.inc()
  }

  /**
   * A request has to wait for a key, whether it starts the load or joins it: one miss, however often it tries, and one time of
   * waiting when the answer is called.
   */
  startWait(clock: Clock): () => void {
    const startMs = clock.monotonicMs()
    this.misses++
    this.#miss.inc()
    this.#retrieved.inc()
    return () => this.#seconds.observe((clock.monotonicMs() - startMs) / 1_000)
  }

  evicted(cause: EvictionCause): void {
    if (cause === 'capacity') this.evictions++
    this.#evictions.inc({ key_type: this.#type, cause })
  }

  /** NaN-free: 1 before anything was asked. */
  get hitRatio(): number {
    const all = this.hits + this.misses
    return all === 0 ? 1 : this.hits / all
  }
}

interface SharedMetrics {
  readonly hits: Counter<'key_type'>
  readonly misses: Counter<'key_type'>
  readonly evictions: Counter<'key_type' | 'cause'>
}

export interface KeysMetrics {
  readonly byType: Readonly<Record<KeyType, KeyTypeMetrics>>
}

/** Registers everything; `sizeOf` answers for the cache size gauge when it is scraped. */
export function createKeysMetrics(registry: Registry, sizeOf: (type: KeyType) => number): KeysMetrics {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name, help, labelNames: [...labelNames], registers: [registry] })
  const shared: SharedMetrics = {
    hits: counter('kms_cache_hit_total', 'Keys that were in the cache', ['key_type']),
    misses: counter(
      'kms_cache_miss_total',
      'Keys that requests had to wait for, each request once for each key and tenant',
      ['key_type'],
    ),
    evictions: counter('kms_cache_evictions_total', 'Keys that left the cache unreplaced', [
      'key_type',
      'cause',
    ]),
  }
  new Gauge({
    name: 'kms_cache_size',
    help: 'Keys in the cache',
    labelNames: ['key_type'],
    registers: [registry],
    collect() {
      for (const type of KEY_TYPES) this.set({ key_type: type }, sizeOf(type))
    },
  })
  const ofType = (type: KeyType): KeyTypeMetrics => new KeyTypeMetrics(type, shared, registry)
  return {
    byType: {
      signing: ofType('signing'),
      public: ofType('public'),
      encryption: ofType('encryption'),
      pseudonym: ofType('pseudonym'),
    },
  }
}
