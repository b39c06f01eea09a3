// Keys of one kind, per tenant. lru-cache holds the entries and their bound; their ages are kept here, because its own ttl
// deletes an expired entry when it is looked at, and that entry is what serves while the key service is down.
//
//   loaded ──────────── refreshAt ───── expires ───────── staleUntil
//   served              served, and     served only while  never served
//                       loaded anew     loading fails, or
//                                       hangs
//
// A load that has not answered for a moment counts as failing for that question: while a service hangs, whoever asks would
// else wait as long as it does, though what would serve after the failure is at hand.
//
// Evicting drops references and never wipes: values hold KeyObjects, whose bytes are not in our memory, and whoever still
// seals with an evicted key must not find it zeroed. See docs/decisions/key-zeroing.md.
import { LRUCache } from 'lru-cache'
import { settledOrAborted } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { TENANTS_MAX } from '../base/limits.ts'
import { BreakerOpenError } from '../kms/breaker.ts'
import { KmsError } from '../kms/kms.ts'

export interface KeyCacheOptions<V> {
  readonly sizeMax: number
  readonly ttlMs: number
  /** How long after its expiry an entry still serves while loading fails. */
  readonly staleGraceMs: number
  /** A load that has not settled by then has failed, whatever the provider does. */
  readonly loadMsMax: number
  /** A tenant whose loads fail waits no longer than this before the next. */
  readonly failureMsMax: number
  /** Rejects with a SidecarError. Its signal aborts after `loadMsMax`, never because one caller gave up. */
  readonly load: (tenant: string, abort: AbortSignal) => Promise<V>
  /** Whether a value must not serve again, whatever its age. */
  readonly isSpent?: (value: V) => boolean
  /** Whether its successor should be loaded already. */
  readonly isNearlySpent?: (value: V) => boolean
  /** Told of each entry that leaves other than by being replaced. */
  readonly onEvict?: (cause: EvictionCause) => void
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

export type EvictionCause = 'capacity' | 'expired' | 'flushed'

interface Entry<V> {
  readonly value: V
  readonly refreshAtMs: number
  readonly expiresAtMs: number
  readonly staleUntilMs: number
  /**
   * How loading its successor failed so far. "Disabled" and "denied" are answers, not outages: a key withdrawn on purpose is
   * gone when its time is up, and an outage after that must not bring it back. Only a successor ends `refused`.
   */
  failed: 'not' | 'unreachable' | 'refused'
}

interface Flight<V> {
  /** The loaded value; or the old one, once the load has failed and that still serves. */
  readonly loaded: Promise<V>
  /** The same, or sooner an old value that serves since the load takes too long. */
  readonly answer: Promise<V>
}

interface Failure {
  readonly error: SidecarError
  readonly retryAtMs: number
  readonly count: number
}

const FAILURE_MS_MIN = 500
/** Twice the slowest load that alarms nobody: who holds a key in its grace waits no longer for the next. */
const STALE_PATIENCE_MS = 200
/** Asking an open breaker costs no call, and an operator may close it at any moment. */
const TURNED_AWAY_MS_MAX = 250
const REFRESH_SHARE_MIN = 0.75
const REFRESH_SHARE_JITTER = 0.15

export class KeyCache<V> {
  readonly #options: KeyCacheOptions<V>
  readonly #entries: LRUCache<string, Entry<V>>
  readonly #flights = new Map<string, Flight<V>>()
  /** More than there are entries: a failure that were forgotten for want of room would be asked for again at once. */
  readonly #failures: LRUCache<string, Failure>
  /** Why the entry that is being deleted leaves; lru-cache only says that it does. */
  #leaving: EvictionCause = 'flushed'

  constructor(options: KeyCacheOptions<V>) {
    this.#options = options
    this.#failures = new LRUCache({ max: Math.max(options.sizeMax, TENANTS_MAX) })
    this.#entries = new LRUCache({
      max: options.sizeMax,
      dispose: (_entry, _tenant, reason) => {
        if (reason === 'evict') options.onEvict?.('capacity')
        else if (reason === 'delete') options.onEvict?.(this.#leaving)
      },
    })
  }

  get size(): number {
    return this.#entries.size
  }

  /** The value at hand, or `undefined`. Never waits; starts loading the successor of a value that gets old. */
  get(tenant: string): V | undefined {
    const entry = this.#entries.get(tenant)
    if (entry === undefined) return undefined
    if (this.#options.clock.monotonicMs() < entry.refreshAtMs && !this.#isNearlySpent(entry))
      return entry.value
    return this.#getOld(tenant, entry)
  }

  /**
   * The value, loaded if need be; all who ask for a tenant at once share one load. Rejects with the load's error, or with
   * KEY_UNAVAILABLE when this caller's own signal aborts; the others go on waiting.
   */
  async load(tenant: string, abort: AbortSignal): Promise<V> {
    const atHand = this.get(tenant)
    if (atHand !== undefined) return atHand
    const flight = this.#flights.get(tenant)
    if (flight !== undefined) return settledOrAborted(flight.answer, abort, gaveUp)
    const failure = this.#failures.get(tenant)
    if (failure !== undefined && this.#options.clock.monotonicMs() < failure.retryAtMs) throw failure.error
    return settledOrAborted(this.#start(tenant).answer, abort, gaveUp)
  }

  /** Whether an entry stands, young or old. Does not count as a use. */
  has(tenant: string): boolean {
    return this.#entries.has(tenant)
  }

  /**
   * Loads the successor of whatever is there, which serves until it stands; a load under way is joined. Rejects when that
   * failed, also where the old value goes on serving.
   */
  async renew(tenant: string, abort: AbortSignal): Promise<V> {
    const before = this.#entries.peek(tenant)?.value
    const { loaded } = this.#flights.get(tenant) ?? this.#start(tenant)
    const value = await settledOrAborted(loaded, abort, gaveUp)
    if (value === before) throw this.#failures.get(tenant)?.error ?? gaveUp()
    return value
  }

  /** A value from elsewhere takes the entry's place. A load under way still answers its callers, and is not kept. */
  replace(tenant: string, value: V): void {
    this.#failures.delete(tenant)
    this.#flights.delete(tenant)
    this.#keep(tenant, value)
  }

  /** Forgets a tenant. A load under way still answers its callers, but its value is not kept. */
  delete(tenant: string): void {
    this.#leaving = 'flushed'
    this.#entries.delete(tenant)
    this.#failures.delete(tenant)
    this.#flights.delete(tenant)
  }

  /** Whose entries stand, young or old. */
  tenants(): string[] {
    return [...this.#entries.keys()]
  }

  /** Whether somebody would be served now, were the next load to fail: for want of an answer (`isOutage`), or by a refusal. */
  isServing(isOutage: boolean): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    for (const entry of this.#entries.values()) {
      if (this.#servesInOutage(entry, nowMs)) return true
      const isInGrace = isOutage && entry.failed === 'not' && nowMs < entry.staleUntilMs
      if (isInGrace && this.#options.isSpent?.(entry.value) !== true) return true
    }
    return false
  }

  /** The values at hand, in no order, without counting as uses. */
  values(): Iterable<V> {
    return [...this.#entries.values()].map(({ value }) => value)
  }

  clear(): void {
    for (const tenant of [...this.#entries.keys(), ...this.#flights.keys()]) this.delete(tenant)
    this.#failures.clear()
  }

  /** Drops what may never serve again, so that keys of tenants who went away do not linger. */
  purge(): void {
    const nowMs = this.#options.clock.monotonicMs()
    for (const [tenant, entry] of [...this.#entries.entries()]) {
      if (nowMs >= entry.staleUntilMs) this.#drop(tenant)
    }
  }

  #isNearlySpent(entry: Entry<V>): boolean {
    return this.#options.isNearlySpent?.(entry.value) === true
  }

  #getOld(tenant: string, entry: Entry<V>): V | undefined {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs >= entry.staleUntilMs) {
      this.#drop(tenant)
      return undefined
    }
    if (!this.#servesInOutage(entry, nowMs)) return undefined
    const failure = this.#failures.get(tenant)
    if (!this.#flights.has(tenant) && (failure === undefined || nowMs >= failure.retryAtMs)) {
      this.#start(tenant)
    }
    return entry.value
  }

  #drop(tenant: string): void {
    this.#leaving = 'expired'
    this.#entries.delete(tenant)
  }

  #start(tenant: string): Flight<V> {
    const late = Promise.withResolvers<V>()
    const timer = setTimeout(() => this.#serveStale(tenant, flight, late.resolve), STALE_PATIENCE_MS)
    const loaded: Promise<V> = this.#loadOnce(tenant)
      .finally(() => clearTimeout(timer))
      .then(
        (value) => this.#landed(tenant, flight, value),
        (thrown: unknown) => this.#failed(tenant, flight, asSidecarError(thrown)),
      )
    const flight: Flight<V> = { loaded, answer: Promise.race([loaded, late.promise]) }
    // A failure is recorded where it happens; nobody need wait for either.
    loaded.catch(() => {})
    flight.answer.catch(() => {})
    this.#flights.set(tenant, flight)
    return flight
  }

  /** The load hangs: what may serve in an outage serves from now on, also to who waits already. */
  #serveStale(tenant: string, flight: Flight<V>, answer: (value: V) => void): void {
    const entry = this.#entries.peek(tenant)
    if (this.#flights.get(tenant) !== flight || entry === undefined) return
    if (entry.failed === 'not') entry.failed = 'unreachable'
    const nowMs = this.#options.clock.monotonicMs()
    if (this.#servesInOutage(entry, nowMs)) answer(entry.value)
  }

  /** Whether an entry goes on serving though its successor does not come. */
  #servesInOutage(entry: Entry<V>, nowMs: number): boolean {
    if (nowMs >= entry.staleUntilMs || this.#options.isSpent?.(entry.value) === true) return false
    return nowMs < entry.expiresAtMs || entry.failed === 'unreachable'
  }

  async #loadOnce(tenant: string): Promise<V> {
    const { load, loadMsMax } = this.#options
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), loadMsMax)
    try {
      return await settledOrAborted(load(tenant, overdue.signal), overdue.signal, () => {
        return new KmsError('timeout', 'load_key', `No response after ${loadMsMax}ms`)
      })
    } finally {
      clearTimeout(timer)
    }
  }

  #landed(tenant: string, flight: Flight<V>, value: V): V {
    if (this.#flights.get(tenant) !== flight) return value
    this.#flights.delete(tenant)
    this.#failures.delete(tenant)
    this.#keep(tenant, value)
    return value
  }

  #keep(tenant: string, value: V): void {
    const { clock, random, ttlMs, staleGraceMs } = this.#options
    const nowMs = clock.monotonicMs()
    this.#entries.set(tenant, {
      value,
      refreshAtMs: nowMs + ttlMs * (REFRESH_SHARE_MIN + REFRESH_SHARE_JITTER * random()),
      expiresAtMs: nowMs + ttlMs,
      staleUntilMs: nowMs + ttlMs + staleGraceMs,
      failed: 'not',
    })
  }

  #failed(tenant: string, flight: Flight<V>, error: SidecarError): V {
    if (this.#flights.get(tenant) !== flight) throw error
    this.#flights.delete(tenant)
    const nowMs = this.#options.clock.monotonicMs()
    this.#failures.set(tenant, this.#failure(error, this.#failures.get(tenant)?.count ?? 0, nowMs))
    const entry = this.#entries.peek(tenant)
    if (entry === undefined) throw error
    if (!error.isRetryable) entry.failed = 'refused'
    else if (entry.failed === 'not') entry.failed = 'unreachable'
    if (!this.#servesInOutage(entry, nowMs)) throw error
    return entry.value
  }

  #failure(error: SidecarError, countBefore: number, nowMs: number): Failure {
    if (error instanceof BreakerOpenError) {
      // Nobody was asked. Holding it against the tenant would keep it waiting after the breaker has closed.
      const pauseMs = Math.min(error.retryAfterMs ?? TURNED_AWAY_MS_MAX, TURNED_AWAY_MS_MAX)
      return { error, count: countBefore, retryAtMs: nowMs + pauseMs }
    }
    const { random, failureMsMax } = this.#options
    const pauseMs = Math.min(FAILURE_MS_MIN * 2 ** countBefore, failureMsMax) * (0.5 + 0.5 * random())
    return { error, count: countBefore + 1, retryAtMs: nowMs + pauseMs }
  }
}

function gaveUp(): SidecarError {
  return new SidecarError('KEY_UNAVAILABLE', 'gave up waiting for a key')
}
