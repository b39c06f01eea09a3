import { SidecarError } from '../base/errors.ts'
import { VERIFY_SPANS_MAX } from '../base/limits.ts'
import type { KeyLookup } from '../evidence/check.ts'
import type { PolicyOptions } from '../evidence/policy.ts'
import type { Coverage } from '../evidence/statement.ts'
import { Verifier } from '../evidence/verify.ts'
import type { MacKeys } from '../keys/signing/mac-keys.ts'
import { countItems } from '../wire/item-count.ts'
import { jsonToProtobuf } from '../wire/json.ts'
import type { AdminProbes } from './options.ts'

export interface SpanVerifierSettings {
  /** The keys at hand. */
  readonly keys: KeyLookup
  readonly macKeys: Pick<MacKeys, 'load'>
  /** `undefined`: nothing has to be signed. */
  readonly expected: PolicyOptions['select'] | undefined
  /** What our own MACs cover; the default where nothing is signed. */
  readonly coverage: Coverage | undefined
}

/** The verdict of the HTTP endpoint: the verifier of the command, over the keys that this sidecar knows. */
export function createSpanVerifier(parts: SpanVerifierSettings): AdminProbes['verifySpan'] {
  const { macKeys, expected, coverage } = parts
  const verify = (body: Uint8Array, keys: KeyLookup) => {
    const verifier = new Verifier({ keys, expected, macCoverage: coverage })
    const spans = verifier.add(body)
    return { ...verifier.summary(), spans }
  }
  return async (json, abort) => {
    const body = jsonToProtobuf(json, 'traces')
    if (countItems('traces', body) > VERIFY_SPANS_MAX)
      throw new SidecarError('TOO_LARGE', `more than ${VERIFY_SPANS_MAX} spans to verify`)
    // Public keys are all at hand: one that is not known or not trusted is no question for the key service.
    const missing = new Set<string>()
    const first = verify(body, (keyId, tenant, algorithm) => {
      const key = parts.keys(keyId, tenant, algorithm)
      if (algorithm === 'hmac-sha256' && key?.algorithm !== algorithm) missing.add(keyId)
      return key
    })
    const old = await macKeys.load(missing, abort)
    if (old.size === 0) return first
    return verify(body, (keyId, tenant, algorithm) =>
      algorithm === 'hmac-sha256'
        ? (old.get(keyId) ?? parts.keys(keyId, tenant, algorithm))
        : parts.keys(keyId, tenant, algorithm),
    )
  }
}
