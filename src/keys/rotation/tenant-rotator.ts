// Rotation of one tenant's keys, in a process that goes on serving. The new signing key is durable before it is in force,
// and the old one serves until then; a data key is replaced like one that is nearly spent. See rotation.ts for when.

import { settledOrAborted } from '../../base/abort.ts'
import { asSidecarError, SidecarError } from '../../base/errors.ts'
import type { PseudonymKey } from '../../formats/pseudonym.ts'
import { type Kms, KmsError } from '../../kms/kms.ts'
import type { KeyCache } from '../cache.ts'
import type { GivenPseudonymKeys } from '../data/pseudonym-file.ts'
import { rotatePseudonymKey } from '../data/pseudonym-keys.ts'
import type { SealingKey } from '../data/sealing-key.ts'
import type { KeysSettings } from '../keys-options.ts'
import type { KeyRecordError } from '../records/key-record.ts'
import { type StoredKeySettings, storedKeys } from '../records/stored-key.ts'
import type { PublicKeys } from '../signing/public-keys.ts'
import { SigningAges, type TenantKeyAge } from '../signing/signing-ages.ts'
import { rotateSigningKey, type SigningKey } from '../signing/signing-keys.ts'
import { createRotationMetrics, type RotationMetrics } from './rotation-metrics.ts'
import type { TenantTurns } from './tenant-turns.ts'

/** Goes into the log, and nowhere else. */
export type RotationReason = 'scheduled' | 'requested' | 'policy'

export interface RotateOptions {
  /** Also the pseudonym key. Old and new tokens of one value then differ. */
  readonly pseudonym?: boolean
}

export interface RotatedKeys {
  readonly tenant: string
  /** `undefined`: the tenant has never signed. */
  readonly signing: { readonly keyId: string; readonly previousKeyId: string } | undefined
  /** `undefined`: no data key is in use, the next one will be new anyway. */
  readonly encryption: { readonly kid: string } | undefined
  readonly pseudonym: { readonly kid: string } | undefined
}

export interface RotationStatus {
  readonly ageMsMax: number
  readonly succeeded: number
  readonly failed: number
  readonly lastSuccessMs: number | undefined
  readonly lastFailure: { readonly tenant: string; readonly error: string; readonly atMs: number } | undefined
  /** When the active signing key that has been in use longest was made. */
  readonly oldestSigningKeyMs: number | undefined
}

export interface TenantRotatorSettings extends Pick<KeysSettings, 'clock' | 'log' | 'registry'> {
  readonly stored: StoredKeySettings & { readonly kms: Kms }
  readonly given: GivenPseudonymKeys | undefined
  readonly ageMsMax: number
  /** A rotation ends then, whoever waits for it. */
  readonly rotateMsMax: number
  readonly signing: KeyCache<SigningKey>
  readonly encryption: KeyCache<SealingKey>
  readonly pseudonym: KeyCache<PseudonymKey>
  readonly public: PublicKeys
  readonly turns: TenantTurns
  readonly onCorrupt: (error: KeyRecordError) => void
}

export class TenantRotator {
  readonly #parts: TenantRotatorSettings
  readonly #ages: SigningAges
  readonly #metrics: RotationMetrics
  readonly #running = new Map<string, Promise<RotatedKeys>>()
  #succeeded = 0
  #failed = 0
  #lastSuccessMs: number | undefined
  #lastFailure: RotationStatus['lastFailure']

  constructor(parts: TenantRotatorSettings) {
    this.#parts = parts
    this.#ages = new SigningAges(parts.stored.store, parts.onCorrupt)
    this.#metrics = createRotationMetrics(parts.registry, parts.ageMsMax, () => ({
      signing: this.#ages.oldestMs,
      encryption: this.#oldestDataKeyMs(),
    }))
  }

  rotate(
    tenant: string,
    reason: RotationReason,
    abort: AbortSignal,
    options: RotateOptions,
  ): Promise<RotatedKeys> {
    // A second one at the same time would endorse from the same old key, and the chain would fork.
    const rotation = this.#running.get(tenant) ?? this.#start(tenant, reason, options)
    return settledOrAborted(
      rotation,
      abort,
      () => new SidecarError('KEY_UNAVAILABLE', 'gave up waiting for a rotation'),
    )
  }

  async tenants(): Promise<readonly string[]> {
    const signing = (await this.#ages.survey()).map(({ tenant }) => tenant)
    return [...new Set([...signing, ...this.#parts.encryption.tenants()])]
  }

  /** Those whose key is too old, or will be within so much time; a key that has not seen half of its time is never due. */
  async due(withinMs: number): Promise<readonly TenantKeyAge[]> {
    const { clock, ageMsMax } = this.#parts
    const ages = await this.#ages.survey()
    const olderThan = (ageMs: number): TenantKeyAge[] =>
      ages.filter(({ createdMs }) => clock.nowMs() - createdMs >= ageMs)
    this.#metrics.overdue(olderThan(ageMsMax).length)
    // Checks that come once a year, or a start every hour, would otherwise rotate keys that are hours old.
    return olderThan(ageMsMax - Math.min(withinMs, ageMsMax / 2))
  }

  /** The tenant's signing key may be new, or gone. */
  noteLoaded(tenant: string): void {
    const { records } = storedKeys(this.#parts.stored.store, 'signing', tenant)
    this.#ages.note(tenant, records.findLast(({ status }) => status === 'ACTIVE')?.createdMs)
  }

  status(): RotationStatus {
    return {
      ageMsMax: this.#parts.ageMsMax,
      succeeded: this.#succeeded,
      failed: this.#failed,
      // A process that has rotated nothing yet knows it from the records.
      lastSuccessMs: this.#lastSuccessMs ?? this.#ages.lastRotationMs,
      lastFailure: this.#lastFailure,
      oldestSigningKeyMs: this.#ages.oldestMs,
    }
  }

  #start(tenant: string, reason: RotationReason, options: RotateOptions): Promise<RotatedKeys> {
    const { turns, rotateMsMax } = this.#parts
    const rotation = turns
      .take(tenant, () => this.#counted(tenant, reason, AbortSignal.timeout(rotateMsMax), options))
      .finally(() => this.#running.delete(tenant))
    rotation.catch(() => undefined) // whoever started it may have gone; it was counted and logged
    this.#running.set(tenant, rotation)
    return rotation
  }

  async #counted(
    tenant: string,
    reason: RotationReason,
    abort: AbortSignal,
    options: RotateOptions,
  ): Promise<RotatedKeys> {
    const { clock, log } = this.#parts
    const startMs = clock.monotonicMs()
    const seconds = (): number => (clock.monotonicMs() - startMs) / 1_000
    try {
      const rotated = await this.#rotate(tenant, abort, options)
      this.#succeeded++
      this.#lastSuccessMs = clock.nowMs()
      this.#metrics.succeeded(seconds())
      log.info(
        {
          tenant,
          reason,
          signingKey: rotated.signing?.keyId,
          previousKey: rotated.signing?.previousKeyId,
          dataKey: rotated.encryption?.kid,
        },
        'Keys rotated',
      )
      return rotated
    } catch (thrown) {
      const error = asSidecarError(thrown)
      const name = error instanceof KmsError ? error.kmsClass : error.code
      this.#failed++
      this.#lastFailure = { tenant, error: name, atMs: clock.nowMs() }
      this.#metrics.failed(seconds())
      log.error(
        { tenant, reason, error: name },
        'Key rotation failed; the keys in use go on (see docs/runbooks/key-rotation-failure.md)',
      )
      throw error
    }
  }

  async #rotate(tenant: string, abort: AbortSignal, options: RotateOptions): Promise<RotatedKeys> {
    const { stored, given, signing, encryption, pseudonym } = this.#parts
    const rotated = await rotateSigningKey(stored, tenant, abort)
    if (rotated !== undefined) {
      // A pass over all tenants must not push out those whose keys are in use.
      if (signing.has(tenant)) signing.replace(tenant, rotated.key)
      else signing.delete(tenant)
      this.#parts.public.delete(tenant)
      this.noteLoaded(tenant)
    }
    const dataKey = encryption.has(tenant) ? await encryption.renew(tenant, abort) : undefined
    const pseudonymKey =
      options.pseudonym === true ? await rotatePseudonymKey(stored, given, tenant, abort) : undefined
    if (pseudonymKey !== undefined) pseudonym.replace(tenant, pseudonymKey)
    return {
      tenant,
      signing: rotated && { keyId: rotated.key.keyId, previousKeyId: rotated.previousKeyId },
      encryption: dataKey && { kid: dataKey.kid },
      pseudonym: pseudonymKey && { kid: pseudonymKey.kid },
    }
  }

  #oldestDataKeyMs(): number | undefined {
    let oldest: number | undefined
    for (const { createdMs } of this.#parts.encryption.values())
      if (oldest === undefined || createdMs < oldest) oldest = createdMs
    return oldest
  }
}
