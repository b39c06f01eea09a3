// How far the end of a tenant's own master key reaches, by the announcements in the key store. A data key that was made or
// wrapped under another master key, before the tenant was given its own or after it was moved away, has a second way in,
// and an announcement that travelled keeps that way whatever the key store says since.
import { randomBytes } from 'node:crypto'
import { parseAnnouncement } from '../../formats/announcement.ts'
import { type Kms, KmsError } from '../../kms/kms.ts'
import { rewrappedKey } from '../operations/rewrap.ts'
import type { KeyStore } from './keystore.ts'

export interface MasterKeyName {
  readonly provider: string
  readonly masterKeyId: string
}

export interface MasterKeyScope {
  /** Data keys to which this master key is the only way. */
  readonly coveredCount: number
  readonly others: readonly OtherMasterKey[]
}

/** A master key that opens data keys of the tenant as well. */
export interface OtherMasterKey extends MasterKeyName {
  /** The key store leads to the tenant's own key by now, what was exported still to this one. */
  readonly isOnlyExported: boolean
  readonly count: number
  readonly firstMs: number
  readonly lastMs: number
}

/** What wraps for the tenant now, in the key service's own words. `undefined` when it does not answer, or refuses. */
export async function masterKeyOf(
  kms: Kms,
  tenant: string,
  abort: AbortSignal,
): Promise<MasterKeyName | undefined> {
  const context = { tenantId: tenant, purpose: 'probe' } as const
  try {
    const { masterKeyId } = await kms.wrap(randomBytes(32), context, abort)
    return { provider: kms.provider, masterKeyId }
  } catch (thrown) {
    if (thrown instanceof KmsError) return undefined
    throw thrown
  }
}

/** Data keys that a tenant secret is mixed into are left out: they end with the secret. */
export function masterKeyScope(store: KeyStore, tenant: string, own: MasterKeyName): MasterKeyScope {
  const others = new Map<string, OtherMasterKey>()
  let coveredCount = 0
  for (const { id, record } of store.list('announcement', tenant)) {
    const announcement = parseAnnouncement(Buffer.from(record).toString('utf8'))
    if (announcement === undefined || announcement.tenantSecretId !== '') continue
    const companion = rewrappedKey(store, tenant, id)
    const isHere = companion !== undefined && isSame(companion, own)
    const ways = [
      { ...announcement, isOnlyExported: isHere },
      ...(companion === undefined ? [] : [{ ...companion, isOnlyExported: false }]),
    ].filter((way) => !isSame(way, own))
    if (ways.length === 0) coveredCount++
    for (const way of ways) note(others, way, announcement.createdMs)
  }
  return { coveredCount, others: [...others.values()] }
}

function note(
  others: Map<string, OtherMasterKey>,
  { provider, masterKeyId, isOnlyExported }: MasterKeyName & { readonly isOnlyExported: boolean },
  createdMs: number,
): void {
  const name = JSON.stringify([provider, wholeKey({ provider, masterKeyId }), isOnlyExported])
  const known = others.get(name) ?? { count: 0, firstMs: createdMs, lastMs: createdMs }
  others.set(name, {
    provider,
    masterKeyId: wholeKey({ provider, masterKeyId }),
    isOnlyExported,
    count: known.count + 1,
    firstMs: Math.min(known.firstMs, createdMs),
    lastMs: Math.max(known.lastMs, createdMs),
  })
}

function isSame(a: MasterKeyName, b: MasterKeyName): boolean {
  return a.provider === b.provider && wholeKey(a) === wholeKey(b)
}

/** Azure names the version that wrapped; a key is destroyed with all its versions. */
function wholeKey({ provider, masterKeyId }: MasterKeyName): string {
  return provider === 'azure' ? masterKeyId.replace(/(\/keys\/[^/]+)\/[^/]+$/, '$1') : masterKeyId
}
