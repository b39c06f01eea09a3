// What is left of one file, against how far it reached. Every record that counted and cannot be read is a loss with a
// number of records, entries and items. What stands behind the last commit that counted was never acknowledged, and is
// taken when it is whole or cut off when it is not; but a whole commit behind a damaged one shows that there was damage.
import { closeSync, fstatSync, openSync } from 'node:fs'
import { type DataRecord, decodeCursors, decodeData } from './data-record.ts'
import { type Extent, minus, NO_TOTALS, type Totals } from './extent.ts'
import { FILE_HEAD_BYTES, type LogName } from './file-head.ts'
import { frameBytes, Kind } from './frame.ts'
import { type FoundRecord, scanRecords } from './scan.ts'

/** Records of a file that cannot be read, between two that can. */
export interface Loss {
  readonly log: LogName
  readonly file: number
  readonly records: number
  /** The number of the last of them; 0 when there is none. */
  readonly last: number
  readonly totals: Totals
  /** Entries that are lost have sequences between these two. */
  readonly sequences: readonly [after: number, before: number]
}

export interface Survey {
  readonly losses: readonly Loss[]
  /** How far it reaches now. */
  readonly extent: Extent
}

export interface SurveyOptions {
  readonly log: LogName
  readonly file: number
  readonly path: string
  readonly tag: Buffer
  /** How far it reached, at least: for the last file of a log, more may follow. */
  readonly known: Extent
  readonly isLast: boolean
}

/** Hands every readable record that counts to `visit`, in order. A file that is not there has lost everything. */
export function surveyFile(options: SurveyOptions, visit: (record: FoundRecord) => void): Survey {
  const { known, isLast, path, tag } = options
  const progress = new Progress(options)
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    const end = isLast ? fstatSync(fd).size : known.endAt
    const behind: FoundRecord[] = []
    for (const record of scanRecords(fd, tag, FILE_HEAD_BYTES, end)) {
      if (record.meta === undefined || record.frame.number <= progress.number) continue
      if (record.frame.number <= known.records) take(record)
      else behind.push(record)
    }
    for (const record of acceptable(behind, Math.max(progress.number, known.records))) take(record)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT')) throw thrown
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
  return progress.end(known)

  function take(record: FoundRecord): void {
    progress.take(record)
    visit(record)
  }
}

/** Without those of the last write, unless all of it is there. */
function acceptable(behind: readonly FoundRecord[], lastKnown: number): readonly FoundRecord[] {
  let expected = lastKnown + 1
  const broken = behind.findIndex(({ frame, isBodyGood }) => frame.number !== expected++ || !isBodyGood)
  if (broken < 0) return behind
  const firstBad = lastKnown + 1 + broken
  const isDamage = behind.slice(broken).some(({ frame }) => frame.number - frame.back > firstBad)
  return isDamage ? behind : behind.slice(0, broken)
}

class Progress {
  readonly #options: SurveyOptions
  readonly #losses: Loss[] = []
  number = 0
  #endAt = FILE_HEAD_BYTES
  /** Of the entries that were taken, and of the file up to the last record that says so. */
  #totals = NO_TOTALS
  #reached = NO_TOTALS
  #sequence = 0
  #missing = 0
  #lastMissing = 0

  constructor(options: SurveyOptions) {
    this.#options = options
  }

  take(record: FoundRecord): void {
    const { frame, at, meta } = record
    const missing = frame.number - this.number - 1
    if (missing > 0) this.#lastMissing = frame.number - 1
    this.#missing += missing
    const data = frame.kind === Kind.DATA && meta ? decodeData(meta) : undefined
    if (data) {
      // Without an entry, its sequence is that of the entry before it, which may be among the lost.
      this.#close(totalsBefore(data), data.signal ? data.sequence : data.sequence + 1)
      this.#totals = data.totals
      this.#reached = data.totals
      this.#sequence = data.sequence
    } else if (frame.kind === Kind.CURSORS && meta) this.#reached = decodeCursors(meta).totals
    else if (this.#options.log !== 'queue') this.#close(NO_TOTALS, 0)
    this.number = frame.number
    this.#endAt = at + frameBytes(frame)
  }

  end(known: Extent): Survey {
    const isShort = this.number < known.records
    if (isShort) {
      this.#missing += known.records - this.number
      this.#lastMissing = known.records
    }
    this.#close(isShort ? known.totals : this.#reached, Number.MAX_SAFE_INTEGER)
    const extent = { endAt: this.#endAt, records: this.number, totals: this.#reached }
    return { losses: this.#losses, extent: isShort ? known : extent }
  }

  /** `totals`: of all records before the next that can be read, whose sequence is `before`. */
  #close(totals: Totals, before: number): void {
    if (this.#missing === 0) return
    const { log, file } = this.#options
    const lost = minus(totals, this.#totals)
    const sequences = [this.#sequence, before] as const
    this.#losses.push({ log, file, records: this.#missing, last: this.#lastMissing, totals: lost, sequences })
    this.#missing = 0
  }
}

function totalsBefore({ totals, signal, itemCount }: DataRecord): Totals {
  if (!signal) return totals
  return minus(totals, { ...NO_TOTALS, [signal]: { entries: 1, items: itemCount } })
}

/** The head of a file is damaged: what followed it may all be there, but is no longer known to be. */
export function headLoss(log: LogName, file: number): Loss {
  return { log, file, records: 0, last: 0, totals: NO_TOTALS, sequences: [0, 0] }
}
