// Where wrapped keys and their public records are kept. Implemented over the embedded store by whoever assembles the
// process; tests have one in memory.

/**
 * `announcement`: id is the kid, the record its text. `signing`, `pseudonym` and `secret`: a wrapped key with its public
 * facts, see key-record.ts. `rewrapped`: id is a kid; the data key of that announcement under a later master key.
 */
export type KeyRecordKind = 'announcement' | 'signing' | 'pseudonym' | 'secret' | 'rewrapped'

export interface StoredKeyRecord {
  readonly tenant: string
  readonly id: string
  readonly record: Uint8Array
}

export interface KeyStore {
  get(kind: KeyRecordKind, tenant: string, id: string): Uint8Array | undefined
  /** All of a kind, or those of one tenant. */
  list(kind: KeyRecordKind, tenant?: string): Iterable<StoredKeyRecord>
  /** Replaces. Durable when it resolves. */
  put(kind: KeyRecordKind, tenant: string, id: string, record: Uint8Array): Promise<void>
  /** Durable when it resolves, also where there was none. */
  remove(kind: KeyRecordKind, tenant: string, id: string): Promise<void>
}

/** Whether a tenant has had a key of its own before. */
export function hasRecords(store: KeyStore, tenant: string): boolean {
  for (const kind of ['signing', 'announcement', 'pseudonym'] as const) {
    for (const _ of store.list(kind, tenant)) return true
  }
  return false
}
