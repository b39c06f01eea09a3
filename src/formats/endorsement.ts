// What makes a chain of a tenant's signing keys: the old key signs a statement that names the new one, so that who trusts
// the first key can follow every rotation. Format: proto/key-endorsement.md.
import { type KeyObject, sign } from 'node:crypto'
import { ed25519PublicKey, verifyEd25519 } from './ed25519.ts'
import { lengthPrefixed, utf8 } from './key-context.ts'
import { shortHash } from './sealed-value.ts'

export const ENDORSEMENT_TYPE = 'application/vnd.betrace.key-endorsement.v1'
export const ENDORSEMENT_BYTES = 64
const KEY_ID_LABEL = 'betrace/signing-key/v1'

export type KeyStatus = 'ACTIVE' | 'ROTATED' | 'REVOKED'

/** What anybody may know of a signing key, as the public key endpoint and `keys export` show it. */
export interface PublicKeyRecord {
  readonly keyId: string
  readonly algorithm: 'Ed25519'
  /** The 32 bytes, base64. */
  readonly publicKey: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly notAfter: string | null
  readonly status: KeyStatus
  /** The key that vouched for this one; null for a tenant's first. */
  readonly endorsedBy: string | null
  /** Its signature, base64; see proto/key-endorsement.md. */
  readonly endorsement: string | null
}

/** What the old key says about the new one. */
export interface Endorsement {
  readonly tenant: string
  readonly keyId: string
  /** The new key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** The old key. */
  readonly endorsedBy: string
  /** When the new key was made, milliseconds since the epoch. */
  readonly createdMs: number
}

/** A key of a tenant as its verifier knows it. */
export interface EndorsedKey {
  readonly keyId: string
  readonly publicKey: Uint8Array
  readonly createdMs: number
  /** When it ended: it vouches for no statement and no key of a later time. */
  readonly notAfterMs?: number | undefined
  readonly status: KeyStatus
  /** Empty for a first key. */
  readonly endorsedBy: string
  readonly endorsement: Uint8Array
}

/**
 * `first`: nobody vouches for it, so it must be trusted by other means. `endorsed`: a chain of good signatures leads to
 * a first key. The others say what is wrong with the nearest bad link.
 */
export type EndorsementVerdict = 'first' | 'endorsed' | 'endorser_unknown' | 'endorser_revoked' | 'bad'

/** The name of a signing key: a labelled hash of its public half. */
export function signingKeyId(publicKey: Uint8Array): string {
  return shortHash(KEY_ID_LABEL, publicKey)
}

/** An entry of a public key list, which is text, as it is judged. */
export function endorsedKeyOf(record: PublicKeyRecord): EndorsedKey {
  return {
    keyId: record.keyId,
    publicKey: Buffer.from(record.publicKey, 'base64'),
    createdMs: Date.parse(record.createdAt),
    notAfterMs: record.notAfter === null ? undefined : Date.parse(record.notAfter),
    status: record.status,
    endorsedBy: record.endorsedBy ?? '',
    endorsement: Buffer.from(record.endorsement ?? '', 'base64'),
  }
}

/** The bytes that are signed: DSSE's PAE, so that no signature of another kind can be taken for this one. */
export function endorsementBytes(endorsement: Endorsement): Uint8Array {
  const created = Buffer.alloc(8)
  created.writeBigInt64BE(BigInt(endorsement.createdMs))
  const statement = Buffer.concat([
    lengthPrefixed(utf8(endorsement.tenant)),
    lengthPrefixed(utf8(endorsement.keyId)),
    lengthPrefixed(endorsement.publicKey),
    lengthPrefixed(utf8(endorsement.endorsedBy)),
    created,
  ])
  const head = `DSSEv1 ${ENDORSEMENT_TYPE.length} ${ENDORSEMENT_TYPE} ${statement.length} `
  return Buffer.concat([Buffer.from(head, 'latin1'), statement])
}

/** 64 bytes, by the private half of `endorsedBy`. */
export function signEndorsement(endorsement: Endorsement, privateKey: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, endorsementBytes(endorsement), privateKey))
}

/** Whether `signature` is the endorsing key's over exactly this endorsement. */
export function checkEndorsement(
  endorsement: Endorsement,
  endorserPublicKey: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (endorserPublicKey.length !== 32 || signature.length !== ENDORSEMENT_BYTES) return false
  if (!Number.isSafeInteger(endorsement.createdMs)) return false
  return verifyEd25519(ed25519PublicKey(endorserPublicKey), endorsementBytes(endorsement), signature)
}

/** A verdict on each key of one tenant, by key id. Follows chains of any length, and circles end as `bad`. */
export function judgeEndorsements(
  tenant: string,
  keys: readonly EndorsedKey[],
): ReadonlyMap<string, EndorsementVerdict> {
  const byId = new Map(keys.map((key) => [key.keyId, key]))
  const verdicts = new Map<string, EndorsementVerdict>()
  for (const key of keys) {
    // Down to the first key that is judged, then back up, so that a hundred rotations need no deep stack.
    const path: EndorsedKey[] = []
    const onPath = new Set<string>()
    let at: EndorsedKey | undefined = key
    while (at !== undefined && !verdicts.has(at.keyId) && !onPath.has(at.keyId)) {
      path.push(at)
      onPath.add(at.keyId)
      at = byId.get(at.endorsedBy)
    }
    for (const each of path.reverse()) verdicts.set(each.keyId, judge(tenant, each, byId, verdicts))
  }
  return verdicts
}

function judge(
  tenant: string,
  key: EndorsedKey,
  byId: ReadonlyMap<string, EndorsedKey>,
  verdicts: ReadonlyMap<string, EndorsementVerdict>,
): EndorsementVerdict {
  if (key.endorsedBy === '') return key.endorsement.length === 0 ? 'first' : 'bad'
  const endorser = byId.get(key.endorsedBy)
  if (endorser === undefined) return 'endorser_unknown'
  if (!checkEndorsement({ ...key, tenant }, endorser.publicKey, key.endorsement)) return 'bad'
  if (endorser.status === 'REVOKED') return 'endorser_revoked'
  if (key.createdMs > (endorser.notAfterMs ?? Number.POSITIVE_INFINITY)) return 'bad'
  const below = verdicts.get(endorser.keyId) ?? 'bad'
  return below === 'first' ? 'endorsed' : below
}
