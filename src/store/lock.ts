// One process per folder, guarded by an advisory lock of the operating
// system: SQLite takes one on `lock` (fcntl) and holds it while its transaction is open. The kernel drops it with the
// process, however that ends, so there is no stale lock to recognise and no pid to trust; and it holds between
// containers that share a volume, where pids and abstract sockets mean nothing. `owner` says who has
// it, for people, and which store is here, so that one whose files are all gone is missed.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SidecarError } from '../base/errors.ts'
import { lockPath, ownerPath } from './data-folder.ts'

export interface DirectoryLock {
  /** The store that was here when it was last locked; `undefined` when there was none. */
  readonly formerStore: string | undefined
  /** There is a store here from now on. */
  name(store: string): void
  release(): void
}

/** Throws STORE_LOCKED when another process, or another store of this one, has the folder. */
export function lockDirectory(directory: string): DirectoryLock {
  const ownerFile = ownerPath(directory)
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(lockPath(directory))
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    if (isBusy(cause)) {
      throw new SidecarError(
        'STORE_LOCKED',
        `another process has the storage directory open (${ownerOf(ownerFile)}); stop it first`,
      )
    }
    throw new SidecarError('STORE_FAILED', 'cannot lock the storage directory', { cause })
  }
  const held = database
  chmodSync(lockPath(directory), 0o600)
  const formerStore = /^store (.+)$/m.exec(readOwner(ownerFile) ?? '')?.[1]
  const name = (store: string | undefined): void =>
    writeFileSync(ownerFile, `pid ${process.pid}\n${store === undefined ? '' : `store ${store}\n`}`, {
      mode: 0o600,
    })
  name(formerStore)
  return { formerStore, name, release: () => held.close() }
}

/** Of another container it is the pid inside of that one. */
function ownerOf(file: string): string {
  const [, pid] = /^pid (\d+)$/m.exec(readOwner(file) ?? '') ?? []
  return pid === undefined ? 'an unknown process' : `pid ${pid}`
}

/** SQLITE_BUSY and SQLITE_LOCKED; the result code is the low byte of the extended one. */
function isBusy(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) return false
  const code = Number(thrown.errcode) & 0xff
  return code === 5 || code === 6
}

function readOwner(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}
