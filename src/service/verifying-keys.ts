// Public keys as a verifier looks them up: our own tenants', and those of sidecars before us that the operator trusts.
import { readFile } from 'node:fs/promises'
import type { SigningConfig } from '../config/schema.ts'
import { SidecarError } from '../errors.ts'
import { ed25519PublicKey, type KeyLookup } from '../evidence/check.ts'
import { keysFromJson } from '../evidence/key-file.ts'
import type { Keys } from '../keys/keys.ts'
import { macKeyOf } from './mac-key.ts'

/** Our own public keys, of the tenant that a statement names. */
export function ownPublicKeys(keys: Pick<Keys, 'publicKeys'>): KeyLookup {
  return (keyId, tenant) => {
    const record = keys.publicKeys(tenant ?? '').find((each) => each.keyId === keyId)
    if (record === undefined) return undefined
    const key = ed25519PublicKey(Buffer.from(record.publicKey, 'base64'))
    return { algorithm: 'ed25519-merkle-v1', key, isRevoked: record.status === 'REVOKED' }
  }
}

/** Our own secrets, with `hmac-sha256`. A MAC names no tenant, so those that signed since the start are tried. */
export function ownMacKeys(keys: Pick<Keys, 'signingKey'>, tenants: ReadonlySet<string>): KeyLookup {
  return (keyId) => {
    for (const tenant of tenants) {
      const key = keys.signingKey(tenant)
      if (key?.keyId === keyId) return { algorithm: 'hmac-sha256', key: macKeyOf(key).privateKey }
    }
    return undefined
  }
}

/** The keys of `processors.signing.trusted_keys_file`; none where it is not set. Rejects CONFIG. */
export async function trustedKeys(signing: SigningConfig | undefined): Promise<KeyLookup> {
  const path = signing?.trustedKeysFile
  if (path === undefined) return () => undefined
  try {
    return keysFromJson([JSON.parse(await readFile(path, 'utf8'))])
  } catch (cause) {
    const reason = cause instanceof SidecarError ? cause.message : 'cannot be read as JSON'
    throw new SidecarError('CONFIG', `processors.signing.trusted_keys_file: ${reason}`, { cause })
  }
}
