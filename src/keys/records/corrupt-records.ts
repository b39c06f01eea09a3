import type { Logger } from '../../base/telemetry.ts'
import type { KeyRecordError } from './key-record.ts'
import type { KeyRecordKind } from './keystore.ts'

const NAMES_MAX = 100

/** Damaged records met so far. Each is logged once; above a hundred there is something wrong with more than records. */
export class CorruptRecords {
  readonly #names = new Set<string>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  /** `kind/tenant/id`. */
  get names(): readonly string[] {
    return [...this.#names]
  }

  note(error: KeyRecordError): void {
    if (this.#names.has(error.record) || this.#names.size >= NAMES_MAX) return
    this.#names.add(error.record)
    this.#log.error(
      { code: error.code, record: error.record },
      `Key record ${error.record} is corrupt: restore the data folder from a backup; other keys go on`,
    )
  }
  /** A key came out of the record: whatever was wrong with it is over. */
  opened(kind: KeyRecordKind, tenant: string, id: string): void {
    const name = `${kind}/${tenant}/${id}`
    if (this.#names.delete(name)) this.#log.info({ record: name }, `Key record ${name} opens again`)
  }
}
