import type { Logger } from '../../base/telemetry.ts'
import type { KeyRecordError } from './key-record.ts'
import type { KeyRecordKind } from './keystore.ts'

const NAMES_MAX = 100

/** Damaged records met so far. Each is logged once; above a hundred there is something wrong with more than records. */
export class CorruptRecords {
  /** By the parts of the name: a tenant may hold a slash. */
  readonly #names = new Map<string, string>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  /** `kind/tenant/id`. */
  get names(): readonly string[] {
    return [...this.#names.values()]
  }

  note(error: KeyRecordError): void {
    const key = JSON.stringify(error.parts)
    if (this.#names.has(key) || this.#names.size >= NAMES_MAX) return
    this.#names.set(key, error.record)
    this.#log.error(
      { code: error.code, record: error.record },
      `Key record ${error.record} is corrupt: restore the data folder from a backup; other keys go on`,
    )
  }

  /** A key came out of the record: whatever was wrong with it is over. */
  opened(kind: KeyRecordKind, tenant: string, id: string): void {
    const key = JSON.stringify([kind, tenant, id])
    const record = this.#names.get(key)
    if (record === undefined) return
    this.#names.delete(key)
    this.#log.info({ record }, `Key record ${record} opens again`)
  }
}
