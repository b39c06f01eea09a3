// From a folder to an open store: which installation it is, whether anything of an earlier life is missing, and what the
// files hold. Nothing is thrown away here; what cannot be read ends the opening with its name.
import { randomBytes, randomUUID } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { damageError, queueLosses } from './damage.ts'
import {
  filesOf,
  makeLogFolders,
  markPath,
  refuseFormerFormat,
  removeRetired,
  removeUnfinished,
} from './data-folder.ts'
import { decodePairs, encodePairs } from './data-record.ts'
import { EvidenceLog } from './evidence-log.ts'
import { isTip } from './evidence-survey.ts'
import { NO_EXTENT } from './extent.ts'
import { LOGS, SECRET_BYTES } from './file-head.ts'
import { type JournalContent, readJournal } from './journal.ts'
import { KeyLog } from './key-log.ts'
import type { DirectoryLock } from './lock.ts'
import { Mark } from './mark.ts'
import type { Segment } from './segment.ts'
import { Taken } from './taken.ts'

export interface OpenedFolder {
  readonly mark: Mark
  readonly evidence: EvidenceLog
  readonly keys: KeyLog
  readonly segments: Segment[]
  /** The last that was given out. */
  readonly sequence: number
  readonly taken: Taken
  /** A copy of the key records was made anew from the other. */
  readonly isHealed: boolean
  /** The last process ended without closing it. */
  readonly wasLeftOpen: boolean
  close(): Promise<void>
}

/** Throws STORE_CORRUPT when anything that counted cannot be read. */
export async function openFolder(directory: string, lock: DirectoryLock): Promise<OpenedFolder> {
  refuseFormerFormat(directory)
  const mark = Mark.open(markPath(directory)) ?? (await makeStore(directory, lock))
  await makeLogFolders(directory)
  try {
    return await openLogs(directory, mark)
  } catch (thrown) {
    mark.close()
    throw thrown
  }
}

async function openLogs(directory: string, mark: Mark): Promise<OpenedFolder> {
  const keys = await KeyLog.open(directory, mark)
  const evidence = await EvidenceLog.open(directory, mark)
  const content = readJournal(directory, mark.state)
  const losses = [...queueLosses(content, mark.state.evidence.source), ...evidence.losses, ...keys.losses]
  if (losses.length > 0 || !evidence.log) {
    evidence.log?.close()
    await keys.log.close()
    throw damageError(losses)
  }
  await fileStatements(content, evidence.log)
  await removeUnfinished(directory)
  await removeRetired(directory, mark.state.queue.first)
  const wasLeftOpen = mark.state.isOpen === true
  mark.write({ boot: mark.state.boot + 1, sequence: content.sequence, isOpen: true })
  await mark.sync()
  const { log } = evidence
  return {
    mark,
    evidence: log,
    keys: keys.log,
    segments: [...content.segments],
    sequence: content.sequence,
    taken: new Taken(content.cursors),
    isHealed: keys.isHealed,
    wasLeftOpen,
    async close() {
      log.close()
      await keys.log.close()
      mark.close()
    },
  }
}

/** Statements of the last process that had not been filed when it ended. */
export async function fileStatements({ unfiled }: JournalContent, evidence: EvidenceLog): Promise<void> {
  for (const { source, statements } of unfiled) {
    const pairs = [...decodePairs(statements)]
    const kept = pairs.filter(({ key }) => !isTip(key))
    if (kept.length > 0) await evidence.append([encodePairs(kept)], source)
    evidence.learn(pairs.filter(({ key }) => isTip(key)))
  }
  if (unfiled.length > 0) await evidence.sync()
}

/** A folder without a mark is a new one, unless it shows that there was a store before. */
async function makeStore(directory: string, lock: DirectoryLock): Promise<Mark> {
  // Of one whose first start ended on the way there are no files yet.
  if (lock.formerStore !== undefined || LOGS.some((log) => filesOf(directory, log).length > 0))
    throw new SidecarError(
      'STORE_CORRUPT',
      'the mark of the data folder is gone or damaged; betrace store salvage goes on with what is left',
    )
  const instanceId = randomUUID()
  const mark = Mark.create(markPath(directory), {
    instanceId,
    secret: randomBytes(SECRET_BYTES).toString('hex'),
    boot: 0,
    sequence: 0,
    queue: { first: 1, file: 0, extent: NO_EXTENT },
    evidence: { file: 0, extent: NO_EXTENT, source: { file: 0, number: 0 } },
    keys: { file: 0, extent: NO_EXTENT },
  })
  await makeLogFolders(directory)
  await mark.sync()
  // The names, and a new folder's, must survive a power cut as well as what is in the files.
  for (const folder of [directory, dirname(resolve(directory))]) await syncDirectory(folder)
  lock.name(instanceId)
  return mark
}
