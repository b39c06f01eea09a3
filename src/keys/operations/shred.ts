// The end of a tenant's readability: its secret, which was mixed into its data keys and never travelled, is destroyed, and
// a value that opened a moment ago is shown not to open. Public signing keys stay, so its evidence stays verifiable.
// What this cannot reach is said: values sealed without a secret, and copies of the data folder made before.
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { SidecarError } from '../../base/errors.ts'
import { announcedFacts, parseAnnouncement } from '../../formats/announcement.ts'
import { deriveKeys } from '../../formats/sealed-value.ts'
import { placeHead, placeWithin } from '../../formats/value-place.ts'
import { type Kms, KmsError } from '../../kms/kms.ts'
import { Place } from '../../wire/otlp.ts'
import { SealingKey } from '../data/sealing-key.ts'
import { openTenantSecret, type TenantSecret } from '../data/tenant-secret.ts'
import type { KeyStore } from '../records/keystore.ts'
import { revealToken, type SealedToken } from './reveal.ts'

/** A key store that can forget: `scrub` leaves no trace of what was removed in its file. */
export interface ErasableKeyStore extends KeyStore {
  scrub(): Promise<void>
}

export interface ShredSettings {
  readonly kms: Kms
  readonly store: ErasableKeyStore
  readonly clock: Clock
}

/** What destroying a tenant's secrets would reach, by the announcements in the key store. */
export interface ShredScope {
  readonly secretIds: readonly string[]
  /** Data keys that are useless without one of the secrets, and those whose secret is gone already. */
  readonly coveredCount: number
  readonly destroyedCount: number
  /** Data keys that the master key alone opens. */
  readonly uncovered:
    | { readonly count: number; readonly firstMs: number; readonly lastMs: number }
    | undefined
  /** Announcements that cannot be read. What they announced may still open where it was exported. */
  readonly damagedCount: number
}

export interface ShredReport {
  readonly destroyedIds: readonly string[]
  /** Values that opened before and were tried afterwards: none opens. */
  readonly provenCount: number
}

const CANARY = {
  place: placeWithin(placeHead(Place.RESOURCE_ATTRIBUTE), 'betrace.shred'),
  dataClass: 'shred',
}
const CANARY_ANY_VALUE = Buffer.from('0a0663616e617279', 'hex') // the string "canary"

export function shredScope(store: KeyStore, tenant: string): ShredScope {
  const secretIds = [...store.list('secret', tenant)].map(({ id }) => id)
  const known = new Set(secretIds)
  const uncoveredMs: number[] = []
  let [coveredCount, destroyedCount, damagedCount] = [0, 0, 0]
  for (const { record } of store.list('announcement', tenant)) {
    const announcement = parseAnnouncement(Buffer.from(record).toString('utf8'))
    if (announcement === undefined) damagedCount++
    else if (announcement.tenantSecretId === '') uncoveredMs.push(announcement.createdMs)
    else if (known.has(announcement.tenantSecretId)) coveredCount++
    else destroyedCount++
  }
  uncoveredMs.sort((a, b) => a - b)
  const uncovered =
    uncoveredMs.length === 0
      ? undefined
      : { count: uncoveredMs.length, firstMs: uncoveredMs[0]!, lastMs: uncoveredMs.at(-1)! }
  return { secretIds, coveredCount, destroyedCount, uncovered, damagedCount }
}

/**
 * Destroys every secret of the tenant. A value is sealed under each and opened first; when the key service is not there
 * for that, nothing is destroyed and it rejects. After the destruction each must refuse to open, or it rejects INTERNAL.
 * Interrupted, it is run again: what is left is destroyed then.
 */
export async function shredSecrets(
  parts: ShredSettings,
  tenant: string,
  abort: AbortSignal,
): Promise<ShredReport> {
  const { store } = parts
  const { secretIds } = shredScope(store, tenant)
  const canaries: SealedToken[] = []
  for (const id of secretIds) {
    const canary = await sealCanary(parts, tenant, id, abort)
    if (canary !== undefined) canaries.push(canary)
  }
  for (const canary of canaries) await revealToken(revealParts(parts), canary, abort)
  for (const id of secretIds) {
    // Another value in its place first: a page that is written again in place holds no secret then.
    const bytes = store.get('secret', tenant, id)
    if (bytes !== undefined) await store.put('secret', tenant, id, randomBytes(bytes.length))
    await store.remove('secret', tenant, id)
  }
  await store.scrub()
  for (const canary of canaries) await provePermanent(parts, canary, abort)
  return { destroyedIds: secretIds, provenCount: canaries.length }
}

/** `undefined` for a damaged secret, under which nothing opens as it is. */
async function sealCanary(
  parts: ShredSettings,
  tenant: string,
  id: string,
  abort: AbortSignal,
): Promise<SealedToken | undefined> {
  const secret = await openTenantSecret(parts, tenant, id, abort).catch((thrown: unknown) => {
    if (thrown instanceof SidecarError && thrown.code === 'KEY_RECORD_CORRUPT') return undefined
    throw thrown
  })
  if (secret === undefined) return undefined
  try {
    const key = await SealingKey.generate(
      parts.kms,
      {
        tenant,
        dataClasses: [CANARY.dataClass],
        idsBound: false,
        padded: false,
        tenantSecret: secret,
        nowMs: parts.clock.nowMs(),
      },
      abort,
    )
    const [token] = key.sealAll([{ ...CANARY, plaintext: CANARY_ANY_VALUE }])
    return { token: token!, place: CANARY.place, announcement: key.announcement }
  } finally {
    secret.bytes.fill(0)
  }
}

function revealParts(parts: ShredSettings): {
  readonly kms: Kms
  readonly tenantSecret: (tenant: string, id: string, abort: AbortSignal) => Promise<TenantSecret>
} {
  return { kms: parts.kms, tenantSecret: (tenant, id, abort) => openTenantSecret(parts, tenant, id, abort) }
}

/** Neither with what the store still holds, nor with the data key as the master key alone gives it. */
async function provePermanent(parts: ShredSettings, canary: SealedToken, abort: AbortSignal): Promise<void> {
  const refusal = await revealToken(revealParts(parts), canary, abort).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  const isRefused = refusal instanceof SidecarError && !(refusal instanceof KmsError)
  const announcement = parseAnnouncement(canary.announcement)!
  const { wrappedKey, masterKeyId, context } = announcement
  const dataKey = await parts.kms.unwrap(wrappedKey, masterKeyId, context, abort)
  const { commitment } = deriveKeys(dataKey, announcedFacts(announcement), undefined)
  dataKey.fill(0)
  if (!isRefused || Buffer.from(commitment).equals(announcement.commitment)) {
    throw new SidecarError(
      'INTERNAL',
      'a value still opens, or could not be tried, after its secret was destroyed',
    )
  }
}
