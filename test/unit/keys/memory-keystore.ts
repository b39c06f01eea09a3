// A key store in memory: what it keeps is copied in and out, as from a disk. `failPuts` makes it refuse; `dieAtPut` is a
// process that dies at its nth write from now, with or without that write on the disk; `restarted` is what it finds then.
import { SidecarError } from '../../../src/base/errors.ts'
import type { KeyRecordKind, KeyStore, StoredKeyRecord } from '../../../src/keys/records/keystore.ts'

interface Stored extends StoredKeyRecord {
  readonly kind: KeyRecordKind
}

export class MemoryKeyStore implements KeyStore {
  readonly #records = new Map<string, Stored>()
  failPuts = false
  putCount = 0
  /** Counts down with each put. */
  dieAtPut: number | undefined
  /** Whether the write at which it dies is on the disk. */
  lastPutLands = false
  #isDead = false

  get(kind: KeyRecordKind, tenant: string, id: string): Uint8Array | undefined {
    return this.#records.get(nameOf(kind, tenant, id))?.record.slice()
  }

  *list(kind: KeyRecordKind, tenant?: string): Iterable<StoredKeyRecord> {
    for (const stored of this.#records.values()) {
      if (stored.kind !== kind || (tenant !== undefined && stored.tenant !== tenant)) continue
      yield { tenant: stored.tenant, id: stored.id, record: stored.record.slice() }
    }
  }

  async put(kind: KeyRecordKind, tenant: string, id: string, record: Uint8Array): Promise<void> {
    this.putCount++
    if (this.failPuts || this.#isDead) throw new SidecarError('STORE_FAILED', 'disk is full')
    if (this.dieAtPut !== undefined && --this.dieAtPut === 0) {
      this.#isDead = true
      if (!this.lastPutLands) throw new SidecarError('STORE_FAILED', 'died before the write')
    }
    this.#records.set(nameOf(kind, tenant, id), { kind, tenant, id, record: Uint8Array.from(record) })
    if (this.#isDead) throw new SidecarError('STORE_FAILED', 'died after the write')
  }

  async remove(kind: KeyRecordKind, tenant: string, id: string): Promise<void> {
    this.#records.delete(nameOf(kind, tenant, id))
  }

  restarted(): MemoryKeyStore {
    const store = new MemoryKeyStore()
    for (const [name, stored] of this.#records) store.#records.set(name, stored)
    return store
  }
}

const nameOf = (...parts: string[]): string => JSON.stringify(parts)
