// The lmdb environment: opening it, one atomic write, closing it. Two settings carry the durability promise:
// `overlappingSync: false`, so that a commit is data, fdatasync, then the meta page through an O_DSYNC descriptor, and a
// failing flush aborts the transaction instead of leaving it visible; and no `noSync`. See docs/decisions/store-durability.md.
import { chmodSync, closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { SidecarError } from '../errors.ts'

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
  /** Pages of one database, bytes. */
  bytesOf(name: DatabaseName): number
  close(): Promise<void>
}

const DATA_FILE = 'data.mdb'
const META_BYTES = 152
const PAGE_HEADER_BYTES = 24
const MAGIC = 0xbeefc0de

/** `directory` exists and is locked by us. Throws STORE_CORRUPT when the file is not, or no longer, an environment. */
export function openEnvironment(directory: string, mapSize: number): Environment {
  guardDataFile(join(directory, DATA_FILE))
  const root = openRoot(directory, mapSize)
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
    bytesOf: (name) => pageBytes(databases[name]),
    close: () => root.close(),
  }
}

function openRoot(directory: string, mapSize: number): RootDatabase<Uint8Array, Uint8Array> {
  try {
    // `permissionsMode` is read by the library and missing from its types.
    const options = {
      path: directory,
      mapSize,
      maxDbs: DATABASES.length,
      overlappingSync: false,
      noReadAhead: true,
      encoding: 'binary' as const,
      keyEncoding: 'binary' as const,
      permissionsMode: 0o600,
    }
    return open<Uint8Array, Uint8Array>(options)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : ''
    if (/MDB_(INVALID|CORRUPTED|VERSION_MISMATCH|PAGE_NOTFOUND)/.test(message)) {
      throw new SidecarError('STORE_CORRUPT', 'the data file is damaged', { cause })
    }
    throw new SidecarError('STORE_FAILED', 'cannot open the data file', { cause })
  }
}

// All puts of one turn of the event loop go into one transaction of the library. When one fails, the library aborts the
// transaction as a whole; the promise of every put is the same one.
async function commit(databases: Environment['databases'], writes: readonly Write[]): Promise<void> {
  let committed: Promise<boolean> | undefined
  for (const write of writes) {
    const database = databases[write.database]
    committed = write.value === undefined ? database.remove(write.key) : database.put(write.key, write.value)
  }
  try {
    await committed
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

function pageBytes(database: Database<Uint8Array, Uint8Array>): number {
  // The types promise an empty object; these are the fields of MDB_stat.
  const stats = database.getStats() as Record<string, number>
  const pages = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages
  return pages * stats.pageSize
}

// A file cut short would end the process with SIGBUS when a page beyond its end is touched. Filled up with zeros (a hole,
// no disk space) the same read finds a page that is none, which is an error that can be reported.
function guardDataFile(path: string): void {
  let fd: number
  try {
    fd = openSync(path, 'r+')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return
    throw new SidecarError('STORE_FAILED', 'cannot open the data file', { cause })
  }
  try {
    const size = fstatSync(fd).size
    if (size === 0) return
    const bytes = dataBytes(fd)
    if (bytes === undefined) throw new SidecarError('STORE_CORRUPT', 'the data file is damaged')
    if (bytes > size) ftruncateSync(fd, bytes)
  } finally {
    closeSync(fd)
  }
}

/** How long the newer of the two meta pages says the file is; `undefined` when neither is one. MDB_meta, data version 2. */
function dataBytes(fd: number): number | undefined {
  const first = readMeta(fd, 0)
  const second = readMeta(fd, first?.pageBytes ?? 4096)
  const newest = !first || (second && second.transaction > first.transaction) ? second : first
  return newest && (newest.lastPage + 1) * newest.pageBytes
}

function readMeta(
  fd: number,
  at: number,
): { pageBytes: number; lastPage: number; transaction: bigint } | undefined {
  const meta = Buffer.alloc(META_BYTES)
  if (readSync(fd, meta, 0, META_BYTES, at + PAGE_HEADER_BYTES) < META_BYTES - PAGE_HEADER_BYTES)
    return undefined
  if (meta.readUInt32LE(0) !== MAGIC) return undefined
  const pageBytes = meta.readUInt32LE(24)
  const lastPage = Number(meta.readBigUInt64LE(120))
  if (pageBytes < 512 || pageBytes > 65_536 || lastPage > Number.MAX_SAFE_INTEGER / pageBytes)
    return undefined
  return { pageBytes, lastPage, transaction: meta.readBigUInt64LE(128) }
}
