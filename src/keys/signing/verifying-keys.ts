// Public keys as a verifier looks them up: our own tenants', and those of sidecars before us that the operator trusts.
import { readFile } from 'node:fs/promises'
import { SidecarError } from '../../base/errors.ts'
import { parseStrictJson } from '../../base/strict-json.ts'
import type { KeyLookup, VerifyingKey } from '../../evidence/check.ts'
import { keysFromJson } from '../../evidence/listed-keys.ts'
import { macKeyOf } from '../../evidence/mac-key.ts'
import { ed25519PublicKey } from '../../formats/ed25519.ts'
import type { PublicKeyRecord } from '../../formats/endorsement.ts'
import { endorsedKeyOf, judgeEndorsements } from '../../formats/endorsement.ts'
import { isTenantId } from '../../formats/tenant-id.ts'
import type { Keys } from '../keys.ts'

/** Our own keys: public ones of every age, and of the secrets those that sign now; MacKeys has the older ones. */
export function ownKeys(
  keys: Pick<Keys, 'publicKeys' | 'signingKey'>,
  signedSince: ReadonlyMap<string, string>,
): KeyLookup {
  return (keyId, tenant, algorithm) =>
    algorithm === 'hmac-sha256'
      ? ownSecret(keys, keyId, signedSince.get(keyId))
      : ownPublicKey(keys, keyId, tenant)
}

function ownPublicKey(
  keys: Pick<Keys, 'publicKeys'>,
  keyId: string,
  tenant: string | undefined,
): VerifyingKey | undefined {
  // A statement from outside may name anything as its tenant.
  if (tenant === undefined || !isTenantId(tenant)) return undefined
  const records = keys.publicKeys(tenant)
  const record = records.find((each) => each.keyId === keyId)
  if (record === undefined) return undefined
  const endorsement = verdictsOn(tenant, records).get(keyId)
  return {
    algorithm: 'ed25519-merkle-v1',
    key: ed25519PublicKey(Buffer.from(record.publicKey, 'base64')),
    isRevoked: record.status === 'REVOKED',
    ...(record.notAfter !== null && { notAfterMs: Date.parse(record.notAfter) }),
    ...(endorsement && { endorsement }),
    isPinned: true,
  }
}

// The list of a tenant is one object for as long as it is cached, and judging it costs a signature for each rotation.
const judged = new WeakMap<readonly PublicKeyRecord[], ReturnType<typeof judgeEndorsements>>()

function verdictsOn(
  tenant: string,
  records: readonly PublicKeyRecord[],
): ReturnType<typeof judgeEndorsements> {
  const verdicts = judged.get(records) ?? judgeEndorsements(tenant, records.map(endorsedKeyOf))
  judged.set(records, verdicts)
  return verdicts
}

/** A MAC names no tenant, so the one whose key it was is remembered. */
function ownSecret(
  keys: Pick<Keys, 'signingKey'>,
  keyId: string,
  tenant: string | undefined,
): VerifyingKey | undefined {
  const key = tenant === undefined ? undefined : keys.signingKey(tenant)
  if (tenant === undefined || key?.keyId !== keyId) return undefined
  return { algorithm: 'hmac-sha256', key: macKeyOf(key).privateKey, tenant, isPinned: true }
}

/** The keys of `processors.signing.trusted_keys_file`; none where it is not set. Rejects CONFIG. */
export async function trustedKeys(path: string | undefined): Promise<KeyLookup> {
  if (path === undefined) return () => undefined
  try {
    return keysFromJson([], { documents: [parseStrictJson(await readFile(path))] })
  } catch (cause) {
    const reason = cause instanceof SidecarError ? cause.message : 'cannot be read as JSON'
    throw new SidecarError('CONFIG', `processors.signing.trusted_keys_file: ${reason}`, { cause })
  }
}
