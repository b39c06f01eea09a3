import { createSecretKey, type KeyObject } from 'node:crypto'
import { hkdfSha256 } from '../formats/key-derivation.ts'
import type { SigningKey } from './evidence.ts'

const LABEL = 'betrace/span-mac/v1'
const derived = new WeakMap<KeyObject, SigningKey>()

/**
 * For `hmac-sha256`: a tenant's MAC key under the id of its signing key, HKDF-SHA-256 of the Ed25519 seed, so that it is
 * as stable, as private and as well wrapped as that. Who can check such a span can also make one.
 */
export function macKeyOf(signing: SigningKey): SigningKey {
  const known = derived.get(signing.privateKey)
  if (known) return known
  const { d } = signing.privateKey.export({ format: 'jwk' })
  const seed = Buffer.from(d!, 'base64url')
  const secret = hkdfSha256(seed, new Uint8Array(0), LABEL, 32)
  const key: SigningKey = {
    keyId: signing.keyId,
    privateKey: createSecretKey(secret),
  }
  seed.fill(0)
  secret.fill(0)
  derived.set(signing.privateKey, key)
  return key
}
