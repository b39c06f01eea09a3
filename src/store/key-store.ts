// The records of key management, kept under one key each. Key: kind | 0 | tenant | 0 | id. A kind is a fixed word and an
// id is ours, so neither holds a zero byte; a tenant comes from outside and is refused when it does.
import { SidecarError } from '../base/errors.ts'
import type { Table } from './table.ts'

const PAGE_RECORDS = 64
const ZERO = Buffer.of(0)

/** Durable records by kind, tenant and id. The shape that key management asks for. */
export interface StoredKeys<Kind extends string> {
  get(kind: Kind, tenant: string, id: string): Uint8Array | undefined
  /** In the order of their keys, read as it is walked: what is put meanwhile may or may not be seen. */
  list(kind: Kind, tenant?: string): Iterable<{ tenant: string; id: string; record: Uint8Array }>
  /** On disk when the promise settles. */
  put(kind: Kind, tenant: string, id: string, record: Uint8Array): Promise<void>
  /** The same, also where there is none. */
  remove(kind: Kind, tenant: string, id: string): Promise<void>
}

export function storeKeyStore<Kind extends string>({
  keys: table,
}: {
  readonly keys: Table
}): StoredKeys<Kind> {
  return {
    get: (kind, tenant, id) => table.get(recordKey(kind, tenant, id)),
    *list(kind, tenant) {
      const prefix = tenant === undefined ? joined([kind, '']) : joined([kind, tenant, ''])
      for (const { key, value } of walk(table, prefix)) {
        const [, owner, id] = Buffer.from(key).toString('utf8').split('\0')
        yield { tenant: owner, id, record: value }
      }
    },
    put: (kind, tenant, id, record) => table.put(recordKey(kind, tenant, id), record),
    remove: (kind, tenant, id) => table.remove(recordKey(kind, tenant, id)),
  }
}

/** All that starts with `prefix`, a page at a time: there may be millions, and who walks may stop at the first. */
function* walk(table: Table, prefix: Buffer): Generator<{ key: Uint8Array; value: Uint8Array }> {
  const end = after(prefix)
  let start = prefix
  for (;;) {
    const page = table.range({ start, end, limit: PAGE_RECORDS })
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE_RECORDS) return
    start = Buffer.concat([last.key, ZERO])
  }
}

function recordKey(kind: string, tenant: string, id: string): Buffer {
  return joined([kind, tenant, id])
}

function joined(parts: readonly string[]): Buffer {
  for (const part of parts) {
    if (part.includes('\0')) throw new SidecarError('TENANT_DENIED', 'a name holds a zero byte')
  }
  return Buffer.from(parts.join('\0'), 'utf8')
}

/** The first key after all that start with `prefix`, which ends in a zero byte. */
function after(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix)
  end[end.length - 1] = 1
  return end
}
