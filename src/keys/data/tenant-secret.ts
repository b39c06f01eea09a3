// The optional secret of a tenant that is mixed into its data keys and never travels: destroying it destroys what was
// sealed with it, even for who holds the master key (proto/sealed-value.md §2).
import { randomBytes } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import { shortHash } from '../../formats/sealed-value.ts'
import { decodeKeyRecord, KeyRecordError } from '../records/key-record.ts'
import { createStoredKey, openStoredKey, type StoredKeySettings, storedKeys } from '../records/stored-key.ts'

export interface TenantSecret {
  readonly id: string
  /** 32 bytes. Whoever has it zeroes it after deriving. */
  readonly bytes: Uint8Array
}

/** A value's secret is not in the key store: destroyed, when the value's key was announced there, else perhaps elsewhere. */
export class TenantSecretGone extends SidecarError {
  readonly isDestroyed: boolean

  constructor(isDestroyed: boolean) {
    if (isDestroyed) super('SEALED_VALUE', 'the tenant secret of this value was destroyed')
    else super('KEY_UNAVAILABLE', 'the tenant secret of this value is not in this key store')
    this.isDestroyed = isDestroyed
  }
}

const ID_LABEL = 'betrace/tenant-secret/v1'

/** Names a secret. The bytes become the secret's. */
export function tenantSecret(bytes: Uint8Array): TenantSecret {
  return { id: shortHash(ID_LABEL, bytes), bytes }
}

/** The secret for sealing: the tenant's newest active one, a new one when it has none. */
export async function loadTenantSecret(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
): Promise<TenantSecret> {
  const { records, corrupt } = storedKeys(parts.store, 'secret', tenant)
  const record = records.findLast(({ status }) => status === 'ACTIVE')
  if (record !== undefined) return openTenantSecret(parts, tenant, record.id, abort)
  if (corrupt[0] !== undefined) throw corrupt[0]
  const secret = tenantSecret(randomBytes(32))
  const publicKey = new Uint8Array(0)
  await createStoredKey(
    parts,
    { kind: 'secret', tenant, id: secret.id, plaintext: secret.bytes, publicKey },
    abort,
  )
  return secret
}

/** A named secret, for opening. Rejects with `KeyRecordError` when the store does not have it or it is damaged. */
export async function openTenantSecret(
  parts: StoredKeySettings,
  tenant: string,
  id: string,
  abort: AbortSignal,
): Promise<TenantSecret> {
  const bytes = parts.store.get('secret', tenant, id)
  if (bytes === undefined) throw new KeyRecordError('secret', tenant, id)
  const record = decodeKeyRecord('secret', tenant, id, bytes)
  const secret = tenantSecret(await openStoredKey(parts, 'secret', record, abort))
  if (secret.bytes.length !== 32 || secret.id !== id) throw new KeyRecordError('secret', tenant, id)
  return secret
}

/** The secret of the data key that `kid` announces. Rejects with `TenantSecretGone`, and as `openTenantSecret` does. */
export async function openSecretOf(
  parts: StoredKeySettings,
  tenant: string,
  id: string,
  abort: AbortSignal,
  kid: string,
): Promise<TenantSecret> {
  if (parts.store.get('secret', tenant, id) === undefined)
    throw new TenantSecretGone(parts.store.get('announcement', tenant, kid) !== undefined)
  return openTenantSecret(parts, tenant, id, abort)
}
