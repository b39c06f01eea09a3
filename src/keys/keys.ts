// Every key that a request may need, per tenant: at once from a cache, or by waiting for the key service. The service is
// met only on a miss or ahead of one; a hit never depends on whether it is up.
import { asSidecarError, SidecarError } from '../base/errors.ts'
import type { PublicKeyRecord } from '../formats/endorsement.ts'
import type { Pseudonymizer, PseudonymKey } from '../formats/pseudonym.ts'
import type { Sealer } from '../formats/sealed-value.ts'
import type { Kms } from '../kms/kms.ts'
import { MeteredKms } from '../kms/metered-kms.ts'
import { KeyCache, type KeyCacheOptions } from './cache.ts'
import { checkedClasses, generateSealingKey, isUsed } from './data/data-keys.ts'
import { loadPseudonymKey } from './data/pseudonym-keys.ts'
import type { SealingKey } from './data/sealing-key.ts'
import type { KeysOptions, KeysSettings } from './keys-options.ts'
import { type KeysStatus, keysStatus } from './keys-status.ts'
import { createKeysMetrics, type KeysMetrics, type KeyType } from './metrics.ts'
import { KeyOperations } from './operations/key-operations.ts'
import { AnnouncementRetention } from './records/announcement-retention.ts'
import { CorruptRecords } from './records/corrupt-records.ts'
import { KeyRecordError } from './records/key-record.ts'
import { checkKeyRecords } from './records/record-check.ts'
import type { StoredKeySettings } from './records/stored-key.ts'
import {
  type RotatedKeys,
  type RotateOptions,
  type RotationReason,
  type RotationStatus,
  TenantRotator,
} from './rotation/tenant-rotator.ts'
import { TenantTurns } from './rotation/tenant-turns.ts'
import { PublicKeys } from './signing/public-keys.ts'
import type { TenantKeyAge } from './signing/signing-ages.ts'
import { loadSigningKey, type SigningKey } from './signing/signing-keys.ts'
import { asUnavailable } from './unavailable.ts'
import { type IsServing, repeatCall, unservedCalls } from './unserved.ts'

export { KEYS_DEFAULTS, type KeysOptions, type KeysSettings } from './keys-options.ts'

/** A successor is generated when this share of a data key's uses or bytes is gone. */
const NEARLY_SPENT_SHARE = 0.9
const PURGE_INTERVAL_MS = 60_000

export class Keys {
  readonly #parts: KeysSettings
  readonly #options: KeysOptions
  readonly #metrics: KeysMetrics
  readonly #kms: MeteredKms
  readonly #stored: StoredKeySettings
  readonly #encryption: KeyCache<SealingKey>
  readonly #pseudonym: KeyCache<PseudonymKey>
  readonly #signing: KeyCache<SigningKey>
  readonly #public: PublicKeys
  readonly #rotator: TenantRotator
  readonly #retention: AnnouncementRetention
  readonly #corruptRecords: CorruptRecords
  readonly #purgeTimer: NodeJS.Timeout
  /** What an operator ends, destroys or moves. */
  readonly operations: KeyOperations
  #dataClasses: readonly string[]
  readonly #closing = new AbortController()

  constructor(parts: KeysSettings, options: KeysOptions) {
    this.#parts = parts
    this.#corruptRecords = new CorruptRecords(parts.log)
    this.#options = options
    this.#dataClasses = checkedClasses(options.dataClasses)
    this.#metrics = createKeysMetrics(parts.registry, (type) => this.#sizeOf(type))
    this.#kms = new MeteredKms({ ...parts, requestMsMax: options.requestMsMax })
    const stored: StoredKeySettings = { kms: this.#kms, store: parts.store, clock: parts.clock }
    this.#stored = stored
    const { dataKeyUsesMax: usesMax, dataKeyBytesMax: bytesMax } = options
    this.#retention = new AnnouncementRetention({
      ...parts,
      countMax: options.announcementsMax,
      closing: this.#closing.signal,
    })
    this.#encryption = new KeyCache({
      ...this.#cacheOptions('encryption', options.encryptionKeyTtlMs),
      load: async (tenant, abort) => {
        const asked = { ...options, tenant, dataClasses: this.#dataClasses }
        const key = await generateSealingKey(stored, asked, abort)
        if (key.tenantSecretId !== '') this.#corruptRecords.opened('secret', tenant, key.tenantSecretId)
        this.#retention.added(key.kid)
        return key
      },
      isSpent: (key) => isUsed(key, usesMax, bytesMax),
      isNearlySpent: (key) => isUsed(key, usesMax * NEARLY_SPENT_SHARE, bytesMax * NEARLY_SPENT_SHARE),
    })
    this.#pseudonym = new KeyCache({
      ...this.#cacheOptions('pseudonym', options.privateKeyTtlMs),
      load: async (tenant, abort) => {
        const key = await loadPseudonymKey(stored, options.pseudonymKeys, tenant, abort)
        this.#corruptRecords.opened('pseudonym', tenant, key.kid)
        return key
      },
    })
    this.#signing = new KeyCache({
      ...this.#cacheOptions('signing', options.privateKeyTtlMs),
      load: (tenant, abort) => this.#loadSigningKey(stored, tenant, abort),
    })
    this.#public = new PublicKeys({
      store: parts.store,
      clock: parts.clock,
      sizeMax: options.sizeMax,
      ttlMs: options.publicKeyTtlMs,
      metrics: this.#metrics.byType.public,
      onCorrupt: (error) => this.#corruptRecords.note(error),
    })
    const turns = new TenantTurns()
    this.#rotator = new TenantRotator({
      ...parts,
      stored,
      given: options.pseudonymKeys,
      ageMsMax: options.signingKeyAgeMsMax,
      rotateMsMax: options.loadMsMax * 2,
      signing: this.#signing,
      encryption: this.#encryption,
      pseudonym: this.#pseudonym,
      public: this.#public,
      turns,
      onCorrupt: (error) => this.#corruptRecords.note(error),
    })
    this.operations = new KeyOperations({
      ...parts,
      kms: this.#kms,
      turns,
      forget: (tenant) => this.#forgetEnded(tenant),
      openFormerKms: parts.openFormerKms,
      closing: this.#closing.signal,
    })
    this.#purgeTimer = setInterval(() => this.purge(), PURGE_INTERVAL_MS).unref()
  }

  /** What seals a tenant's values now, if it is at hand. Ask once per request, not per value. */
  sealer(tenant: string): Sealer | undefined {
    return this.#hit('encryption', this.#encryption.get(tenant))
  }

  /** Rejects KEY_UNAVAILABLE, the reason as its cause. `isCounted`: who calls may try again, and called `startWait`. */
  loadSealer(tenant: string, abort: AbortSignal, isCounted = false): Promise<Sealer> {
    return this.#load('encryption', this.#encryption, tenant, abort, isCounted)
  }

  pseudonymizer(tenant: string): Pseudonymizer | undefined {
    return this.#hit('pseudonym', this.#pseudonym.get(tenant))
  }

  loadPseudonymizer(tenant: string, abort: AbortSignal, isCounted = false): Promise<Pseudonymizer> {
    return this.#load('pseudonym', this.#pseudonym, tenant, abort, isCounted)
  }

  signingKey(tenant: string): SigningKey | undefined {
    return this.#hit('signing', this.#signing.get(tenant))
  }

  loadSigningKey(tenant: string, abort: AbortSignal, isCounted = false): Promise<SigningKey> {
    return this.#load('signing', this.#signing, tenant, abort, isCounted)
  }

  /** For who loads more than once, see `KeyTypeMetrics.startWait`. */
  startWait(type: KeyType): () => void {
    return this.#metrics.byType[type].startWait(this.#parts.clock)
  }

  /** Every signing key that the tenant ever had, oldest first, as far as its record is whole. */
  publicKeys(tenant: string): readonly PublicKeyRecord[] {
    return this.#public.get(tenant)
  }

  /**
   * A new signing key, endorsed by the old one, and a new data key; who asks for a tenant at once shares one rotation. The
   * old keys serve until the new ones stand, and stay readable for good. Rejects KEY_UNAVAILABLE as the loads do.
   */
  rotate(
    tenant: string,
    reason: RotationReason,
    abort: AbortSignal,
    options: RotateOptions = {},
  ): Promise<RotatedKeys> {
    if (this.#closing.signal.aborted)
      return Promise.reject(new SidecarError('SHUTTING_DOWN', 'keys are closed'))
    return this.#rotator.rotate(tenant, reason, abort, options).catch((thrown: unknown) => {
      throw this.#unavailable(asSidecarError(thrown))
    })
  }

  /** Every tenant that `rotate` has something to do for: first those that sign, by the records on disk, oldest key first. */
  rotatableTenants(): Promise<readonly string[]> {
    return this.#rotator.tenants()
  }

  /** Those whose signing key is older than `signingKeyAgeMsMax`, or will be within so much time, oldest first. */
  tenantsNeedingRotation(withinMs = 0): Promise<readonly TenantKeyAge[]> {
    return this.#rotator.due(withinMs)
  }

  rotationStatus(): RotationStatus {
    return this.#rotator.status()
  }

  /** Looks at every record for damage, which then stands in the log and the status. For the start; asks no key service. */
  checkRecords(): Promise<{ readonly checked: number; readonly damaged: number }> {
    return checkKeyRecords(
      this.#parts.store,
      (error) => this.#corruptRecords.note(error),
      this.#closing.signal,
    )
  }

  /** Counts the announcements that are there, and makes room where there are too many. For the start. */
  openAnnouncements(): Promise<void> {
    return this.#retention.open()
  }

  /** The policy changed: data keys that do not announce all of these classes are replaced. */
  setDataClasses(dataClasses: readonly string[]): void {
    const announced = new Set(this.#dataClasses)
    this.#dataClasses = checkedClasses(dataClasses)
    if (!dataClasses.every((name) => announced.has(name))) this.#encryption.clear()
  }

  /** Forgets one tenant's cached keys, or all. Records and sealed values are untouched. */
  flush(tenant?: string): void {
    for (const cache of [this.#encryption, this.#pseudonym, this.#signing, this.#public]) {
      if (tenant === undefined) cache.clear()
      else cache.delete(tenant)
    }
  }

  /** Drops keys that may never serve again; runs every minute by itself. */
  purge(): void {
    for (const cache of [this.#encryption, this.#pseudonym, this.#signing, this.#public]) cache.purge()
  }

  status(): KeysStatus {
    return keysStatus({
      kms: this.#kms,
      metrics: this.#metrics,
      sizeOf: (type) => this.#sizeOf(type),
      sizeMax: this.#options.sizeMax,
      isServing: this.#isServing,
      corruptRecords: this.#corruptRecords.names,
    })
  }

  /**
   * Makes the failed calls again that keep every tenant from its keys, for the tenants that they were for or else for this
   * one. For the readiness check, which must not ask often. Never rejects: `status` says what stands.
   */
  async retryUnserved(otherTenant: string, abort: AbortSignal): Promise<void> {
    const calls = unservedCalls(this.#kms.history, this.#isServing)
    await Promise.all(calls.map((call) => repeatCall(this.#stored, call, otherTenant, abort)))
  }

  /** Asks the key service about the master key; for the readiness check, which must not ask more than once a minute. */
  describe(abort: AbortSignal): ReturnType<Kms['describe']> {
    return this.#kms.describe(abort)
  }

  /** Forgets every key and closes the key service. Raw bytes were zeroed when each key was made. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#purgeTimer)
    await this.operations.settled()
    this.flush()
    await this.#parts.kms.close()
  }

  #cacheOptions(
    type: KeyType,
    ttlMs: number,
  ): Omit<KeyCacheOptions<never>, 'load' | 'isSpent' | 'isNearlySpent'> {
    return {
      ...this.#options,
      ttlMs,
      clock: this.#parts.clock,
      random: this.#parts.random ?? Math.random,
      onEvict: (cause) => this.#metrics.byType[type].evicted(cause),
    }
  }

  readonly #isServing: IsServing = (key, isOutage) =>
    key === 'encryption' ? this.#encryption.isServing(isOutage) : this.#signing.isServing(isOutage)

  /** Records of the tenant ended or are gone. A load under way still answers its callers, and is not kept. */
  #forgetEnded(tenant: string): void {
    this.flush(tenant)
    this.#rotator.noteLoaded(tenant)
  }

  #sizeOf(type: KeyType): number {
    const caches = {
      encryption: this.#encryption,
      pseudonym: this.#pseudonym,
      signing: this.#signing,
      public: this.#public,
    }
    return caches[type].size
  }

  #hit<V>(type: KeyType, value: V | undefined): V | undefined {
    if (value !== undefined) this.#metrics.byType[type].hit()
    return value
  }

  async #load<V>(
    type: KeyType,
    cache: KeyCache<V>,
    tenant: string,
    abort: AbortSignal,
    isCounted: boolean,
  ): Promise<V> {
    if (this.#closing.signal.aborted) throw new SidecarError('SHUTTING_DOWN', 'keys are closed')
    const atHand = isCounted ? undefined : this.#hit(type, cache.get(tenant))
    if (atHand !== undefined) return atHand
    const endWait = isCounted ? undefined : this.startWait(type)
    try {
      return await cache.load(tenant, abort)
    } catch (thrown) {
      throw this.#unavailable(asSidecarError(thrown))
    } finally {
      endWait?.()
    }
  }

  #unavailable(error: SidecarError): SidecarError {
    if (error instanceof KeyRecordError) this.#corruptRecords.note(error)
    return asUnavailable(error)
  }

  async #loadSigningKey(stored: StoredKeySettings, tenant: string, abort: AbortSignal): Promise<SigningKey> {
    const key = await loadSigningKey(stored, tenant, abort)
    this.#corruptRecords.opened('signing', tenant, key.keyId)
    this.#public.delete(tenant) // it may be new
    this.#rotator.noteLoaded(tenant)
    return key
  }
}
