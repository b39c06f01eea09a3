// Goes on with what can be read. Each file with a loss is written anew without what is lost, the damaged one is kept in
// `damaged`, and the mark is set to what there is now. Run again after a death on the way, it ends the work.
// Order: key records, evidence, statements that only the queue has, the queue, the mark. So no statement goes before it
// stands in the evidence.
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { AppendFile } from './append-file.ts'
import { checkFolder, type FolderReport } from './check.ts'
import { queueLosses } from './damage.ts'
import {
  damagedFolder,
  filesOf,
  KEY_COPIES,
  keysPath,
  logPath,
  makeLogFolders,
  markPath,
  removeUnfinished,
} from './data-folder.ts'
import { SIGNALS } from './entry.ts'
import { EntryState } from './entry-index.ts'
import { EvidenceLog } from './evidence-log.ts'
import { surveyEvidence } from './evidence-survey.ts'
import { type Extent, NO_EXTENT, NO_TOTALS } from './extent.ts'
import { SECRET_BYTES } from './file-head.ts'
import { encodeFrame, type Kind, tagOf } from './frame.ts'
import { type JournalContent, readJournal } from './journal.ts'
import { KeyLog } from './key-log.ts'
import type { DirectoryLock } from './lock.ts'
import { readHead } from './log-files.ts'
import { Mark } from './mark.ts'
import { fileStatements } from './opening.ts'
import { rewriteSegment } from './rewrite.ts'
import type { Segment } from './segment.ts'
import { type SurveyOptions, surveyFile } from './survey.ts'
import { Taken } from './taken.ts'

/** Answers what was lost; `undefined` when there has been no store. Whoever asks holds the lock. */
export async function salvageFolder(
  directory: string,
  lock: DirectoryLock,
): Promise<FolderReport | undefined> {
  const report = checkFolder(directory)
  const isEmptied = report === undefined && lock.formerStore !== undefined
  if (!report && !isEmptied) return undefined
  await makeLogFolders(directory)
  const mark = Mark.open(markPath(directory)) ?? (await remakeMark(directory, lock))
  try {
    await removeUnfinished(directory)
    const losses = await salvageLogs(directory, mark)
    await mark.sync()
    await syncDirectory(directory)
    const found = report ?? { waiting: NO_TOTALS, statements: 0, keyRecords: 0, isKeyCopyDamaged: false }
    return { ...found, losses, isMarkLost: report?.isMarkLost ?? true }
  } finally {
    mark.close()
  }
}

async function salvageLogs(directory: string, mark: Mark): Promise<FolderReport['losses']> {
  const keys = await salvageKeys(directory, mark)
  const evidence = await salvageEvidence(directory, mark)
  const { log } = await EvidenceLog.open(directory, mark)
  if (!log) throw new SidecarError('STORE_CORRUPT', 'the evidence could not be written anew')
  try {
    const content = readJournal(directory, mark.state)
    const losses = queueLosses(content, mark.state.evidence.source)
    await fileStatements(content, log)
    await log.sync()
    for (const [i, segment] of content.segments.entries()) {
      const isDamaged = content.losses.some(({ file }) => file === segment.file) || hasUnreadable(segment)
      if (isDamaged) await salvageSegment(directory, mark, content, i)
      segment.close()
    }
    return [...losses, ...evidence, ...keys]
  } finally {
    log.close()
  }
}

async function salvageKeys(directory: string, mark: Mark): Promise<FolderReport['losses']> {
  const { file } = mark.state.keys
  const { log, losses } = await KeyLog.open(directory, mark)
  if (losses.length > 0) {
    for (const copy of KEY_COPIES)
      await keepDamaged(directory, keysPath(directory, file, copy), `keys-${file}.${copy}`)
    await log.salvage()
  }
  await log.close()
  return losses
}

async function salvageEvidence(directory: string, mark: Mark): Promise<FolderReport['losses']> {
  const { losses } = surveyEvidence(directory, mark.state, true)
  const files = [...new Set(losses.map(({ file }) => file))]
  let last: Extent | undefined
  for (const file of files) {
    const extent = await rewriteEvidence(directory, mark, file)
    if (file === mark.state.evidence.file) last = extent
  }
  if (files.length === 0) return losses
  const { file, extent } = mark.state.evidence
  // What the queue still has of it is filed again.
  mark.write({ evidence: { file, extent: last ?? extent, source: { file: 0, number: 0 } } })
  return losses
}

async function rewriteEvidence(directory: string, mark: Mark, file: number): Promise<Extent> {
  const path = logPath(directory, 'evidence', file)
  const secret = Buffer.from(mark.state.secret, 'hex')
  const tag = tagOf(secret, 'evidence', file)
  const found: { kind: Kind; meta: Buffer }[] = []
  const options: SurveyOptions = { log: 'evidence', file, path, tag, known: NO_EXTENT, isLast: true }
  surveyFile(options, ({ frame, meta }) => {
    if (meta) found.push({ kind: frame.kind, meta })
  })
  await keepDamaged(directory, path, `evidence-${file}`)
  const before =
    readHead(path)?.before ?? readHead(logPath(directory, 'evidence', file - 1))?.whole ?? NO_EXTENT
  const head = { log: 'evidence', file, secret, whole: undefined, before } as const
  const rewritten = await AppendFile.create(`${path}.new`, head)
  let { endAt, records } = rewritten.extent
  const body = new Uint8Array(0)
  for (const { kind, meta } of found) {
    const parts = encodeFrame({ number: ++records, back: 0, kind, meta: [meta], body }, tag)
    await rewritten.append(parts)
    endAt += parts.reduce((sum, part) => sum + part.length, 0)
    rewritten.advance({ endAt, records, totals: NO_TOTALS })
  }
  await rewritten.seal(head)
  rewritten.close()
  await replace(`${path}.new`, path)
  return rewritten.extent
}

async function salvageSegment(
  directory: string,
  mark: Mark,
  { cursors, segments }: JournalContent,
  index: number,
): Promise<void> {
  const segment = segments[index]
  const { file, path } = segment
  const taken = new Taken(cursors)
  for (const signal of SIGNALS) {
    const entries = segment.lanes[signal]
    for (let i = 0; i < entries.count; i++) {
      const isGone = entries.state(i) === EntryState.UNREADABLE || taken.has(signal, entries.sequence(i))
      if (isGone) segment.release(signal, i)
    }
  }
  await keepDamaged(directory, path, `queue-${file}`)
  const head = { log: 'queue', file, secret: Buffer.from(mark.state.secret, 'hex') } as const
  const told = [...cursors].map(([key, value]) => ({ key: Buffer.from(key), value }))
  const before = segments[index - 1]?.extent ?? NO_EXTENT
  segment.replace(await rewriteSegment(path, head, before, segment.readHeld() ?? [], told))
}

function hasUnreadable({ lanes }: Segment): boolean {
  return SIGNALS.some((signal) => {
    const entries = lanes[signal]
    for (let i = 0; i < entries.count; i++) if (entries.state(i) === EntryState.UNREADABLE) return true
    return false
  })
}

/** From the files alone: how far the last ones reached is what can be read of them. */
async function remakeMark(directory: string, lock: DirectoryLock): Promise<Mark> {
  const instanceId = lock.formerStore ?? randomUUID()
  const queue = filesOf(directory, 'queue')
  const last = (files: readonly number[]): number => files.at(-1) ?? 0
  const mark = Mark.create(markPath(directory), {
    instanceId,
    secret: secretIn(directory),
    boot: 0,
    sequence: 0,
    queue: { first: queue[0] ?? 1, file: last(queue), extent: NO_EXTENT },
    evidence: {
      file: last(filesOf(directory, 'evidence')),
      extent: NO_EXTENT,
      source: { file: 0, number: 0 },
    },
    keys: { file: last(filesOf(directory, 'keys')), extent: NO_EXTENT },
  })
  const { extent } = surveyLast(directory, mark)
  mark.write({ evidence: { ...mark.state.evidence, extent } })
  lock.name(instanceId)
  return mark
}

function surveyLast(directory: string, mark: Mark): { readonly extent: Extent } {
  const { file } = mark.state.evidence
  if (file === 0) return { extent: NO_EXTENT }
  const tag = tagOf(Buffer.from(mark.state.secret, 'hex'), 'evidence', file)
  const path = logPath(directory, 'evidence', file)
  return surveyFile({ log: 'evidence', file, path, tag, known: NO_EXTENT, isLast: true }, () => undefined)
}

/** Every file's head has it. */
function secretIn(directory: string): string {
  const paths = [
    ...(['queue', 'evidence'] as const).flatMap((log) =>
      filesOf(directory, log).map((file) => logPath(directory, log, file)),
    ),
    ...filesOf(directory, 'keys').flatMap((file) =>
      KEY_COPIES.map((copy) => keysPath(directory, file, copy)),
    ),
  ]
  for (const path of paths) {
    const head = readHead(path)
    if (head) return Buffer.from(head.secret).toString('hex')
  }
  return randomBytes(SECRET_BYTES).toString('hex')
}

/** Under a second name, which needs no room. */
async function keepDamaged(directory: string, path: string, name: string): Promise<void> {
  if (!existsSync(path)) return
  const folder = damagedFolder(directory)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await link(path, join(folder, `${name}-${randomUUID()}.log`))
  await syncDirectory(folder)
}

async function replace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}
