import type { AdminProbes } from '../admin/options.ts'
import type { SigningConfig } from '../config/schema.ts'
import { ed25519PublicKey, type KeyLookup } from '../evidence/check.ts'
import { Verifier } from '../evidence/verify.ts'
import type { Keys } from '../keys/keys.ts'
import { jsonToProtobuf } from '../wire/json.ts'

/** The verdict of the HTTP endpoint: the verifier of the command, over the keys that this sidecar knows. */
export function createSpanVerifier(
  keys: Keys,
  signing: SigningConfig | undefined,
): AdminProbes['verifySpan'] {
  const lookup: KeyLookup = (keyId, tenant) => {
    if (tenant === undefined) return undefined
    const record = keys.publicKeys(tenant).find((each) => each.keyId === keyId)
    if (record === undefined) return undefined
    const key = ed25519PublicKey(Buffer.from(record.publicKey, 'base64'))
    return { algorithm: 'ed25519-merkle-v1', key, isRevoked: record.status === 'REVOKED' }
  }
  return async (body) => {
    const verifier = new Verifier({ keys: lookup, expected: signing?.select })
    const spans = verifier.add(jsonToProtobuf(body, 'traces'))
    return { ...verifier.summary(), spans }
  }
}
