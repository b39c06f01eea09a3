// Layout, 64 bytes: "betrace-local-kms/v1" (20), newline, 32 random bytes, the first 11 bytes of SHA-256 over those 53.
// Made by: write a temporary file, fsync, link it to its name, fsync the folder. A link fails when the name is taken, so
// of two processes that start at once one wins, and both read what stands there.
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory, syncDirectory } from '../../directory.ts'
import { SidecarError } from '../../errors.ts'

const HEADER = Buffer.from('betrace-local-kms/v1\n')
const KEY_BYTES = 32
const BODY_BYTES = HEADER.length + KEY_BYTES
const SUM_BYTES = 11
const FILE_BYTES = BODY_BYTES + SUM_BYTES

/**
 * The 32 bytes of a key file; the caller owns and zeroes them. Makes the file when it is not there and `create` says so.
 * Throws CONFIG with one line that names the setting and the file.
 */
export async function loadKeyFile(path: string, create: boolean): Promise<Buffer> {
  let file = await openToRead(path)
  if (file === undefined) {
    if (!create) throw refused(path, 'does not exist')
    await createKeyFile(path)
    file = await openToRead(path)
    if (file === undefined) throw refused(path, 'vanished while it was made')
  }
  try {
    return await readKey(path, file)
  } finally {
    await file.close()
  }
}

async function openToRead(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return undefined
    throw refused(path, 'cannot be read', thrown)
  }
}

async function readKey(path: string, file: FileHandle): Promise<Buffer> {
  const { mode, size } = await file.stat()
  if (size !== FILE_BYTES)
    throw refused(path, `is not a local key file: ${size} bytes instead of ${FILE_BYTES}`)
  if ((mode & 0o077) !== 0) {
    throw refused(path, `has mode 0${(mode & 0o777).toString(8)}, readable by others: run chmod 600 on it`)
  }
  const bytes = Buffer.alloc(FILE_BYTES)
  try {
    await file.read(bytes, 0, FILE_BYTES, 0)
    if (!bytes.subarray(0, HEADER.length).equals(HEADER))
      throw refused(path, 'is not a local key file of version 1')
    const body = bytes.subarray(0, BODY_BYTES)
    if (!checksum(body).equals(bytes.subarray(BODY_BYTES)))
      throw refused(path, 'is damaged: its checksum does not match')
    return Buffer.from(body.subarray(HEADER.length))
  } finally {
    bytes.fill(0)
  }
}

async function createKeyFile(path: string): Promise<void> {
  const key = randomBytes(KEY_BYTES)
  const body = Buffer.concat([HEADER, key])
  const bytes = Buffer.concat([body, checksum(body)])
  const temporary = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await makeDirectory(dirname(path))
    await writeDurably(temporary, bytes)
    try {
      await link(temporary, path)
    } catch (thrown) {
      if (!hasCode(thrown, 'EEXIST')) throw thrown
    } finally {
      await unlink(temporary)
    }
    await syncDirectory(dirname(path))
  } catch (thrown) {
    throw refused(path, 'cannot be made', thrown)
  } finally {
    for (const secret of [key, body, bytes]) secret.fill(0)
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, SUM_BYTES)
}

function hasCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code
}

// The path is the operator's own setting, and without it the line would not say which of several files is meant.
function refused(path: string, reason: string, cause?: unknown): SidecarError {
  return new SidecarError(
    'CONFIG',
    `kms.local.key_file: ${path} ${reason}`,
    cause === undefined ? {} : { cause },
  )
}
