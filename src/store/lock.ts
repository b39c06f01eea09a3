// One process per folder. lmdb itself lets several in, so the folder is guarded by an advisory lock of the operating
// system: SQLite takes one on `lock` (fcntl) and holds it while its transaction is open. The kernel drops it with the
// process, however that ends, so there is no stale lock to recognise and no pid to trust; and it holds between
// containers that share a volume, where pids and abstract sockets mean nothing. `owner` only says who has it, for people.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SidecarError } from '../base/errors.ts'

export interface DirectoryLock {
  release(): void
}

/** Throws STORE_LOCKED when another process, or another store of this one, has the folder. */
export function lockDirectory(directory: string): DirectoryLock {
  const ownerFile = join(directory, 'owner')
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(join(directory, 'lock'))
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    if (isBusy(cause)) {
      throw new SidecarError('STORE_LOCKED', 'another process has the storage directory open', {
        cause: new Error(`held by ${readOwner(ownerFile)}`),
      })
    }
    throw new SidecarError('STORE_FAILED', 'cannot lock the storage directory', { cause })
  }
  const held = database
  chmodSync(join(directory, 'lock'), 0o600)
  writeFileSync(ownerFile, `pid ${process.pid}\n`, { mode: 0o600 })
  return { release: () => held.close() }
}

/** SQLITE_BUSY and SQLITE_LOCKED; the result code is the low byte of the extended one. */
function isBusy(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) return false
  const code = Number(thrown.errcode) & 0xff
  return code === 5 || code === 6
}

function readOwner(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return 'an unknown process'
  }
}
