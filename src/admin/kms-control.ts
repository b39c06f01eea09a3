// What an operator may do with the key service and its keys, over the parts of a running sidecar.
import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { Keys } from '../keys/keys.ts'
import type { KeyStore } from '../keys/records/keystore.ts'
import { openStoredKey, storedKeys } from '../keys/records/stored-key.ts'
import type { Rotation } from '../keys/rotation/rotation.ts'
import type { BreakerKms } from '../kms/breaker-kms.ts'
import type { Kms } from '../kms/kms.ts'
import { validateKms } from './kms-validation.ts'
import type { KmsControl, RotationControl } from './options.ts'

export interface KmsControlSettings {
  readonly keys: Pick<Keys, 'loadSigningKey' | 'signingKey' | 'flush'>
  readonly keyStore: KeyStore
  /** Counted and logged like every other call. */
  readonly kms: Kms
  readonly guardedKms: Pick<BreakerKms, 'reset'>
  /** Whose signing key a validation retrieves. */
  readonly defaultTenant: string
  readonly clock: Clock
  /** The service has just been seen to work, or somebody says that it should. */
  readonly onWorking: () => void
}

/** Each call to the key service is bounded by itself; this is for all of them together. */
const CALLS_MS_MAX = 40_000
const DAY_MS = 24 * 60 * 60 * 1_000

export function createKmsControl(parts: KmsControlSettings): KmsControl {
  const { keys, kms, defaultTenant: tenant, clock, onWorking } = parts
  return {
    validate: async () => {
      const validation = await validateKms(
        {
          kms,
          tenant,
          clock,
          randomBytes,
          retrieve: (abort) => retrieve(parts, tenant, abort),
          warm: async (abort) => void (await keys.loadSigningKey(tenant, abort)),
          isAtHand: () => keys.signingKey(tenant) !== undefined,
        },
        AbortSignal.timeout(CALLS_MS_MAX),
      )
      if (validation.results.generate_data_key.error === undefined) onWorking()
      return validation
    },
    retrieveKey: async (tenant) => {
      await retrieve(parts, tenant, AbortSignal.timeout(CALLS_MS_MAX))
      onWorking()
    },
    flush: (tenant) => keys.flush(tenant),
    resetBreaker: (name) => {
      onWorking()
      return parts.guardedKms.reset(name)
    },
  }
}

/**
 * Past the cache, which stays as it is: a test during an outage must not take away the key that still serves. A tenant
 * that has no key gets none: a name that was mistyped would have one for good.
 */
async function retrieve(
  { kms, keyStore, clock }: KmsControlSettings,
  tenant: string,
  abort: AbortSignal,
): Promise<void> {
  const { records } = storedKeys(keyStore, 'signing', tenant)
  const record = records.findLast(({ status }) => status === 'ACTIVE')
  if (record !== undefined) {
    ;(await openStoredKey({ kms, store: keyStore, clock }, 'signing', record, abort)).fill(0)
    return
  }
  const context = { tenantId: tenant, purpose: 'probe' } as const
  const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(context, abort)
  plaintext.fill(0)
  ;(await kms.unwrap(wrapped, masterKeyId, context, abort)).fill(0)
}

export function createRotationControl(
  rotation: Pick<Rotation, 'rotateAll' | 'state'>,
  { keys, clock }: { readonly keys: Pick<Keys, 'tenantsNeedingRotation'>; readonly clock: Clock },
): RotationControl {
  return {
    rotateAll: ({ isForced, staggerMs }) => void rotation.rotateAll({ force: isForced, staggerMs }),
    progress: () => {
      const { isRunning, queued, total, rotated, failed, startedMs, estimatedEndMs, lastCheck, ...run } =
        rotation.state()
      return {
        isRunning,
        scope: isRunning || startedMs !== undefined ? run.scope : undefined,
        queued,
        tenantCount: total,
        rotatedCount: rotated,
        failedCount: failed,
        estimatedEndMs,
        lastCheck: lastCheck && {
          isRunning: lastCheck.isRunning,
          tenantCount: lastCheck.total,
          rotatedCount: lastCheck.rotated,
          failedCount: lastCheck.failed,
          startedMs: lastCheck.startedMs,
        },
      }
    },
    tenantsDue: async () =>
      (await keys.tenantsNeedingRotation()).map((each) => ({
        ...each,
        ageDays: Math.floor((clock.nowMs() - each.createdMs) / DAY_MS),
      })),
  }
}
