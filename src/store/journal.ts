// The queue on disk: files of records that are only added to. One record is one atomic write of an entry with its
// statements; a commit is many of them, one write and one flush. A file goes when everybody is done with all of its
// entries and the copy of its statements is on disk.
// Order of a commit: statements to the evidence log, records to the queue, flush, look whether both are still the files of
// their names, mark, OK. A death before the flush leaves a torn tail that nobody was told of; after it, whole records.
import assert from 'node:assert'
import { rm } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import { syncDirectory } from '../base/directory.ts'
import { AppendFile } from './append-file.ts'
import { logFolder, logPath } from './data-folder.ts'
import { decodeCursors, decodeData, decodePairs } from './data-record.ts'
import { entryBytes } from './entry.ts'
import type { EvidenceLog } from './evidence-log.ts'
import { NO_EXTENT, reaching } from './extent.ts'
import { Kind, tagOf } from './frame.ts'
import { type JournalDraft, JournalWrite } from './journal-write.ts'
import { readHead } from './log-files.ts'
import type { Mark, MarkState, Place } from './mark.ts'
import { rewriteSegment } from './rewrite.ts'
import type { FoundRecord } from './scan.ts'
import { Segment } from './segment.ts'
import { headLoss, type Loss, surveyFile } from './survey.ts'
import type { KeyedValue } from './table.ts'

/** Files, full of what nobody needs, that there may be beside twice of what is live. */
const SPARE_SEGMENTS = 2

const COMPACT_RETRY_MS = 30_000

/** What consumers have told, by name. */
export type Cursors = ReadonlyMap<string, Uint8Array>

export interface JournalContent {
  readonly segments: readonly Segment[]
  /** As they were last written. */
  readonly cursors: Cursors
  readonly losses: readonly Loss[]
  /** Records with statements that the evidence log does not have yet. */
  readonly unfiled: readonly { readonly source: Place; readonly statements: Uint8Array }[]
  readonly sequence: number
}

/** Reads all files of the queue, and changes none. */
export function readJournal(
  directory: string,
  { queue, evidence, secret, sequence }: MarkState,
): JournalContent {
  const reading = new JournalReading(evidence.source)
  for (let file = queue.first; file <= queue.file; file++) {
    const path = logPath(directory, 'queue', file)
    const tag = tagOf(Buffer.from(secret, 'hex'), 'queue', file)
    const head = readHead(path)
    const isOpen = file === queue.file && !head?.whole
    const after = isOpen ? queue.extent : readHead(logPath(directory, 'queue', file + 1))?.before
    const known = head?.whole ?? reaching(after)
    // Of a file whose neighbour does not say how far it reached, whatever is there counts.
    const survey = {
      log: 'queue',
      file,
      path,
      tag,
      known: known ?? NO_EXTENT,
      isLast: isOpen || !known,
    } as const
    const segment = reading.begin(new Segment(file, path, tag, reading.sequence + 1, NO_EXTENT))
    const { losses, extent } = surveyFile(survey, (record) => reading.take(record, segment))
    segment.extent = extent
    reading.losses.push(...losses)
    if (!head && losses.length === 0) reading.losses.push(headLoss('queue', file))
  }
  return { ...reading, sequence: Math.max(sequence, reading.sequence) }
}

class JournalReading {
  readonly segments: Segment[] = []
  readonly cursors = new Map<string, Uint8Array>()
  readonly losses: Loss[] = []
  readonly unfiled: { source: Place; statements: Uint8Array }[] = []
  sequence = 0
  readonly #filed: Place

  constructor(filed: Place) {
    this.#filed = filed
  }

  begin(segment: Segment): Segment {
    this.segments.push(segment)
    return segment
  }

  take({ frame, at, meta, isBodyGood }: FoundRecord, segment: Segment): void {
    if (!meta) return
    if (frame.kind === Kind.CURSORS) {
      this.cursors.clear()
      for (const { key, value } of decodePairs(decodeCursors(meta).cursors))
        this.cursors.set(key.toString(), new Uint8Array(value))
      return
    }
    if (frame.kind !== Kind.DATA) return
    const { signal, sequence, itemCount, refs, statements } = decodeData(meta)
    this.sequence = Math.max(this.sequence, sequence)
    if (signal)
      segment.add(signal, sequence, at, itemCount, entryBytes(frame.bodyBytes, refs.length), isBodyGood)
    const source = { file: segment.file, number: frame.number }
    if (statements.length > 0 && isAfter(source, this.#filed)) this.unfiled.push({ source, statements })
  }
}

function isAfter(a: Place, b: Place): boolean {
  return a.file > b.file || (a.file === b.file && a.number > b.number)
}

export interface JournalSettings {
  readonly directory: string
  readonly mark: Mark
  readonly clock: Clock
  readonly segmentBytes: number
  readonly evidence: EvidenceLog
  readonly segments: Segment[]
  /** All cursors, or those that moved since they were last asked for. */
  readonly cursors: (isAll: boolean) => readonly KeyedValue[]
}

export class Journal {
  readonly #parts: JournalSettings
  readonly #secret: Uint8Array
  #file: AppendFile | undefined
  #segment: Segment | undefined
  #compactAtMs = 0

  constructor(parts: JournalSettings) {
    this.#parts = parts
    this.#secret = Buffer.from(parts.mark.state.secret, 'hex')
  }

  /**
   * All or nothing, and on disk when it resolves; whether there was anything to write. Rejects with the reason, and then
   * none of it counts.
   */
  async commit(drafts: readonly JournalDraft[], isTrial: boolean): Promise<boolean> {
    const { mark, evidence, cursors } = this.#parts
    const moved = cursors(isTrial)
    if (drafts.length === 0 && moved.length === 0 && !isTrial) return false
    const file = await this.#writable()
    const write = new JournalWrite(file.tag, file.extent, mark.state.sequence)
    for (const draft of drafts) write.add(draft)
    if (moved.length > 0 || isTrial) write.addCursors(moved)
    const source = { file: file.file, number: write.records }
    const before = evidence.position
    file.checkInPlace()
    try {
      if (write.kept.length > 0) await evidence.append(write.kept, source)
      await file.append(write.parts)
      await file.sync()
      file.checkInPlace()
    } catch (thrown) {
      evidence.revert(before)
      file.revert(file.extent)
      throw thrown
    }
    file.advance(write.extent)
    evidence.learn(write.tips)
    this.#index(drafts, write.offsets)
    const { queue } = mark.state
    mark.write({ queue: { ...queue, file: file.file, extent: write.extent }, sequence: write.sequence })
    return true
  }

  /** Lets go of what nobody needs. Not beside a commit. */
  async upkeep(): Promise<void> {
    await this.#retire()
    const { clock } = this.#parts
    if (clock.monotonicMs() < this.#compactAtMs) return
    // Most likely there is no room for the new file; the old one serves as well.
    await this.#compact().catch(() => {
      this.#compactAtMs = clock.monotonicMs() + COMPACT_RETRY_MS
    })
  }

  /** The oldest files, as far as everybody is done with them. */
  async #retire(): Promise<void> {
    const { mark, evidence, segments, directory } = this.#parts
    const held = segments.findIndex((segment) => segment === this.#segment || segment.heldCount > 0)
    if (held <= 0) return
    await evidence.sync()
    mark.write({ queue: { ...mark.state.queue, first: segments[held].file } })
    await mark.sync()
    const gone = segments.splice(0, held)
    for (const segment of gone) segment.close()
    await Promise.all(gone.map(({ path }) => rm(path, { force: true })))
    await syncDirectory(logFolder(directory, 'queue'))
  }

  /** Where one consumer is far behind, files hold little that is live: the emptiest is written anew without the rest. */
  async #compact(): Promise<void> {
    const { evidence, segments, segmentBytes } = this.#parts
    const closed = segments.filter((segment) => segment !== this.#segment)
    const bytes = closed.reduce((sum, { extent }) => sum + extent.endAt, 0)
    const heldBytes = closed.reduce((sum, segment) => sum + segment.heldBytes, 0)
    if (bytes <= 2 * heldBytes + SPARE_SEGMENTS * segmentBytes) return
    const waste = (segment: Segment): number => segment.extent.endAt - segment.heldBytes
    const emptiest = closed.reduce((a, b) => (waste(b) > waste(a) ? b : a))
    const entries = emptiest.readHeld()
    // Somebody will want to look at what cannot be read.
    if (!entries) return
    await evidence.sync()
    const head = { log: 'queue', file: emptiest.file, secret: this.#secret } as const
    emptiest.replace(await rewriteSegment(emptiest.path, head, readHead(emptiest.path)?.before, entries))
  }

  /** Begins a file of this process, so that no file of an earlier one is added to. */
  async start(): Promise<void> {
    await this.#roll()
  }

  /** Throws STORE_FAILED when what it takes would be lost, because somebody removed or cut the file. */
  checkInPlace(): void {
    this.#file?.checkInPlace()
  }

  close(): void {
    this.#file?.close()
    for (const segment of this.#parts.segments) segment.close()
  }

  async #writable(): Promise<AppendFile> {
    if (!this.#file || this.#file.extent.endAt >= this.#parts.segmentBytes) await this.#roll()
    assert(this.#file, 'there is a file after one was made')
    return this.#file
  }

  /** The new file says how far the old one reached, so it is on disk before anything counts that stands in it. */
  async #roll(): Promise<void> {
    const { directory, mark, segments, cursors } = this.#parts
    const { queue } = mark.state
    const former = segments.at(-1)
    const file = former ? former.file + 1 : queue.first
    const path = logPath(directory, 'queue', file)
    const head = {
      log: 'queue',
      file,
      secret: this.#secret,
      whole: undefined,
      before: former?.extent ?? NO_EXTENT,
    } as const
    const created = await AppendFile.create(path, head)
    const write = new JournalWrite(created.tag, created.extent, mark.state.sequence)
    write.addCursors(cursors(true))
    await created.append(write.parts)
    await created.sync()
    await syncDirectory(logFolder(directory, 'queue'))
    created.advance(write.extent)
    mark.write({ queue: { ...queue, file, extent: write.extent } })
    await mark.sync()
    this.#file?.close()
    this.#file = created
    this.#segment = new Segment(file, path, created.tag, mark.state.sequence + 1, write.extent)
    segments.push(this.#segment)
  }

  #index(drafts: readonly JournalDraft[], offsets: readonly number[]): void {
    assert(this.#segment && this.#file, 'what was written stands in a file')
    this.#segment.extent = this.#file.extent
    for (const [i, { entry }] of drafts.entries()) {
      if (!entry) continue
      const bytes = entryBytes(entry.body.length, entry.refs.length)
      this.#segment.add(entry.signal, entry.sequence, offsets[i], entry.itemCount, bytes, true)
    }
  }
}
