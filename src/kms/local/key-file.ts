// Layout, 64 bytes: "betrace-local-kms/v1" (20), newline, 32 random bytes, the first 11 bytes of SHA-256 over those 53.
// Made by: write a temporary file, fsync, link it to its name, fsync the folder. A link fails when the name is taken, so
// of two processes that start at once one wins, and both read what stands there.
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory, syncDirectory } from '../../base/directory.ts'
import type { SidecarError } from '../../base/errors.ts'
import { type SettingProblem, settingError } from '../setting-problem.ts'

const HEADER = Buffer.from('betrace-local-kms/v1\n')
const KEY_BYTES = 32
const BODY_BYTES = HEADER.length + KEY_BYTES
const SUM_BYTES = 11
const FILE_BYTES = BODY_BYTES + SUM_BYTES

export interface KeyFile {
  readonly path: string
  /** Which setting names it, below `kms`. */
  readonly setting: SettingProblem['path']
}

/**
 * The 32 bytes of a key file; the caller owns and zeroes them. `undefined` when there is none.
 * Throws CONFIG with one line that names the setting and the file.
 */
export async function readKeyFile(file: KeyFile): Promise<Buffer | undefined> {
  const handle = await openToRead(file)
  try {
    return handle && (await readKey(file, handle))
  } finally {
    await handle?.close()
  }
}

/** Makes the file, unless another process was faster, and reads what stands there. Throws CONFIG. */
export async function createKeyFile(file: KeyFile): Promise<Buffer> {
  await writeNewKey(file)
  const bytes = await readKeyFile(file)
  if (bytes === undefined) throw keyFileError(file, 'vanished while it was made')
  return bytes
}

// The path is the operator's own setting, and without it the line would not say which of several files is meant.
export function keyFileError({ path, setting }: KeyFile, reason: string, cause?: unknown): SidecarError {
  return settingError(setting, `${path} ${reason}`, cause)
}

async function openToRead(file: KeyFile): Promise<FileHandle | undefined> {
  try {
    return await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return undefined
    throw keyFileError(file, 'cannot be read', thrown)
  }
}

async function readKey(file: KeyFile, handle: FileHandle): Promise<Buffer> {
  const { mode, size } = await handle.stat()
  if (size !== FILE_BYTES)
    throw keyFileError(file, `is not a local key file: ${size} bytes instead of ${FILE_BYTES}`)
  if ((mode & 0o077) !== 0) {
    throw keyFileError(
      file,
      `has mode 0${(mode & 0o777).toString(8)}, readable by others: run chmod 600 on it`,
    )
  }
  const bytes = Buffer.alloc(FILE_BYTES)
  try {
    await handle.read(bytes, 0, FILE_BYTES, 0)
    if (!bytes.subarray(0, HEADER.length).equals(HEADER))
      throw keyFileError(file, 'is not a local key file of version 1')
    const body = bytes.subarray(0, BODY_BYTES)
    if (!checksum(body).equals(bytes.subarray(BODY_BYTES)))
      throw keyFileError(file, 'is damaged: its checksum does not match')
    return Buffer.from(body.subarray(HEADER.length))
  } finally {
    bytes.fill(0)
  }
}

async function writeNewKey(file: KeyFile): Promise<void> {
  const { path } = file
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
    throw keyFileError(file, 'cannot be made', thrown)
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
