// The lmdb environment: opening it, one atomic write, closing it. Two settings carry the durability promise:
// `overlappingSync: false`, so that a commit is data, fdatasync, then the meta page through an O_DSYNC descriptor, and a
// failing flush aborts the transaction instead of leaving it visible; and no `noSync`. See docs/decisions/store-durability.md.
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { SidecarError } from '../base/errors.ts'
import { guardDataFile } from './data-file.ts'

export const DATABASES = ['queue', 'statements', 'keys', 'meta', 'corrupt'] as const
export type DatabaseName = (typeof DATABASES)[number]

/** One write of a transaction; without a value, a removal. */
export interface Write {
  readonly database: DatabaseName
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

export interface Environment {
  readonly databases: Readonly<Record<DatabaseName, Database<Uint8Array, Uint8Array>>>
  /** All or nothing, and on disk when it resolves. Rejects with the reason; the values must not change before that. */
  commit(writes: readonly Write[]): Promise<void>
  /** False after a failure that lmdb cannot get over (MDB_PANIC: the meta page was not written). */
  isUsable(): boolean
  /** Pages of one database, bytes. */
  bytesOf(name: DatabaseName): number
  close(): Promise<void>
}

const DATA_FILE = 'data.mdb'

/** `directory` exists and is locked by us. Throws STORE_CORRUPT when the file is not, or no longer, an environment. */
export function openEnvironment(directory: string, mapSize: number): Environment {
  guardDataFile(join(directory, DATA_FILE))
  const root = openRoot(directory, mapSize)
  try {
    return environmentOf(root, directory)
  } catch (thrown) {
    void root.close()
    throw thrown
  }
}

function environmentOf(root: RootDatabase<Uint8Array, Uint8Array>, directory: string): Environment {
  const named = (name: DatabaseName) =>
    root.openDB<Uint8Array, Uint8Array>({ name, encoding: 'binary', keyEncoding: 'binary' })
  const databases = {
    queue: named('queue'),
    statements: named('statements'),
    keys: named('keys'),
    meta: named('meta'),
    corrupt: named('corrupt'),
  }
  chmodSync(join(directory, DATA_FILE), 0o600)
  return {
    databases,
    commit: (writes) => commit(databases, writes),
    isUsable: () => isUsable(databases.meta),
    bytesOf: (name) => pageBytes(databases[name]),
    close: () => root.close(),
  }
}

function openRoot(directory: string, mapSize: number): RootDatabase<Uint8Array, Uint8Array> {
  // `eventTurnBatching` off, because with it a failing commit also rejects a promise that nobody is ever given, which
  // ends the process; `commit` makes its own batches. `permissionsMode` and it are read by the library and missing or
  // only half described in its types.
  const options = {
    path: directory,
    mapSize,
    maxDbs: DATABASES.length,
    overlappingSync: false,
    eventTurnBatching: false,
    noReadAhead: true,
    encoding: 'binary' as const,
    keyEncoding: 'binary' as const,
    permissionsMode: 0o600,
  }
  return open<Uint8Array, Uint8Array>(options)
}

const DAMAGE = /MDB_(INVALID|CORRUPTED|VERSION_MISMATCH|PAGE_NOTFOUND|BAD_\w+|INCOMPATIBLE)/

/** What the library threw while the folder was opened, as an error of ours. */
export function asStoreError(thrown: unknown): SidecarError {
  if (thrown instanceof SidecarError) return thrown
  const isDamage = thrown instanceof Error && DAMAGE.test(thrown.message)
  return isDamage
    ? new SidecarError('STORE_CORRUPT', 'the data file is damaged', { cause: thrown })
    : new SidecarError('STORE_FAILED', 'the storage directory cannot be used', { cause: thrown })
}

// What is put within `batch` is one block of one transaction, and when any of it fails the library aborts the whole.
async function commit(databases: Environment['databases'], writes: readonly Write[]): Promise<void> {
  try {
    await databases.queue.batch(() => {
      for (const { database, key, value } of writes) {
        if (value === undefined) databases[database].remove(key)
        else databases[database].put(key, value)
      }
    })
  } catch (thrown) {
    throw await reasonOf(thrown)
  }
}

/** The library hides why behind a second promise, which must be taken or it ends the process as unhandled. */
async function reasonOf(thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof Error) || !('commitError' in thrown)) return thrown
  try {
    await thrown.commitError
  } catch (reason) {
    return reason
  }
  return thrown
}

function isUsable(database: Database<Uint8Array, Uint8Array>): boolean {
  try {
    database.resetReadTxn()
    database.get(Buffer.of(0))
    return true
  } catch {
    return false
  }
}

function pageBytes(database: Database<Uint8Array, Uint8Array>): number {
  // The types promise an empty object; these are the fields of MDB_stat.
  const stats = database.getStats() as Record<string, number>
  const pages = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages
  return pages * stats.pageSize
}
