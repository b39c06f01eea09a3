// Signed statements, kept for ever. They are durable as part of the queue's records; here they are written a second time,
// and a file of the queue may only go when this copy is on disk. So what stands behind the last sync is not read at a
// start but cut off, and written again from the queue. Each file begins with the tips, the values under keys whose first
// byte is 1 (the last statement of each tenant), so that opening reads one file whatever their number.
import { syncDirectory } from '../base/directory.ts'
import { AppendFile } from './append-file.ts'
import { logFolder, logPath } from './data-folder.ts'
import { encodePairs, encodePlace } from './data-record.ts'
import { surveyEvidence } from './evidence-survey.ts'
import { type Extent, NO_EXTENT, NO_TOTALS } from './extent.ts'
import { encodeFrame, Kind } from './frame.ts'
import { readHead } from './log-files.ts'
import type { Mark, Place } from './mark.ts'
import { nameOf } from './names.ts'
import type { Loss } from './survey.ts'
import type { KeyedValue } from './table.ts'

const FILE_BYTES_MAX = 16 * 1024 * 1024
/** Tips are written once a file; a file is so many times as large as they are. */
const TIPS_SHARE = 8
const NOTHING = new Uint8Array(0)

export interface EvidencePosition {
  readonly extent: Extent
  readonly source: Place
}

export class EvidenceLog {
  readonly #directory: string
  readonly #mark: Mark
  readonly #secret: Uint8Array
  readonly #tips = new Map<string, Uint8Array>()
  /** Tips that are not in this file yet. */
  readonly #moved = new Set<string>()
  #file: AppendFile
  #source: Place
  #olderBytes = 0
  #bytesMax = FILE_BYTES_MAX

  private constructor(directory: string, mark: Mark, file: AppendFile) {
    this.#directory = directory
    this.#mark = mark
    this.#secret = Buffer.from(mark.state.secret, 'hex')
    this.#file = file
    this.#source = mark.state.evidence.source
  }

  static async open(
    directory: string,
    mark: Mark,
  ): Promise<{ readonly log: EvidenceLog | undefined; readonly losses: readonly Loss[] }> {
    const { file, extent } = mark.state.evidence
    const secret = Buffer.from(mark.state.secret, 'hex')
    if (file === 0) {
      const log = new EvidenceLog(directory, mark, await createFile(directory, secret, 1, NO_EXTENT))
      await log.#begin()
      return { log, losses: [] }
    }
    const survey = surveyEvidence(directory, mark.state, false)
    if (survey.losses.length > 0) return { log: undefined, losses: survey.losses }
    const path = logPath(directory, 'evidence', file)
    const log = new EvidenceLog(
      directory,
      mark,
      AppendFile.reopen(path, { log: 'evidence', file, secret }, extent),
    )
    for (const [key, value] of survey.tips) log.#tips.set(key, value)
    log.#olderBytes = survey.olderBytes
    // One that was written whole is never added to.
    if (readHead(path)?.whole) await log.#roll()
    return { log, losses: [] }
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#olderBytes + this.#file.extent.endAt
  }

  /** The last record of the queue whose statements are here. */
  get source(): Place {
    return this.#source
  }

  tip(key: Uint8Array): Uint8Array | undefined {
    return this.#tips.get(nameOf(key))
  }

  /** What to `revert` to. */
  get position(): EvidencePosition {
    return { extent: this.#file.extent, source: this.#source }
  }

  /** Takes the statements of records up to `source`, on disk after the next `sync`. */
  async append(statements: readonly Uint8Array[], source: Place): Promise<void> {
    await this.#write(Kind.STATEMENTS, [encodePlace(source), ...statements])
    this.#source = source
  }

  /** Takes back what was appended since: the records it came from do not count. */
  revert({ extent, source }: EvidencePosition): void {
    this.#file.revert(extent)
    this.#source = source
  }

  learn(tips: readonly KeyedValue[]): void {
    for (const { key, value } of tips) {
      const name = nameOf(key)
      this.#tips.set(name, new Uint8Array(value))
      this.#moved.add(name)
    }
  }

  /** Everything that was taken until now is on disk when it resolves, and the mark says so. Not beside `append`. */
  async sync(): Promise<void> {
    if (this.#moved.size > 0) {
      const tips = [...this.#moved].map((name) => ({
        key: Buffer.from(name, 'latin1'),
        value: this.#tips.get(name)!,
      }))
      await this.#write(Kind.TIPS, [encodePairs(tips)])
      this.#moved.clear()
    }
    const file = this.#file
    await file.sync()
    file.checkInPlace()
    this.#mark.write({ evidence: { file: file.file, extent: file.extent, source: this.#source } })
    if (file.extent.endAt >= this.#bytesMax) await this.#roll()
  }

  close(): void {
    this.#file.close()
  }

  async #write(kind: Kind, meta: readonly Uint8Array[]): Promise<void> {
    const { extent, tag } = this.#file
    const file = this.#file
    const parts = encodeFrame({ number: extent.records + 1, back: 0, kind, meta, body: NOTHING }, tag)
    await file.append(parts)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    file.advance({ endAt: extent.endAt + bytes, records: extent.records + 1, totals: NO_TOTALS })
  }

  async #roll(): Promise<void> {
    const full = this.#file
    this.#file = await createFile(this.#directory, this.#secret, full.file + 1, full.extent)
    this.#olderBytes += full.extent.endAt
    full.close()
    await this.#begin()
  }

  async #begin(): Promise<void> {
    const tips: KeyedValue[] = [...this.#tips].map(([key, value]) => ({
      key: Buffer.from(key, 'latin1'),
      value,
    }))
    const pairs = encodePairs(tips)
    this.#bytesMax = Math.max(FILE_BYTES_MAX, TIPS_SHARE * pairs.length)
    await this.#write(Kind.TIPS, [pairs])
    await this.#file.sync()
    const evidence = { file: this.#file.file, extent: this.#file.extent, source: this.#source }
    this.#mark.write({ evidence })
  }
}

async function createFile(
  directory: string,
  secret: Uint8Array,
  file: number,
  before: Extent,
): Promise<AppendFile> {
  const head = { log: 'evidence', file, secret, whole: undefined, before } as const
  const created = await AppendFile.create(logPath(directory, 'evidence', file), head)
  await syncDirectory(logFolder(directory, 'evidence'))
  return created
}
