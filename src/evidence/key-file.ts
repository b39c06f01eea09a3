// Public keys as a file or the HTTP endpoint gives them: {tenantId, keys: [{keyId, algorithm, publicKey, status, …}]},
// or a list of such. Strict where it matters: an entry that cannot be read is an error, never a key that is not there.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { ed25519PublicKey } from '../formats/ed25519.ts'
import type { KeyEndorsement, KeyLookup, VerifyingKey } from './check.ts'

const RAW_BYTES = 32
const SPKI_BYTES = 44

/** An entry as it is judged. Empty `endorsedBy` and `endorsement`: a first key. */
export interface ListedKey {
  readonly keyId: string
  readonly publicKey: Uint8Array
  /** NaN where the list does not say it. */
  readonly createdMs: number
  readonly status: 'ACTIVE' | 'REVOKED'
  readonly endorsedBy: string
  readonly endorsement: Uint8Array
}

/** Who vouches for each key of one tenant's list, by key id (proto/key-endorsement.md §3). */
export type JudgeKeys = (tenant: string, keys: readonly ListedKey[]) => ReadonlyMap<string, KeyEndorsement>

/** Key id → entry, per tenant. */
type Lists = Map<string, Map<string, ListedKey>>

/** A lookup over the parsed JSON of one or more key files. Throws USAGE with what is wrong, without its value. */
export function keysFromJson(documents: readonly unknown[], judge: JudgeKeys): KeyLookup {
  const lists: Lists = new Map()
  const byId = new Map<string, VerifyingKey>()
  for (const document of documents) {
    for (const tenant of Array.isArray(document) ? document : [document]) addTenant(lists, byId, tenant)
  }
  for (const [tenant, list] of lists) {
    for (const [keyId, endorsement] of judge(tenant, [...list.values()])) {
      const key = byId.get(keyId)
      if (key !== undefined) byId.set(keyId, { ...key, endorsement })
    }
  }
  return (keyId) => byId.get(keyId)
}

function addTenant(lists: Lists, byId: Map<string, VerifyingKey>, tenant: unknown): void {
  if (!isRecord(tenant) || !Array.isArray(tenant.keys)) {
    throw new SidecarError('USAGE', 'a key file is {"tenantId", "keys": [...]} or a list of such')
  }
  const tenantId = typeof tenant.tenantId === 'string' ? tenant.tenantId : ''
  const list = lists.get(tenantId) ?? new Map<string, ListedKey>()
  lists.set(tenantId, list)
  for (const entry of tenant.keys) {
    if (!isRecord(entry) || typeof entry.keyId !== 'string' || typeof entry.publicKey !== 'string') {
      throw new SidecarError('USAGE', 'a key needs a keyId and a publicKey, both text')
    }
    if (typeof entry.algorithm === 'string' && !/^ed25519/i.test(entry.algorithm)) {
      throw new SidecarError('USAGE', 'a public key must be of algorithm Ed25519')
    }
    const key = publicKey(entry.publicKey)
    const known = byId.get(entry.keyId)
    if (known !== undefined && !known.key.equals(key)) {
      throw new SidecarError('USAGE', 'one key id names two different public keys')
    }
    const isRevoked = entry.status === 'REVOKED' || known?.isRevoked === true
    byId.set(entry.keyId, { algorithm: 'ed25519-merkle-v1', key, isRevoked })
    list.set(entry.keyId, listedKey(entry, entry.keyId, key, isRevoked, list.get(entry.keyId)))
  }
}

/** Listed twice, a key that one list has as a first one is trusted by other means, and needs nobody to vouch for it. */
function listedKey(
  entry: Record<string, unknown>,
  keyId: string,
  key: KeyObject,
  isRevoked: boolean,
  known: ListedKey | undefined,
): ListedKey {
  const { createdAt, endorsedBy, endorsement } = entry
  const status = isRevoked ? 'REVOKED' : 'ACTIVE'
  if (known?.endorsedBy === '' && known.endorsement.length === 0) return { ...known, status }
  return {
    keyId,
    publicKey: key.export({ format: 'der', type: 'spki' }).subarray(-RAW_BYTES),
    createdMs: typeof createdAt === 'string' ? Date.parse(createdAt) : Number.NaN,
    status,
    endorsedBy: typeof endorsedBy === 'string' ? endorsedBy : '',
    endorsement: Buffer.from(typeof endorsement === 'string' ? endorsement : '', 'base64'),
  }
}

/** Base64 or base64url of the 32 bytes, or of the SubjectPublicKeyInfo around them. */
function publicKey(text: string): KeyObject {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === RAW_BYTES) return ed25519PublicKey(bytes)
  try {
    const key = createPublicKey({ key: bytes, format: 'der', type: 'spki' })
    if (bytes.length === SPKI_BYTES && key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // Falls through: whatever it is, it is no Ed25519 key.
  }
  throw new SidecarError('USAGE', 'a publicKey is not base64 of an Ed25519 key')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
