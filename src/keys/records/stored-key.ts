// Long-lived keys of a tenant: made here, wrapped by the key service, kept in the key store before they are first used.
import type { Clock } from '../../base/clock.ts'
import type { KeyPurpose, KmsContext } from '../../formats/key-context.ts'
import { type Kms, KmsError } from '../../kms/kms.ts'
import { withOneActive } from './key-history.ts'
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord, KeyRecordError } from './key-record.ts'
import type { KeyStore } from './keystore.ts'

export interface StoredKeySettings {
  readonly kms: Kms
  readonly store: KeyStore
  readonly clock: Clock
}

export type StoredKeyKind = 'signing' | 'pseudonym' | 'secret'

const PURPOSES: Readonly<Record<StoredKeyKind, KeyPurpose>> = {
  signing: 'signing',
  pseudonym: 'pseudonym',
  secret: 'secret',
}

export interface NewStoredKey {
  readonly kind: StoredKeyKind
  readonly tenant: string
  readonly id: string
  /** The secret bytes; they stay the caller's. */
  readonly plaintext: Uint8Array
  readonly publicKey: Uint8Array
  /** Now, when absent. */
  readonly createdMs?: number
  /** The key that vouches for it, and how; a first key when absent. */
  readonly endorsedBy?: { readonly keyId: string; readonly signature: Uint8Array }
}

/** Wraps a new key and makes its record durable. Rejects with `KmsError`, or with what the store says. */
export async function createStoredKey(
  parts: StoredKeySettings,
  key: NewStoredKey,
  abort: AbortSignal,
): Promise<KeyRecord> {
  const context = contextOf(key.kind, key.tenant, key.id)
  const { wrapped, masterKeyId } = await parts.kms.wrap(key.plaintext, context, abort)
  const record: KeyRecord = {
    tenant: key.tenant,
    id: key.id,
    provider: parts.kms.provider,
    masterKeyId,
    wrappedKey: wrapped,
    publicKey: key.publicKey,
    createdMs: key.createdMs ?? parts.clock.nowMs(),
    notAfterMs: undefined,
    status: 'ACTIVE',
    endorsedBy: key.endorsedBy?.keyId ?? '',
    endorsement: key.endorsedBy?.signature ?? new Uint8Array(0),
  }
  await parts.store.put(key.kind, key.tenant, key.id, encodeKeyRecord(key.kind, record))
  return record
}

/** The secret bytes of a record; the caller owns and zeroes them. Throws `KeyRecordError` when they are not this record's. */
export async function openStoredKey(
  parts: StoredKeySettings,
  kind: StoredKeyKind,
  record: KeyRecord,
  abort: AbortSignal,
): Promise<Uint8Array> {
  const context = contextOf(kind, record.tenant, record.id)
  try {
    return await parts.kms.unwrap(record.wrappedKey, record.masterKeyId, context, abort)
  } catch (thrown) {
    if (thrown instanceof KmsError && thrown.kmsClass === 'invalid_ciphertext') {
      throw new KeyRecordError(kind, record.tenant, record.id, thrown)
    }
    throw thrown
  }
}

export interface StoredKeys {
  /** Oldest first. Of a tenant's signing keys one at most is ACTIVE, also after a rotation that was cut short. */
  readonly records: readonly KeyRecord[]
  readonly corrupt: readonly KeyRecordError[]
}

/** A tenant's records of a kind. Damaged ones are named apart, so that the caller decides whether it can do without. */
export function storedKeys(store: KeyStore, kind: StoredKeyKind, tenant?: string): StoredKeys {
  const records: KeyRecord[] = []
  const corrupt: KeyRecordError[] = []
  for (const stored of store.list(kind, tenant)) {
    try {
      records.push(decodeKeyRecord(kind, stored.tenant, stored.id, stored.record))
    } catch (thrown) {
      if (!(thrown instanceof KeyRecordError)) throw thrown
      corrupt.push(thrown)
    }
  }
  records.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))
  return { records: kind === 'signing' ? withOneActive(records) : records, corrupt }
}

/** What the key service is told of a stored key. */
export function contextOf(kind: StoredKeyKind, tenantId: string, keyId: string): KmsContext {
  return { tenantId, purpose: PURPOSES[kind], keyId }
}
