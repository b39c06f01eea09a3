// Which of a tenant's signing keys signs now. A rotation is two writes, the new key and then the old one's end, and a
// process can die between them. So an end is not only what a record says: a key that has a successor is over.
import type { KeyRecord } from './key-record.ts'

/** How long after a rotation the old key may still appear on new signatures: requests that had it in hand. */
export const ROTATION_OVERLAP_MS = 60_000

/**
 * The records of one kind, of one tenant or many, oldest first, with at most one ACTIVE each: the newest that endorsed
 * no other. Those left behind are ROTATED as of their successor. Everything else stays as it is stored.
 */
export function withOneActive(records: readonly KeyRecord[]): KeyRecord[] {
  const successors = new Map<string, KeyRecord>()
  const newest = new Map<string, KeyRecord>()
  for (const record of records)
    if (record.endorsedBy !== '') successors.set(nameOf(record.tenant, record.endorsedBy), record)
  for (const record of records) {
    const isOver = successors.has(nameOf(record.tenant, record.id))
    if (record.status === 'ACTIVE' && !isOver) newest.set(record.tenant, record)
  }
  return records.map((record) => {
    if (record.status !== 'ACTIVE') return record
    const latest = newest.get(record.tenant)
    const successor =
      successors.get(nameOf(record.tenant, record.id)) ?? (latest === record ? undefined : latest)
    return successor === undefined ? record : ended(record, successor)
  })
}

/** The record as it is once `successor` has taken over. */
export function ended(record: KeyRecord, successor: Pick<KeyRecord, 'createdMs'>): KeyRecord {
  return { ...record, status: 'ROTATED', notAfterMs: successor.createdMs + ROTATION_OVERLAP_MS }
}

const nameOf = (tenant: string, id: string): string => JSON.stringify([tenant, id])
