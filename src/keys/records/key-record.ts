// A wrapped key in the key store: one line of JSON and a checksum, so that a damaged record is found when it is read and
// named, and never mistaken for a key.
import { createHash } from 'node:crypto'
import { SidecarError } from '../../base/errors.ts'
import type { KeyStatus } from '../../formats/endorsement.ts'
import { base64urlBytes } from '../../formats/sealed-value.ts'
import type { KeyRecordKind } from './keystore.ts'

const STATUSES: readonly KeyStatus[] = ['ACTIVE', 'ROTATED', 'REVOKED']

export interface KeyRecord {
  readonly tenant: string
  readonly id: string
  readonly provider: string
  readonly masterKeyId: string
  readonly wrappedKey: Uint8Array
  /** Public half, 32 bytes; empty for symmetric keys. */
  readonly publicKey: Uint8Array
  readonly createdMs: number
  readonly notAfterMs: number | undefined
  readonly status: KeyStatus
  /** The key that vouched for this one; empty for a first key. */
  readonly endorsedBy: string
  /** Its signature, see endorsement.ts; empty for a first key. */
  readonly endorsement: Uint8Array
}

/** A record of the key store that is not what it should be. `record` names it: `kind/tenant/id`. */
export class KeyRecordError extends SidecarError {
  readonly record: string
  readonly parts: readonly [kind: KeyRecordKind, tenant: string, id: string]

  constructor(kind: KeyRecordKind, tenant: string, id: string, cause?: unknown) {
    super('KEY_RECORD_CORRUPT', 'key record is corrupt', cause === undefined ? {} : { cause })
    this.parts = [kind, tenant, id]
    this.record = this.parts.join('/')
  }
}

export function encodeKeyRecord(kind: KeyRecordKind, record: KeyRecord): Uint8Array {
  const body = JSON.stringify({
    v: 1,
    kind,
    tenant: record.tenant,
    id: record.id,
    provider: record.provider,
    masterKeyId: record.masterKeyId,
    wrappedKey: Buffer.from(record.wrappedKey).toString('base64url'),
    publicKey: Buffer.from(record.publicKey).toString('base64url'),
    createdMs: record.createdMs,
    notAfterMs: record.notAfterMs ?? null,
    status: record.status,
    endorsedBy: record.endorsedBy,
    endorsement: Buffer.from(record.endorsement).toString('base64url'),
  })
  return Buffer.from(`${body}\n${checksum(body)}\n`)
}

/** Throws `KeyRecordError` for damage, and for a record that stands under another's name. */
export function decodeKeyRecord(
  kind: KeyRecordKind,
  tenant: string,
  id: string,
  bytes: Uint8Array,
): KeyRecord {
  try {
    const [body, sum, rest] = Buffer.from(bytes).toString('utf8').split('\n')
    if (body === undefined || sum !== checksum(body) || rest !== '') throw new Error('checksum')
    const fields: unknown = JSON.parse(body)
    const record = readFields(fields, kind)
    if (record === undefined || record.tenant !== tenant || record.id !== id) throw new Error('fields')
    return record
  } catch (thrown) {
    throw new KeyRecordError(kind, tenant, id, thrown)
  }
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('base64url').slice(0, 22)
}

function readFields(value: unknown, kind: KeyRecordKind): KeyRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields = new Map<string, unknown>(Object.entries(value))
  const text = (name: string): string | undefined => {
    const field = fields.get(name)
    return typeof field === 'string' ? field : undefined
  }
  const [tenant, id, provider, masterKeyId] = [
    text('tenant'),
    text('id'),
    text('provider'),
    text('masterKeyId'),
  ]
  const wrappedKey = base64urlBytes(text('wrappedKey') ?? '')
  const publicKey = base64urlBytes(text('publicKey') ?? '')
  const status = STATUSES.find((known) => known === fields.get('status'))
  const createdMs = fields.get('createdMs')
  const notAfterMs = fields.get('notAfterMs')
  const endorsedBy = text('endorsedBy')
  // Records that were written before there were rotations have none.
  const endorsement = base64urlBytes(fields.has('endorsement') ? (text('endorsement') ?? '!') : '')
  if (fields.get('v') !== 1 || fields.get('kind') !== kind) return undefined
  if (tenant === undefined || id === undefined || provider === undefined || masterKeyId === undefined)
    return undefined
  if (wrappedKey === undefined || wrappedKey.length === 0 || publicKey === undefined) return undefined
  if (status === undefined || endorsedBy === undefined || typeof createdMs !== 'number') return undefined
  if (endorsement === undefined) return undefined
  if (notAfterMs !== null && typeof notAfterMs !== 'number') return undefined
  return {
    tenant,
    id,
    provider,
    masterKeyId,
    wrappedKey,
    publicKey,
    createdMs,
    notAfterMs: notAfterMs ?? undefined,
    status,
    endorsedBy,
    endorsement,
  }
}
