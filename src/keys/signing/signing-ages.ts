// How old each tenant's signing key is, by the records on disk and never by memory alone: what a sidecar rotates after
// weeks of standing still is found here.
import { withOneActive } from '../records/key-history.ts'
import { decodeKeyRecord, type KeyRecord, KeyRecordError } from '../records/key-record.ts'
import type { KeyStore } from '../records/keystore.ts'

export interface TenantKeyAge {
  readonly tenant: string
  readonly keyId: string
  readonly createdMs: number
}

/** Records decoded between two turns of the event loop. */
const SLICE_COUNT = 200

export class SigningAges {
  readonly #store: KeyStore
  readonly #onCorrupt: (error: KeyRecordError) => void
  readonly #createdMs = new Map<string, number>()
  /** When the newest key that took another's place was made, as of the last survey. Milliseconds since the epoch. */
  lastRotationMs: number | undefined

  constructor(store: KeyStore, onCorrupt: (error: KeyRecordError) => void) {
    this.#store = store
    this.#onCorrupt = onCorrupt
  }

  /** When the oldest of the active keys that are known was made. */
  get oldestMs(): number | undefined {
    let oldest: number | undefined
    for (const ms of this.#createdMs.values()) if (oldest === undefined || ms < oldest) oldest = ms
    return oldest
  }

  /** A tenant's active key is known to be of this time; `undefined`: it has none. */
  note(tenant: string, createdMs: number | undefined): void {
    if (createdMs === undefined) this.#createdMs.delete(tenant)
    else this.#createdMs.set(tenant, createdMs)
  }

  /** Every tenant's active signing key, oldest first. Damaged records are told of and left out. */
  async survey(): Promise<TenantKeyAge[]> {
    const records: KeyRecord[] = []
    let untilPause = SLICE_COUNT
    for (const { tenant, id, record } of this.#store.list('signing')) {
      if (--untilPause === 0) {
        untilPause = SLICE_COUNT
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
      try {
        records.push(decodeKeyRecord('signing', tenant, id, record))
      } catch (thrown) {
        if (!(thrown instanceof KeyRecordError)) throw thrown
        this.#onCorrupt(thrown)
      }
    }
    records.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))
    this.lastRotationMs = newestSuccessorMs(records)
    const ages = withOneActive(records)
      .filter(({ status }) => status === 'ACTIVE')
      .map(({ tenant, id, createdMs }) => ({ tenant, keyId: id, createdMs }))
    // A tenant that was rotated meanwhile is younger than what was read.
    for (const { tenant, createdMs } of ages)
      this.note(tenant, Math.max(createdMs, this.#createdMs.get(tenant) ?? createdMs))
    return ages
  }
}

/** Of records in the order of their making. */
function newestSuccessorMs(records: readonly KeyRecord[]): number | undefined {
  const tenants = new Set<string>()
  let newestMs: number | undefined
  for (const { tenant, createdMs } of records) {
    if (tenants.has(tenant)) newestMs = createdMs
    tenants.add(tenant)
  }
  return newestMs
}
