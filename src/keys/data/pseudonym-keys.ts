// Where a tenant's pseudonym key comes from: what the operator gave to every replica, else the key store. It outlives every
// rotation unless one asks for it, since a new key ends the joins between old tokens and new ones.
import { randomBytes } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import { PseudonymKey } from '../../formats/pseudonym.ts'
import { encodeKeyRecord, KeyRecordError } from '../records/key-record.ts'
import { createStoredKey, openStoredKey, type StoredKeySettings, storedKeys } from '../records/stored-key.ts'
import { type GivenPseudonymKeys, openGivenKey } from './pseudonym-file.ts'

/** The given key, else the tenant's oldest active one, so that tokens go on joining; a new one when it has none. */
export async function loadPseudonymKey(
  parts: StoredKeySettings,
  given: GivenPseudonymKeys | undefined,
  tenant: string,
  abort: AbortSignal,
): Promise<PseudonymKey> {
  return (given && (await openGivenKey(given, parts.kms, tenant, abort))) ?? loadStored(parts, tenant, abort)
}

/**
 * A new key, on request only. The old record ends last: until then the oldest active key, which is the old one, serves,
 * so a death on the way leaves the tenant where it was. `undefined` when it has none yet. Rejects USAGE for a given key.
 */
export async function rotatePseudonymKey(
  parts: StoredKeySettings,
  given: GivenPseudonymKeys | undefined,
  tenant: string,
  abort: AbortSignal,
): Promise<PseudonymKey | undefined> {
  if (given?.tenants.has(tenant) === true || given?.shared !== undefined) {
    throw new SidecarError('USAGE', 'the pseudonym key is given by kms.pseudonym_key_file, and changes there')
  }
  const { records, corrupt } = storedKeys(parts.store, 'pseudonym', tenant)
  if (corrupt[0] !== undefined) throw corrupt[0]
  const [old, waiting] = records.filter(({ status }) => status === 'ACTIVE')
  if (old === undefined) return undefined
  // One that an earlier attempt, or another replica at its start, left behind takes over before a third is made.
  if (waiting === undefined) await createPseudonymKey(parts, tenant, abort, old.createdMs + 1)
  const end = { ...old, status: 'ROTATED', notAfterMs: parts.clock.nowMs() } as const
  await parts.store.put('pseudonym', tenant, old.id, encodeKeyRecord('pseudonym', end))
  return loadStored(parts, tenant, abort)
}

async function loadStored(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
): Promise<PseudonymKey> {
  const { records, corrupt } = storedKeys(parts.store, 'pseudonym', tenant)
  if (corrupt[0] !== undefined) throw corrupt[0] // another key would end the joins without a word
  const record = records.find(({ status }) => status === 'ACTIVE')
  if (record === undefined) return createFirst(parts, tenant, abort)
  const bytes = await openStoredKey(parts, 'pseudonym', record, abort)
  const key = new PseudonymKey(bytes)
  const isWhole = bytes.length === 32
  bytes.fill(0)
  if (!isWhole || key.kid !== record.id) throw new KeyRecordError('pseudonym', tenant, record.id)
  return key
}

async function createFirst(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
): Promise<PseudonymKey> {
  const key = await createPseudonymKey(parts, tenant, abort, 0)
  // Replicas that share a store may have made one each at once: all take the one that is oldest.
  const oldest = storedKeys(parts.store, 'pseudonym', tenant).records.find(
    ({ status }) => status === 'ACTIVE',
  )
  return oldest === undefined || oldest.id === key.kid ? key : loadStored(parts, tenant, abort)
}

/** `createdMsMin` keeps a clock that was set back from putting a new key before the old one. */
async function createPseudonymKey(
  parts: StoredKeySettings,
  tenant: string,
  abort: AbortSignal,
  createdMsMin: number,
): Promise<PseudonymKey> {
  const bytes = randomBytes(32)
  try {
    const key = new PseudonymKey(bytes)
    const createdMs = Math.max(parts.clock.nowMs(), createdMsMin)
    const publicKey = new Uint8Array(0)
    await createStoredKey(
      parts,
      { kind: 'pseudonym', tenant, id: key.kid, plaintext: bytes, publicKey, createdMs },
      abort,
    )
    return key
  } finally {
    bytes.fill(0)
  }
}
