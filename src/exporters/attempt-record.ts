// Which entries are being worked on, in a file beside the queue that outlives the process: one that dies over an entry
// would die over it at every start. Rules, and why a kill from outside makes no entry suspect for long:
//   - An entry that was at work when the process died is a suspect. While there are suspects, entries are worked on one at
//     a time, and the start waits for those at hand before anything is received: what dies then, died over this one.
//   - A death with one entry at work counts against it; two in a row condemn it. Surviving one attempt clears it.
//   - At work means made and written by us. Who waits for the next hop, or to try again, is not at work. A stop ends it.
//   - Small entries are only recorded after a crash, those that were there before it: recording costs a system call, and
//     what kills a healthy process is large.
// Not synced: it has to survive the process, not the machine. A file that cannot be read or written accuses nobody.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import type { Clock } from '../base/clock.ts'
import { loggable } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { DrainedEntry } from './dead-letter.ts'

const DEATHS_MAX = 2
/** Entries of this size are always recorded, bytes. */
const LARGE_BYTES = 1024 * 1024
/** Written in one piece, padded with spaces, so that no older text stays behind a newer one. */
const RECORD_BYTES = 8 * 1024
/** How many entries the record names at most; exporters seldom have more large ones in flight. */
const NAMED_MAX = 16

interface Accused {
  readonly consumer: string
  readonly sequence: number
  /** Tells entries of two lives of a folder apart. */
  readonly acceptedAtMs: number
  readonly deaths: number
}

interface Found {
  readonly isRunning: boolean
  readonly atWork: readonly Accused[]
  readonly suspects: readonly Accused[]
}

export interface AttemptRecordOptions {
  readonly path: string
  readonly log: Logger
  readonly clock: Clock
}

export class AttemptRecord {
  readonly #options: AttemptRecordOptions
  #file: number | undefined
  #isRunning = false
  /** Wall clock of this start when the last life ended without a stop; entries older than that are all recorded. */
  #recoversUntilMs = Number.NEGATIVE_INFINITY
  readonly #suspects = new Map<string, Accused>()
  readonly #condemned = new Map<string, Accused>()
  readonly #atWork = new Map<string, Accused>()
  /** Suspects whose turn has come or is waited for. */
  readonly #begun = new Map<string, Promise<void>>()
  #lastTurn: Promise<void> = Promise.resolve()

  constructor(options: AttemptRecordOptions) {
    this.#options = options
  }

  /** Reads what the last life left, and begins this one. */
  start(): void {
    const { path, clock } = this.#options
    try {
      this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
      const found = readRecord(this.#file)
      if (found?.isRunning) this.#recoversUntilMs = clock.nowMs()
      if (found) this.#judge(found)
    } catch (thrown) {
      this.#unusable(thrown)
    }
    this.#isRunning = true
    this.#write()
  }

  /** The process died over this entry and over nothing else, twice in a row. */
  isCondemned(consumer: string, entry: DrainedEntry): boolean {
    return this.#condemned.has(keyOf(consumer, entry))
  }

  /** A condemned entry has been set aside. */
  forget(consumer: string, entry: DrainedEntry): void {
    if (this.#condemned.delete(keyOf(consumer, entry))) this.#write()
  }

  /**
   * Work on the entry begins. Returns what to call at its end, once or more often; a promise of it while suspects have
   * their turns. Called in the order of the queue.
   */
  begin(consumer: string, entry: DrainedEntry): (() => void) | Promise<() => void> {
    const key = keyOf(consumer, entry)
    if (this.#suspects.size === 0) return this.#isRecorded(entry) ? this.#work(consumer, entry, key) : nothing
    this.#forgetGone(consumer, entry.sequence)
    const before = this.#lastTurn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lastTurn = promise
    if (this.#suspects.has(key)) this.#begun.set(key, promise)
    return before.then(() => {
      const end = this.#work(consumer, entry, key)
      return () => {
        end()
        resolve()
      }
    })
  }

  /** Resolves when the suspects at hand have been tried. */
  async tried(): Promise<void> {
    await Promise.all(this.#begun.values())
  }

  /** From here on the process ends because it is told to, and nothing counts. */
  stop(): void {
    this.#isRunning = false
    this.#write()
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  /** What is condemned stays so until it is set aside; the rest counts only after a life that was not stopped. */
  #judge({ isRunning, atWork, suspects }: Found): void {
    for (const each of suspects) if (isRunning || each.deaths >= DEATHS_MAX) this.#accuse(each)
    if (!isRunning) return
    const isAlone = atWork.length === 1
    for (const each of atWork) this.#accuse({ ...each, deaths: each.deaths + (isAlone ? 1 : 0) })
  }

  #accuse(accused: Accused): void {
    const key = keyOf(accused.consumer, accused)
    const isCondemned = accused.deaths >= DEATHS_MAX
    this.#suspects.delete(key)
    ;(isCondemned ? this.#condemned : this.#suspects).set(key, accused)
    const { consumer, sequence, deaths } = accused
    this.#options.log.warn(
      { consumer, sequence, deaths },
      isCondemned
        ? 'the process died over this entry twice: it is set aside'
        : 'the process died while it worked on this entry: it is tried alone',
    )
  }

  /** Entries come in order, so a suspect that a later one overtakes has left the queue. */
  #forgetGone(consumer: string, sequence: number): void {
    for (const [key, suspect] of this.#suspects) {
      const isOvertaken = suspect.consumer === consumer && suspect.sequence < sequence
      if (isOvertaken && !this.#begun.has(key)) this.#suspects.delete(key)
    }
  }

  #isRecorded(entry: DrainedEntry): boolean {
    return entry.body.length >= LARGE_BYTES || entry.acceptedAtMs <= this.#recoversUntilMs
  }

  #work(consumer: string, { sequence, acceptedAtMs }: DrainedEntry, key: string): () => void {
    const deaths = this.#suspects.get(key)?.deaths ?? 0
    this.#atWork.set(key, { consumer, sequence, acceptedAtMs, deaths })
    this.#write()
    return () => {
      if (!this.#atWork.delete(key)) return
      this.#suspects.delete(key)
      this.#begun.delete(key)
      this.#write()
    }
  }

  #write(): void {
    if (this.#file === undefined) return
    const suspects = [...this.#suspects.values(), ...this.#condemned.values()]
    const isWaiting = (each: Accused) => !this.#atWork.has(keyOf(each.consumer, each))
    const record: Found = {
      isRunning: this.#isRunning,
      atWork: [...this.#atWork.values()].slice(0, NAMED_MAX),
      suspects: suspects.filter(isWaiting).slice(0, NAMED_MAX),
    }
    try {
      writeSync(this.#file, padded(record), 0, RECORD_BYTES, 0)
    } catch (thrown) {
      this.#unusable(thrown)
    }
  }

  #unusable(thrown: unknown): void {
    this.#options.log.warn(loggable(thrown), 'what the exporters work on cannot be recorded')
    this.close()
  }
}

const nothing = (): void => undefined

function keyOf(consumer: string, entry: Pick<DrainedEntry, 'sequence' | 'acceptedAtMs'>): string {
  return JSON.stringify([entry.sequence, entry.acceptedAtMs, consumer])
}

/** One that would not fit names nobody, rather than leave the names of the one before. */
function padded(record: Found): Buffer {
  const text = JSON.stringify(record)
  const isTooLong = Buffer.byteLength(text) > RECORD_BYTES
  const bytes = Buffer.alloc(RECORD_BYTES, ' ')
  bytes.write(isTooLong ? JSON.stringify({ ...record, atWork: [], suspects: [] }) : text)
  return bytes
}

function readRecord(file: number): Found | undefined {
  const bytes = Buffer.alloc(RECORD_BYTES)
  const length = readSync(file, bytes, 0, RECORD_BYTES, 0)
  try {
    const found: unknown = JSON.parse(bytes.toString('utf8', 0, length))
    return isFound(found) ? found : undefined
  } catch {
    // The first start, or a machine that stopped in the middle of a write: nobody is accused.
    return undefined
  }
}

function isFound(value: unknown): value is Found {
  if (!isObject(value)) return false
  return typeof value.isRunning === 'boolean' && isAccusedList(value.atWork) && isAccusedList(value.suspects)
}

function isAccusedList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (each) =>
        isObject(each) &&
        typeof each.consumer === 'string' &&
        [each.sequence, each.acceptedAtMs, each.deaths].every(Number.isFinite),
    )
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
