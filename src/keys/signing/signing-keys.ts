// Ed25519 keys that sign a tenant's evidence. Made here, wrapped by the key service, and stored with their public half
// before the first signature, so that there is never a signature whose key nobody can show.
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import type { SigningKey as StatementKey } from '../../evidence/chain.ts'
import {
  judgeEndorsements,
  type PublicKeyRecord,
  signEndorsement,
  signingKeyId,
} from '../../formats/endorsement.ts'
import { ended } from '../records/key-history.ts'
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord, KeyRecordError } from '../records/key-record.ts'
import {
  createStoredKey,
  type NewStoredKey,
  openStoredKey,
  type StoredKeySettings,
  storedKeys,
} from '../records/stored-key.ts'

/** Ed25519. */
export interface SigningKey extends StatementKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

// RFC 8410: an Ed25519 private key in PKCS #8 is this prefix and the 32-byte seed.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX_BYTES = 12

/**
 * The tenant's newest active key; a new one when it has none. Rejects with `KmsError`, and with `KeyRecordError` when
 * the key that it would need is damaged: a new key in its place would look like an attack to an auditor.
 */
export async function loadSigningKey(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
): Promise<SigningKey> {
  const { records, corrupt } = storedKeys(parts.store, 'signing', tenant)
  const record = records.findLast(({ status }) => status === 'ACTIVE')
  if (record === undefined) {
    if (corrupt[0] !== undefined) throw corrupt[0]
    return createSigningKey(parts, tenant, abort)
  }
  return openSigningKey(parts, record, abort)
}

export interface RotatedSigningKey {
  readonly key: SigningKey
  /** The key that it took over from. */
  readonly previousKeyId: string
}

/**
 * A new key, endorsed by the active one, which ends. `undefined` when the tenant has none: it gets its first with its
 * first signature. Written in this order: new record, end of the old; a death between them changes nothing, since a key
 * that has a successor is over (key-history.ts). Rejects as `loadSigningKey` does.
 */
export async function rotateSigningKey(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
): Promise<RotatedSigningKey | undefined> {
  const { records, corrupt } = storedKeys(parts.store, 'signing', tenant)
  const old = records.findLast(({ status }) => status === 'ACTIVE')
  if (old === undefined && corrupt[0] !== undefined) throw corrupt[0]
  if (old === undefined) return undefined
  const oldKey = await openSigningKey(parts, old, abort)
  // A clock that was set back must not put the new key before the old one.
  const createdMs = Math.max(parts.clock.nowMs(), old.createdMs + 1)
  const key = await createSigningKey(parts, tenant, abort, { createdMs, endorser: oldKey })
  const end = encodeKeyRecord('signing', ended(old, { createdMs }))
  // The new key is durable and in force by now; that the old one is over follows from it, so nobody needs to hear of this.
  await parts.store.put('signing', tenant, old.id, end).catch(() => undefined)
  return { key, previousKeyId: old.id }
}

/** The private key of one record, whatever its status. Rejects with `KmsError` or `KeyRecordError`. */
export async function openSigningKey(
  parts: StoredKeySettings,
  record: KeyRecord,
  abort: AbortSignal,
): Promise<SigningKey> {
  const seed = await openStoredKey(parts, 'signing', record, abort)
  const key = seed.length === 32 ? fromSeed(seed) : undefined
  seed.fill(0)
  if (key === undefined || key.keyId !== record.id || !Buffer.from(key.publicKey).equals(record.publicKey)) {
    throw new KeyRecordError('signing', record.tenant, record.id)
  }
  return key
}

export interface Revocation {
  /** False when it was revoked before. */
  readonly isNew: boolean
  /** Keys that signed until now, and for which nobody vouches any more. */
  readonly endedKeyIds: readonly string[]
}

/**
 * Ends a key for good: nothing that it signed counts any more, and no key that it endorsed. Was the one in use such a
 * key, it is over too, and the next signature makes a first key. Written in this order: the end of the key in use, the
 * revocation; a death between them leaves no key in use, and the next call does the rest. Rejects with `KeyRecordError`
 * when the record is not there or damaged.
 */
export async function revokeSigningKey(
  parts: Pick<StoredKeySettings, 'store' | 'clock'>,
  tenant: string,
  keyId: string,
): Promise<Revocation> {
  const bytes = parts.store.get('signing', tenant, keyId)
  if (bytes === undefined) throw new KeyRecordError('signing', tenant, keyId)
  const record = decodeKeyRecord('signing', tenant, keyId, bytes)
  const isNew = record.status !== 'REVOKED'
  const notAfterMs = Math.min(record.notAfterMs ?? Number.POSITIVE_INFINITY, parts.clock.nowMs())
  const revoked: KeyRecord = isNew ? { ...record, status: 'REVOKED', notAfterMs } : record
  const isUnvouched = (key: KeyRecord, records: readonly KeyRecord[]): boolean => {
    const judged = records.map((each) => ({ ...(each.id === keyId ? revoked : each), keyId: each.id }))
    return key.id !== keyId && judgeEndorsements(tenant, judged).get(key.id) === 'endorser_revoked'
  }
  const endedKeyIds = await endActive(parts, tenant, isUnvouched)
  if (isNew) await parts.store.put('signing', tenant, keyId, encodeKeyRecord('signing', revoked))
  return { isNew, endedKeyIds }
}

/**
 * Ends the key in use without a successor: what it signed stays good, rotation passes the tenant over, and its next
 * signature, if there is ever one, makes a first key. Needs no key service. The ids of the keys that were in use.
 */
export function retireSigningKey(
  parts: Pick<StoredKeySettings, 'store' | 'clock'>,
  tenant: string,
): Promise<readonly string[]> {
  return endActive(parts, tenant, () => true)
}

/** One after the other, since behind an active key an older one may come to light that never was ended. */
async function endActive(
  { store, clock }: Pick<StoredKeySettings, 'store' | 'clock'>,
  tenant: string,
  isToEnd: (key: KeyRecord, records: readonly KeyRecord[]) => boolean,
): Promise<string[]> {
  const endedIds: string[] = []
  for (;;) {
    const { records } = storedKeys(store, 'signing', tenant)
    const active = records.findLast(({ status }) => status === 'ACTIVE')
    if (active === undefined || !isToEnd(active, records)) return endedIds
    const end = ended(active, { createdMs: clock.nowMs() })
    await store.put('signing', tenant, active.id, encodeKeyRecord('signing', end))
    endedIds.push(active.id)
  }
}

/** What of a stored record anybody may know. */
export function publicKeyRecord(record: KeyRecord): PublicKeyRecord {
  return {
    keyId: record.id,
    algorithm: 'Ed25519',
    publicKey: Buffer.from(record.publicKey).toString('base64'),
    createdAt: new Date(record.createdMs).toISOString(),
    notAfter: record.notAfterMs === undefined ? null : new Date(record.notAfterMs).toISOString(),
    status: record.status,
    endorsedBy: record.endorsedBy === '' ? null : record.endorsedBy,
    endorsement: record.endorsement.length === 0 ? null : Buffer.from(record.endorsement).toString('base64'),
  }
}

interface Succession {
  readonly createdMs: number
  readonly endorser: SigningKey
}

async function createSigningKey(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
  succession?: Succession,
): Promise<SigningKey> {
  const seed = randomBytes(32)
  try {
    const key = fromSeed(seed)
    const { keyId, publicKey } = key
    const endorsed = succession && endorse(tenant, key, succession)
    await createStoredKey(
      parts,
      { kind: 'signing', tenant, id: keyId, plaintext: seed, publicKey, ...endorsed },
      abort,
    )
    return key
  } finally {
    seed.fill(0)
  }
}

function endorse(
  tenant: string,
  { keyId, publicKey }: SigningKey,
  { createdMs, endorser }: Succession,
): Pick<NewStoredKey, 'createdMs' | 'endorsedBy'> {
  const endorsement = { tenant, keyId, publicKey, endorsedBy: endorser.keyId, createdMs }
  const signature = signEndorsement(endorsement, endorser.privateKey)
  return { createdMs, endorsedBy: { keyId: endorser.keyId, signature } }
}

function fromSeed(seed: Uint8Array): SigningKey {
  const der = Buffer.concat([PKCS8_PREFIX, seed])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX_BYTES))
  return { keyId: signingKeyId(publicKey), privateKey, publicKey }
}
