// Which master keys the records of a data folder lead back to.

import { parseAnnouncement } from '../../formats/announcement.ts'
import type { NamedMasterKey } from '../../kms/kms.ts'
import { rewrappedKey } from '../operations/rewrap.ts'
import { decodeKeyRecord, KeyRecordError } from './key-record.ts'
import type { KeyStore } from './keystore.ts'

/**
 * Of one provider, with repetition; the few long-lived keys first, since of announcements there may be millions. A damaged
 * record names none, and an announced key that was wrapped again since names the later master key alone.
 */
export function* namedMasterKeys(store: KeyStore, provider: string): Generator<NamedMasterKey> {
  for (const kind of ['signing', 'pseudonym', 'secret'] as const) {
    for (const { tenant, id, record } of store.list(kind)) {
      const key = readable(() => decodeKeyRecord(kind, tenant, id, record))
      if (key?.provider === provider) yield { tenant, masterKeyId: key.masterKeyId }
    }
  }
  for (const { tenant, id, record } of store.list('announcement')) {
    const key = rewrappedKey(store, tenant, id) ?? parseAnnouncement(Buffer.from(record).toString('utf8'))
    if (key?.provider === provider) yield { tenant, masterKeyId: key.masterKeyId }
  }
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof KeyRecordError) return undefined
    throw thrown
  }
}
