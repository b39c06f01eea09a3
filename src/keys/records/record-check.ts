// A look at every key record at start, so that damage is known by name before anybody needs the key. The few that signing
// and sealing need come first; announcements may be many, and what was wrapped anew is only needed to open values.
import { announcementKid, parseAnnouncement } from '../../formats/announcement.ts'
import { decodeKeyRecord, KeyRecordError } from './key-record.ts'
import type { KeyRecordKind, KeyStore } from './keystore.ts'

const KINDS: readonly KeyRecordKind[] = ['signing', 'pseudonym', 'secret', 'rewrapped', 'announcement']
/** Records looked at between two turns of the event loop. */
const SLICE_COUNT = 200

/**
 * Tells of each damaged record, until the signal aborts. Needs no key service, so a wrapped key that is another tenant's
 * shows when it is opened.
 */
export async function checkKeyRecords(
  store: KeyStore,
  onCorrupt: (error: KeyRecordError) => void,
  abort: AbortSignal,
): Promise<{ readonly checked: number; readonly damaged: number }> {
  let [checked, damaged] = [0, 0]
  for (const kind of KINDS) {
    for (const { tenant, id, record } of store.list(kind)) {
      if (++checked % SLICE_COUNT === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      if (abort.aborted) return { checked, damaged }
      const error = damageOf(kind, tenant, id, record)
      if (error === undefined) continue
      damaged++
      onCorrupt(error)
    }
  }
  return { checked, damaged }
}

function damageOf(
  kind: KeyRecordKind,
  tenant: string,
  id: string,
  record: Uint8Array,
): KeyRecordError | undefined {
  if (kind === 'announcement') {
    const text = Buffer.from(record).toString('utf8')
    const isWhole = announcementKid(text) === id && parseAnnouncement(text)?.context.tenantId === tenant
    return isWhole ? undefined : new KeyRecordError(kind, tenant, id)
  }
  try {
    decodeKeyRecord(kind, tenant, id, record)
    return undefined
  } catch (thrown) {
    if (thrown instanceof KeyRecordError) return thrown
    throw thrown
  }
}
