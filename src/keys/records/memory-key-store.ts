import type { KeyRecordKind, KeyStore, StoredKeyRecord } from './keystore.ts'

/** Keys without storage: they last as long as the process, which start-up says in the log. */
export class MemoryKeyStore implements KeyStore {
  readonly #records = new Map<KeyRecordKind, Map<string, Map<string, Uint8Array>>>()

  get(kind: KeyRecordKind, tenant: string, id: string): Uint8Array | undefined {
    return this.#records.get(kind)?.get(tenant)?.get(id)
  }

  *list(kind: KeyRecordKind, tenant?: string): Iterable<StoredKeyRecord> {
    for (const [owner, records] of this.#records.get(kind) ?? []) {
      if (tenant !== undefined && owner !== tenant) continue
      for (const [id, record] of records) yield { tenant: owner, id, record }
    }
  }

  async put(kind: KeyRecordKind, tenant: string, id: string, record: Uint8Array): Promise<void> {
    const ofKind = this.#records.get(kind) ?? new Map<string, Map<string, Uint8Array>>()
    this.#records.set(kind, ofKind)
    const ofTenant = ofKind.get(tenant) ?? new Map<string, Uint8Array>()
    ofKind.set(tenant, ofTenant)
    ofTenant.set(id, record)
  }

  async remove(kind: KeyRecordKind, tenant: string, id: string): Promise<void> {
    this.#records.get(kind)?.get(tenant)?.delete(id)
  }
}
