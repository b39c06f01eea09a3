// What an operator ends, destroys or moves while the sidecar runs. Records first, durably; then the caches forget, so that a
// request that comes afterwards meets the records. One that is under way may finish with what it holds.
import type { Clock } from '../../base/clock.ts'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import type { Kms } from '../../kms/kms.ts'
import { KeyRecordError } from '../records/key-record.ts'
import type { KeyStore } from '../records/keystore.ts'
import { storedKeys } from '../records/stored-key.ts'
import type { TenantTurns } from '../rotation/tenant-turns.ts'
import { type Revocation, retireSigningKey, revokeSigningKey } from '../signing/signing-keys.ts'
import { type RewrapFailure, type RewrapProgress, rewrapAll } from './rewrap.ts'
import { type ErasableKeyStore, type ShredScope, shredScope, shredSecrets } from './shred.ts'

/** A key store whose files may be able to forget. */
export type RunningKeyStore = KeyStore & Partial<Pick<ErasableKeyStore, 'scrub'>>

export interface KeyOperationsSettings {
  readonly kms: Kms
  readonly store: RunningKeyStore
  readonly clock: Clock
  readonly log: Logger
  readonly turns: TenantTurns
  /** The caches forget what they hold of the tenant. */
  readonly forget: (tenant: string) => void
  /** The key service of an earlier configuration, for rewrapping; closed afterwards. */
  readonly openFormerKms: (() => Promise<Kms | undefined>) | undefined
  readonly closing: AbortSignal
}

export interface RevokedKey extends Revocation {
  /** The key that the tenant signs with now; `undefined`: its next signature makes a first one. */
  readonly keyIdInUse: string | undefined
  /** A damaged record could neither sign nor be shown; it was taken out, and this is what it was. */
  readonly removedRecord: Uint8Array | undefined
}

export interface RetiredKeys {
  readonly endedKeyIds: readonly string[]
  /** Names of damaged records. */
  readonly damaged: readonly string[]
}

export interface ShreddedTenant {
  readonly destroyedIds: readonly string[]
  readonly provenCount: number
  /** Whether the files were written anew, without what lmdb and file systems leave of removed records. */
  readonly isScrubbed: boolean
}

export interface RewrapState {
  readonly isRunning: boolean
  readonly progress: RewrapProgress | undefined
  readonly failures: readonly RewrapFailure[]
  /** Why the last run did not begin. */
  readonly error: SidecarError | undefined
  readonly isInterrupted: boolean
}

const SHRED_MS_MAX = 10 * 60_000

export class KeyOperations {
  readonly #parts: KeyOperationsSettings
  #rewrapping: Promise<void> | undefined
  #rewrap: RewrapState = NEVER_REWRAPPED

  constructor(parts: KeyOperationsSettings) {
    this.#parts = parts
  }

  /** The ids and statuses of a tenant's signing keys, for whoever wants to see before acting. */
  signingKeys(tenant: string): readonly { readonly keyId: string; readonly status: string }[] {
    const { records } = storedKeys(this.#parts.store, 'signing', tenant)
    return records.map(({ id, status }) => ({ keyId: id, status }))
  }

  hasSigningKey(tenant: string, keyId: string): boolean {
    return this.#parts.store.get('signing', tenant, keyId) !== undefined
  }

  /** Rejects USAGE when the tenant has no key of this id. */
  async revoke(tenant: string, keyId: string): Promise<RevokedKey> {
    const { store, turns, forget } = this.#parts
    return turns.take(tenant, async () => {
      const before = store.get('signing', tenant, keyId)
      if (before === undefined) throw new SidecarError('USAGE', 'the tenant has no signing key of this keyId')
      const outcome = await this.#revokeOrRemove(tenant, keyId, before)
      forget(tenant)
      return { ...outcome, keyIdInUse: this.#keyIdInUse(tenant) }
    })
  }

  /** Rejects USAGE when the tenant has no key in use. */
  retire(tenant: string): Promise<RetiredKeys> {
    const { store, turns, forget } = this.#parts
    return turns.take(tenant, async () => {
      const endedKeyIds = await retireSigningKey(this.#parts, tenant)
      forget(tenant)
      if (endedKeyIds.length === 0) throw new SidecarError('USAGE', 'the tenant has no signing key in use')
      const { corrupt } = storedKeys(store, 'signing', tenant)
      return { endedKeyIds, damaged: corrupt.map(({ record }) => record) }
    })
  }

  shredScope(tenant: string): ShredScope {
    return shredScope(this.#parts.store, tenant)
  }

  /** Rejects as `shredSecrets` does. What was cached of the secret is gone with it. */
  shred(tenant: string): Promise<ShreddedTenant> {
    const { store, turns, forget } = this.#parts
    return turns.take(tenant, async () => {
      let isScrubbed = false
      const scrub = async (): Promise<void> => {
        await store.scrub?.()
        isScrubbed = store.scrub !== undefined
      }
      const erasable: ErasableKeyStore = {
        get: (...id) => store.get(...id),
        list: (...of) => store.list(...of),
        put: (...record) => store.put(...record),
        remove: (...id) => store.remove(...id),
        scrub,
      }
      try {
        const report = await shredSecrets(
          { ...this.#parts, store: erasable },
          tenant,
          AbortSignal.timeout(SHRED_MS_MAX),
        )
        return { ...report, isScrubbed }
      } finally {
        // Also after half of it: a data key that needs a destroyed secret seals what nobody can read.
        forget(tenant)
      }
    })
  }

  /** Begins to wrap every stored key under the master key that is configured; a run under way goes on. */
  startRewrap(): void {
    this.#rewrapping ??= this.#rewrapAll().finally(() => {
      this.#rewrapping = undefined
    })
  }

  rewrapState(): RewrapState {
    return this.#rewrap
  }

  /** Resolves when no rewrap is under way; for the end, after `closing` aborted. */
  async settled(): Promise<void> {
    await this.#rewrapping
  }

  async #revokeOrRemove(
    tenant: string,
    keyId: string,
    before: Uint8Array,
  ): Promise<Omit<RevokedKey, 'keyIdInUse'>> {
    try {
      return { ...(await revokeSigningKey(this.#parts, tenant, keyId)), removedRecord: undefined }
    } catch (thrown) {
      if (!(thrown instanceof KeyRecordError)) throw thrown
      await this.#parts.store.remove('signing', tenant, keyId)
      return { isNew: true, endedKeyIds: [], removedRecord: before }
    }
  }

  #keyIdInUse(tenant: string): string | undefined {
    const { records } = storedKeys(this.#parts.store, 'signing', tenant)
    return records.findLast(({ status }) => status === 'ACTIVE')?.id
  }

  async #rewrapAll(): Promise<void> {
    const { kms: to, store, clock, turns, openFormerKms, closing, log } = this.#parts
    this.#rewrap = { ...NEVER_REWRAPPED, isRunning: true }
    let from: Kms | undefined
    try {
      from = await openFormerKms?.()
      const { failures, isInterrupted, ...progress } = await rewrapAll(
        {
          from,
          to,
          store,
          clock,
          turns,
          onProgress: (progress) => {
            this.#rewrap = { ...this.#rewrap, progress }
          },
        },
        closing,
      )
      this.#rewrap = { isRunning: false, progress, failures, isInterrupted, error: undefined }
      log.info({ audit: true, action: 'rewrap', ...progress, isInterrupted }, 'Stored keys were rewrapped')
    } catch (thrown) {
      const error = asSidecarError(thrown)
      this.#rewrap = { ...this.#rewrap, isRunning: false, error }
      log.error({ audit: true, action: 'rewrap', code: error.code }, 'Stored keys were not rewrapped')
    } finally {
      await from?.close()
    }
  }
}

const NEVER_REWRAPPED: RewrapState = {
  isRunning: false,
  progress: undefined,
  failures: [],
  error: undefined,
  isInterrupted: false,
}
