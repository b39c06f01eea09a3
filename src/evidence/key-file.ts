// Public keys as a file or the HTTP endpoint gives them: {tenantId, keys: [{keyId, algorithm, publicKey, status, …}]},
// or a list of such. Strict where it matters: an entry that cannot be read is an error, never a key that is not there.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { SidecarError } from '../errors.ts'
import { ed25519PublicKey, type KeyLookup, type VerifyingKey } from './check.ts'

const RAW_BYTES = 32
const SPKI_BYTES = 44

/** A lookup over the parsed JSON of one or more key files. Throws USAGE with what is wrong, without its value. */
export function keysFromJson(documents: readonly unknown[]): KeyLookup {
  const byId = new Map<string, VerifyingKey>()
  for (const document of documents) {
    for (const tenant of Array.isArray(document) ? document : [document]) addTenant(byId, tenant)
  }
  return (keyId) => byId.get(keyId)
}

function addTenant(byId: Map<string, VerifyingKey>, tenant: unknown): void {
  if (!isRecord(tenant) || !Array.isArray(tenant.keys)) {
    throw new SidecarError('USAGE', 'a key file is {"tenantId", "keys": [...]} or a list of such')
  }
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
