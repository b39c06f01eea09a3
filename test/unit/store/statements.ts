// All statements of a data folder, read from its files past the store, also while one runs on it.
import { closeSync, fstatSync, openSync } from 'node:fs'
import { filesOf, logPath, markPath } from '../../../src/store/data-folder.ts'
import { pairsOf } from '../../../src/store/evidence-survey.ts'
import { FILE_HEAD_BYTES } from '../../../src/store/file-head.ts'
import { Kind, tagOf } from '../../../src/store/frame.ts'
import { readMark } from '../../../src/store/mark.ts'
import { scanRecords } from '../../../src/store/scan.ts'

export interface Stored {
  readonly key: Buffer
  readonly value: Buffer
}

export function statementsIn(directory: string): Stored[] {
  const secret = Buffer.from(readMark(markPath(directory))?.secret ?? '', 'hex')
  return filesOf(directory, 'evidence').flatMap((file) => {
    const fd = openSync(logPath(directory, 'evidence', file), 'r')
    const found: Stored[] = []
    const tag = tagOf(secret, 'evidence', file)
    for (const { frame, meta } of scanRecords(fd, tag, FILE_HEAD_BYTES, fstatSync(fd).size)) {
      if (frame.kind !== Kind.STATEMENTS || !meta) continue
      for (const { key, value } of pairsOf(frame.kind, meta))
        found.push({ key: Buffer.from(key), value: Buffer.from(value) })
    }
    closeSync(fd)
    return found
  })
}
