// Pseudonyms: equal values of a class get equal tokens, so they join, and nobody without the tenant's key can test a
// guess. Format: proto/sealed-value.md §6.
import { createSecretKey, type KeyObject } from 'node:crypto'
import { SidecarError } from '../base/errors.ts'
import { lengthPrefixed } from './key-context.ts'
import { hmacSha256 } from './key-derivation.ts'
import { CLASS_PATTERN, shortHash } from './sealed-value.ts'
import { PSEUDONYM_PREFIX } from './token-bytes.ts'

export interface Pseudonymizer {
  /**
   * `tok.v1.<class>.<kid>.<22 chars>`. `value` is the bytes inside the AnyValue. `beaconBits`, 1 to 127, keeps only so
   * many bits. Throws INTERNAL for a class outside `[A-Za-z0-9_-]{1,64}`.
   */
  pseudonym(dataClass: string, value: Uint8Array, beaconBits?: number): string
}

export const PSEUDONYM_BITS = 128

const MAC_LABEL = 'betrace/pseudonym/v1'
const KID_LABEL = 'betrace/pseudonym-key/v1'

export class PseudonymKey implements Pseudonymizer {
  readonly kid: string
  readonly #key: KeyObject
  readonly #classes = new Map<string, { readonly head: string; readonly prefix: Buffer }>()

  /** Copies the 32 bytes; the caller zeroes its own. */
  constructor(bytes: Uint8Array) {
    this.kid = shortHash(KID_LABEL, bytes)
    this.#key = createSecretKey(bytes)
  }

  pseudonym(dataClass: string, value: Uint8Array, beaconBits = PSEUDONYM_BITS): string {
    const { head, prefix } = this.#classes.get(dataClass) ?? this.#addClass(dataClass)
    const mac = hmacSha256(this.#key, prefix, value).subarray(0, PSEUDONYM_BITS / 8)
    if (beaconBits >= PSEUDONYM_BITS) return head + mac.toString('base64url')
    keepFirstBits(mac, beaconBits)
    return head + mac.toString('base64url').slice(0, Math.ceil(beaconBits / 6))
  }

  // Classes come from the policy, so there are few.
  #addClass(dataClass: string): { readonly head: string; readonly prefix: Buffer } {
    if (!CLASS_PATTERN.test(dataClass))
      throw new SidecarError('INTERNAL', 'data class has characters outside its alphabet')
    const prefix = Buffer.concat([
      lengthPrefixed(Buffer.from(MAC_LABEL)),
      lengthPrefixed(Buffer.from(dataClass)),
    ])
    const added = { head: `${PSEUDONYM_PREFIX}${dataClass}.${this.kid}.`, prefix }
    this.#classes.set(dataClass, added)
    return added
  }
}

function keepFirstBits(bytes: Uint8Array, bits: number): void {
  const whole = bits >> 3
  bytes[whole]! &= 0xff << (8 - (bits & 7))
  bytes.fill(0, whole + 1)
}
