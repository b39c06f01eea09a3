// Folders that survive: made for the owner alone, and flushed when a name in them changed.
import { constants } from 'node:fs'
import { access, mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes the folder and what is missing above it, mode 0700, unless it is there. Rejects with the system's error when it
 * cannot be read, written and entered.
 */
export async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = resolve(path); !(await exists(at)) && at !== dirname(at); at = dirname(at)) missing.push(at)
  // Not `recursive`: Node 24 never returns where a parent is there and yet takes no folder (/proc, a deleted folder).
  for (const each of missing.reverse()) await mkdir(each, { mode: 0o700 }).catch(throwUnlessThere)
  await checkUsable(path)
}

/** Rejects as `makeDirectory` would, as far as can be told without making anything. */
export async function checkDirectory(path: string): Promise<void> {
  let at = resolve(path)
  while (!(await exists(at)) && at !== dirname(at)) at = dirname(at)
  await checkUsable(at)
}

/** Names in a folder survive a power cut only when the folder itself is flushed. */
export async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function checkUsable(path: string): Promise<void> {
  if (!(await stat(path)).isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' })
  await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch {
    return false
  }
}

/** Another process may have made it meanwhile. */
function throwUnlessThere(thrown: unknown): void {
  if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
}
