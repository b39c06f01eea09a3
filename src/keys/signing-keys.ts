// Ed25519 keys that sign a tenant's evidence. Made here, wrapped by the key service, and stored with their public half
// before the first signature, so that there is never a signature whose key nobody can show.
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { type KeyRecord, KeyRecordError, type KeyStatus } from './key-record.ts'
import { shortHash } from './sealed-value.ts'
import { createStoredKey, openStoredKey, type StoredKeyParts, storedKeys } from './stored-key.ts'

export interface SigningKey {
  readonly keyId: string
  readonly privateKey: KeyObject
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

/** What anybody may know of a signing key, as the public key endpoint and `keys export` show it. */
export interface PublicKeyRecord {
  readonly keyId: string
  readonly algorithm: 'Ed25519'
  /** The 32 bytes, base64. */
  readonly publicKey: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly notAfter: string | null
  readonly status: KeyStatus
  /** The key that vouched for this one; null for a tenant's first. */
  readonly endorsedBy: string | null
}

const KEY_ID_LABEL = 'betrace/signing-key/v1'
// RFC 8410: an Ed25519 private key in PKCS #8 is this prefix and the 32-byte seed.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX_BYTES = 12

/** The name of a signing key: the first 12 characters of a labelled hash of its public half. */
export function signingKeyId(publicKey: Uint8Array): string {
  return shortHash(KEY_ID_LABEL, publicKey)
}

/**
 * The tenant's newest active key; a new one when it has none. Rejects with `KmsError`, and with `KeyRecordError` when
 * the key that it would need is damaged: a new key in its place would look like an attack to an auditor.
 */
export async function loadSigningKey(
  parts: StoredKeyParts,
  tenant: string,
  signal: AbortSignal,
): Promise<SigningKey> {
  const { records, corrupt } = storedKeys(parts.store, 'signing', tenant)
  const record = records.findLast(({ status }) => status === 'ACTIVE')
  if (record === undefined) {
    if (corrupt[0] !== undefined) throw corrupt[0]
    return createSigningKey(parts, tenant, signal)
  }
  const seed = await openStoredKey(parts, 'signing', record, signal)
  const key = seed.length === 32 ? fromSeed(seed) : undefined
  seed.fill(0)
  if (key === undefined || key.keyId !== record.id || !Buffer.from(key.publicKey).equals(record.publicKey)) {
    throw new KeyRecordError('signing', tenant, record.id)
  }
  return key
}

/** What of a stored record anybody may know. */
export function publicKeyRecord(record: KeyRecord): PublicKeyRecord {
  return {
    keyId: record.id,
    algorithm: 'Ed25519',
    publicKey: Buffer.from(record.publicKey).toString('base64'),
    createdAt: new Date(record.createdMs).toISOString(),
    notAfter: record.notAfterMs === undefined ? null : new Date(record.notAfterMs).toISOString(),
    status: record.status,
    endorsedBy: record.endorsedBy === '' ? null : record.endorsedBy,
  }
}

async function createSigningKey(
  parts: StoredKeyParts,
  tenant: string,
  signal: AbortSignal,
): Promise<SigningKey> {
  const seed = randomBytes(32)
  try {
    const key = fromSeed(seed)
    const { keyId, publicKey } = key
    await createStoredKey(parts, { kind: 'signing', tenant, id: keyId, plaintext: seed, publicKey }, signal)
    return key
  } finally {
    seed.fill(0)
  }
}

function fromSeed(seed: Uint8Array): SigningKey {
  const der = Buffer.concat([PKCS8_PREFIX, seed])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX_BYTES))
  return { keyId: signingKeyId(publicKey), privateKey, publicKey }
}
