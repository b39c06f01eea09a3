// What stands where in the data folder. Nobody else spells these names.
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SidecarError } from '../base/errors.ts'
import { LOGS, type LogName } from './file-head.ts'

/** Two files with the same records: a damaged one is read from the other. */
export const KEY_COPIES = ['a', 'b'] as const
export type KeyCopy = (typeof KEY_COPIES)[number]

/** lmdb's file, of versions before this format. */
const FORMER_DATA_FILE = 'data.mdb'

export const markPath = (directory: string): string => join(directory, 'mark')
export const lockPath = (directory: string): string => join(directory, 'lock')
export const ownerPath = (directory: string): string => join(directory, 'owner')
/** Where `salvage` puts what it replaces. */
export const damagedFolder = (directory: string): string => join(directory, 'damaged')
export const logFolder = (directory: string, log: LogName): string => join(directory, log)

export function logPath(directory: string, log: Exclude<LogName, 'keys'>, file: number): string {
  return join(logFolder(directory, log), `${nameOf(file)}.log`)
}

export function keysPath(directory: string, file: number, copy: KeyCopy): string {
  return join(logFolder(directory, 'keys'), `${nameOf(file)}.${copy}.log`)
}

/** Numbers of the files of a log that are there, ascending. */
export function filesOf(directory: string, log: LogName): number[] {
  const folder = logFolder(directory, log)
  if (!existsSync(folder)) return []
  const numbers = readdirSync(folder).flatMap((name) => {
    const match = /^(\d{10})(?:\.[ab])?\.log$/.exec(name)
    return match ? [Number(match[1])] : []
  })
  return [...new Set(numbers)].sort((a, b) => a - b)
}

/** What a death left of files that were being written anew. */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const log of LOGS) {
    const names = await readdir(logFolder(directory, log)).catch(() => [])
    for (const name of names.filter((each) => each.endsWith('.new')))
      await rm(join(logFolder(directory, log), name))
  }
}

/** Files before the first that the mark names: a death came between the two. */
export async function removeRetired(directory: string, first: number): Promise<void> {
  for (const file of filesOf(directory, 'queue'))
    if (file < first) await rm(logPath(directory, 'queue', file))
}

export async function makeLogFolders(directory: string): Promise<void> {
  for (const log of LOGS) await mkdir(logFolder(directory, log), { recursive: true, mode: 0o700 })
}

/** Whether a store was made here once, whatever is left of it. */
export function hasStore(directory: string): boolean {
  return existsSync(markPath(directory)) || LOGS.some((log) => existsSync(logFolder(directory, log)))
}

/** The same, or what only says that there was one. Throws STORE_CORRUPT for a folder of a version before this format. */
export function hasEarlierLife(directory: string): boolean {
  refuseFormerFormat(directory)
  return hasStore(directory) || existsSync(ownerPath(directory))
}

/** Throws STORE_CORRUPT for a folder of a version before this format. */
export function refuseFormerFormat(directory: string): void {
  if (!existsSync(join(directory, FORMER_DATA_FILE))) return
  throw new SidecarError(
    'STORE_CORRUPT',
    'the folder holds data.mdb of an earlier version, which this one does not read: drain it with that version, or use another folder',
  )
}

const nameOf = (file: number): string => String(file).padStart(10, '0')
