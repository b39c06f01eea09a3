// Pseudonyms: equal values of a class get equal tokens, so they join, and nobody without the tenant's key can test a
// guess. Format: proto/sealed-value.md §6.
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { SidecarError } from '../errors.ts'
import { lengthPrefixed } from './context.ts'
import { KeyRecordError } from './key-record.ts'
import { CLASS_PATTERN, shortHash } from './sealed-value.ts'
import { createStoredKey, openStoredKey, type StoredKeyParts, storedKeys } from './stored-key.ts'

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
    const mac = createHmac('sha256', this.#key)
      .update(prefix)
      .update(value)
      .digest()
      .subarray(0, PSEUDONYM_BITS / 8)
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
    const added = { head: `tok.v1.${dataClass}.${this.kid}.`, prefix }
    this.#classes.set(dataClass, added)
    return added
  }
}

/** The tenant's oldest active key, so that tokens go on joining; a new one when it has none. */
export async function loadPseudonymKey(
  parts: StoredKeyParts,
  tenant: string,
  signal: AbortSignal,
): Promise<PseudonymKey> {
  const { records, corrupt } = storedKeys(parts.store, 'pseudonym', tenant)
  if (corrupt[0] !== undefined) throw corrupt[0] // another key would end the joins without a word
  const record = records.find(({ status }) => status === 'ACTIVE')
  if (record === undefined) return createPseudonymKey(parts, tenant, signal)
  const bytes = await openStoredKey(parts, 'pseudonym', record, signal)
  const key = new PseudonymKey(bytes)
  const isWhole = bytes.length === 32
  bytes.fill(0)
  if (!isWhole || key.kid !== record.id) throw new KeyRecordError('pseudonym', tenant, record.id)
  return key
}

async function createPseudonymKey(
  parts: StoredKeyParts,
  tenant: string,
  signal: AbortSignal,
): Promise<PseudonymKey> {
  const bytes = randomBytes(32)
  try {
    const key = new PseudonymKey(bytes)
    const publicKey = new Uint8Array(0)
    await createStoredKey(
      parts,
      { kind: 'pseudonym', tenant, id: key.kid, plaintext: bytes, publicKey },
      signal,
    )
    // Replicas that share a store may have made one each at once: all take the one that is oldest.
    const oldest = storedKeys(parts.store, 'pseudonym', tenant).records[0]
    return oldest === undefined || oldest.id === key.kid ? key : loadPseudonymKey(parts, tenant, signal)
  } finally {
    bytes.fill(0)
  }
}

function keepFirstBits(bytes: Uint8Array, bits: number): void {
  const whole = bits >> 3
  bytes[whole]! &= 0xff << (8 - (bits & 7))
  bytes.fill(0, whole + 1)
}
