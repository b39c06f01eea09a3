// Lists of public keys as the command and the HTTP endpoint give them (proto/key-endorsement.md): {"tenantId", "keys"}, or
// several such in an array. Read strictly, since whoever reads one trusts by it: a list in which anything is unclear vouches
// for nothing, and no entry of it is passed over.
import { SidecarError } from '../base/errors.ts'
import { isSoundPublicKey } from './ed25519.ts'
import { type EndorsedKey, signingKeyId } from './endorsement.ts'
import { isTenantId } from './tenant-id.ts'

/** A tenant's keys by key id. */
export interface KeyList {
  readonly tenantId: string
  readonly keys: ReadonlyMap<string, EndorsedKey>
}

/** Keys of one file. Each may cost a signature to judge. */
export const LISTED_KEYS_MAX = 50_000

const STATUSES = ['ACTIVE', 'ROTATED', 'REVOKED'] as const

/** Throws USAGE with what is wrong, without its value. */
export function readKeyLists(document: unknown): KeyList[] {
  const lists = new Map<string, Map<string, EndorsedKey>>()
  let count = 0
  for (const list of Array.isArray(document) ? document : [document]) {
    if (!isObject(list) || typeof list.tenantId !== 'string' || !Array.isArray(list.keys))
      throw unusable('a key file is {"tenantId", "keys": [...]} or a list of such')
    if (!isTenantId(list.tenantId)) throw unusable('a tenantId is not one')
    const keys = lists.get(list.tenantId) ?? new Map<string, EndorsedKey>()
    lists.set(list.tenantId, keys)
    count += list.keys.length
    if (count > LISTED_KEYS_MAX) throw unusable('has too many keys')
    for (const entry of list.keys) {
      const key = readKey(entry)
      const known = keys.get(key.keyId)
      if (known !== undefined && !isSame(known, key))
        throw unusable('a key is listed twice, with different facts')
      keys.set(key.keyId, key)
    }
  }
  return [...lists].map(([tenantId, keys]) => ({ tenantId, keys }))
}

/**
 * Lists from several files, by tenant. A key's status and end may have moved on from one to the other, and the later ones
 * count; nothing else of it changes in its life. Throws USAGE.
 */
export function mergeKeyLists(lists: Iterable<KeyList>): Map<string, Map<string, EndorsedKey>> {
  const merged = new Map<string, Map<string, EndorsedKey>>()
  for (const { tenantId, keys } of lists) {
    const all = merged.get(tenantId) ?? new Map<string, EndorsedKey>()
    merged.set(tenantId, all)
    for (const key of keys.values()) {
      const known = all.get(key.keyId)
      all.set(key.keyId, known === undefined ? key : later(known, key))
    }
  }
  return merged
}

function later(one: EndorsedKey, other: EndorsedKey): EndorsedKey {
  if (!isSame(one, { ...other, status: one.status, notAfterMs: one.notAfterMs }))
    throw unusable('a key is listed twice, with different facts')
  const isOneLater = STATUSES.indexOf(one.status) > STATUSES.indexOf(other.status)
  const ends = [one.notAfterMs, other.notAfterMs].filter((end) => end !== undefined)
  return {
    ...one,
    status: isOneLater ? one.status : other.status,
    notAfterMs: ends.length === 0 ? undefined : Math.min(...ends),
  }
}

function readKey(entry: unknown): EndorsedKey {
  if (!isObject(entry)) throw unusable('a key is not an object')
  const { keyId, algorithm, status } = entry
  if (algorithm !== 'Ed25519') throw unusable('a key is not of algorithm Ed25519')
  const publicKey = base64(entry.publicKey, 'a publicKey')
  if (!isSoundPublicKey(publicKey)) throw unusable('a publicKey is not one of Ed25519')
  if (keyId !== signingKeyId(publicKey)) throw unusable('a keyId is not that of its publicKey')
  const known = STATUSES.find((each) => each === status)
  if (known === undefined) throw unusable('a status is not ACTIVE, ROTATED or REVOKED')
  const { endorsedBy = null, notAfter = null, endorsement = null } = entry
  if (endorsedBy !== null && (typeof endorsedBy !== 'string' || endorsedBy === ''))
    throw unusable('an endorsedBy is neither null nor a key id')
  return {
    keyId,
    publicKey,
    createdMs: time(entry.createdAt, 'a createdAt'),
    notAfterMs: notAfter === null ? undefined : time(notAfter, 'a notAfter'),
    status: known,
    endorsedBy: endorsedBy ?? '',
    endorsement: endorsement === null ? new Uint8Array(0) : base64(endorsement, 'an endorsement'),
  }
}

/** RFC 4648 §4, padded, in the one spelling; of one byte at least. */
function base64(text: unknown, what: string): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : Buffer.alloc(0)
  if (bytes.length === 0 || bytes.toString('base64') !== text) throw unusable(`${what} is not base64`)
  return new Uint8Array(bytes)
}

/** Milliseconds; as `toISOString` writes them. */
function time(text: unknown, what: string): number {
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms) || ms < 0 || new Date(ms).toISOString() !== text)
    throw unusable(`${what} is not a time`)
  return ms
}

function isSame(one: EndorsedKey, other: EndorsedKey): boolean {
  return (
    one.createdMs === other.createdMs &&
    one.notAfterMs === other.notAfterMs &&
    one.status === other.status &&
    one.endorsedBy === other.endorsedBy &&
    Buffer.compare(one.publicKey, other.publicKey) === 0 &&
    Buffer.compare(one.endorsement, other.endorsement) === 0
  )
}

function unusable(message: string): SidecarError {
  return new SidecarError('USAGE', message)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
