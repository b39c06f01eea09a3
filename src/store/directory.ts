import { accessSync, closeSync, constants, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { SidecarError } from '../errors.ts'

/** Makes the folder for the owner alone, unless it is there. Throws STORE_FAILED when it cannot be used. */
export function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new SidecarError('STORE_FAILED', 'the storage directory cannot be used', { cause })
  }
}

/** Names in a folder survive a power cut only when the folder itself is flushed. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
