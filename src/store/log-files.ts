import { closeSync, openSync } from 'node:fs'
import { decodeFileHead, FILE_HEAD_BYTES, type FileHead } from './file-head.ts'
import { readAt } from './scan.ts'

/** `undefined` when the file is not there or its head is damaged. */
export function readHead(path: string): FileHead | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
  try {
    return decodeFileHead(readAt(fd, 0, FILE_HEAD_BYTES))
  } finally {
    closeSync(fd)
  }
}
