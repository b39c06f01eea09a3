import type { AdminProbes } from '../admin/options.ts'
import type { SigningConfig } from '../config/schema.ts'
import type { KeyLookup } from '../evidence/check.ts'
import { Verifier } from '../evidence/verify.ts'
import { jsonToProtobuf } from '../wire/json.ts'

/** The verdict of the HTTP endpoint: the verifier of the command, over the keys that this sidecar knows. */
export function createSpanVerifier(
  keys: KeyLookup,
  signing: SigningConfig | undefined,
): AdminProbes['verifySpan'] {
  return async (body) => {
    const verifier = new Verifier({ keys, expected: signing?.select })
    const spans = verifier.add(jsonToProtobuf(body, 'traces'))
    return { ...verifier.summary(), spans }
  }
}
