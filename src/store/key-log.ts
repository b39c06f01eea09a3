// Key records, written twice: `a` and `b` take the same bytes, and a put is durable when both have them on disk. What was
// replaced or removed stays in the files until they are written anew, by themselves when most of them is of that kind, or
// by `scrub`, which overwrites the old ones before they go.
import { closeSync, existsSync, fstatSync, fsyncSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { AppendFile } from './append-file.ts'
import { filesOf, KEY_COPIES, keysPath, logFolder } from './data-folder.ts'
import { encodePairs } from './data-record.ts'
import { type Extent, NO_EXTENT, NO_TOTALS } from './extent.ts'
import { encodeFrame, HEAD_BYTES, Kind } from './frame.ts'
import { KeyIndex, openKeyIndex } from './key-index.ts'
import type { Mark } from './mark.ts'
import { nameOf } from './names.ts'
import type { Loss } from './survey.ts'
import type { KeyedValue, Table } from './table.ts'

interface Change {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
  readonly done: PromiseWithResolvers<void>
}

const NOTHING = new Uint8Array(0)
const ZEROS = Buffer.alloc(1024 * 1024)
/** Records in one write while the files are written anew. */
const REWRITE_RECORDS = 500
/** Records that may be of no use before it is worth to write the files anew. */
const USELESS_RECORDS_MIN = 1_000

export class KeyLog implements Table {
  readonly #directory: string
  readonly #secret: Uint8Array
  readonly #mark: Mark
  #index: KeyIndex
  #files: readonly AppendFile[]
  #waiting: Change[] = []
  #running: Promise<void> | undefined

  private constructor(directory: string, mark: Mark, index: KeyIndex, files: readonly AppendFile[]) {
    this.#directory = directory
    this.#mark = mark
    this.#secret = Buffer.from(mark.state.secret, 'hex')
    this.#index = index
    this.#files = files
  }

  /** Makes the files when the mark knows of none. Copies that differ are made even, unless something is in neither. */
  static async open(
    directory: string,
    mark: Mark,
  ): Promise<{ readonly log: KeyLog; readonly losses: readonly Loss[]; readonly isHealed: boolean }> {
    const secret = Buffer.from(mark.state.secret, 'hex')
    const { file, extent: known } = mark.state.keys
    for (const other of filesOf(directory, 'keys')) if (other !== file) erase(directory, other)
    if (file === 0) {
      const log = new KeyLog(directory, mark, new KeyIndex({ directory, secret, file }), [])
      await log.#rewrite(false)
      return { log, losses: [], isHealed: false }
    }
    const { index, extent, losses, isUneven } = openKeyIndex({ directory, secret, file }, known)
    const log = new KeyLog(directory, mark, index, [])
    if (losses.length > 0) return { log, losses, isHealed: false }
    if (isUneven) await log.#rewrite(false)
    else log.#files = KEY_COPIES.map((copy) => reopen(directory, secret, file, copy, extent))
    return { log, losses, isHealed: isUneven }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#index.get(key)
  }

  range(options: Parameters<Table['range']>[0] = {}): KeyedValue[] {
    return this.#index.range(options)
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.#change(key, value)
  }

  remove(key: Uint8Array): Promise<void> {
    return this.#change(key, undefined)
  }

  /** Leaves no trace in the files of what was replaced or removed. Changes that come meanwhile wait. */
  async scrub(): Promise<void> {
    while (this.#running) await this.#running
    const scrubbing = this.#rewrite(true)
    this.#occupy(scrubbing)
    await scrubbing
  }

  /** Goes on with what could be read. */
  async salvage(): Promise<void> {
    await this.#rewrite(false)
  }

  /** How many there are. */
  get size(): number {
    return this.#index.size
  }

  async close(): Promise<void> {
    while (this.#running) await this.#running
    for (const file of this.#files) file.close()
    this.#index.close()
  }

  #change(key: Uint8Array, value: Uint8Array | undefined): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#waiting.push({ key, value, done })
    this.#start()
    return done.promise
  }

  #start(): void {
    if (!this.#running) this.#occupy(this.#run())
  }

  /** One at a time works on the files; what is put meanwhile comes next. */
  #occupy(work: Promise<void>): void {
    const done = (): void => {
      this.#running = undefined
      if (this.#waiting.length > 0) this.#start()
    }
    this.#running = work.then(done, done)
  }

  async #run(): Promise<void> {
    // What is asked for in one turn of the event loop goes to the disk together.
    await Promise.resolve()
    const changes = this.#waiting.splice(0)
    try {
      await this.#write(changes)
      for (const { done } of changes) done.resolve()
    } catch (cause) {
      const failure = new SidecarError('STORE_FAILED', 'a key record could not be written', { cause })
      for (const { done } of changes) done.reject(failure)
    }
    const useless = (this.#files[0]?.extent.records ?? 0) - this.#index.size
    // What cannot be made smaller now is tried again after the next change.
    if (useless > USELESS_RECORDS_MIN + this.#index.size) await this.#rewrite(false).catch(() => undefined)
  }

  async #write(changes: readonly Change[]): Promise<void> {
    const [{ extent, tag }] = this.#files
    const places: number[] = []
    const parts: Uint8Array[] = []
    let endAt = extent.endAt
    for (const [back, { key, value }] of changes.entries()) {
      const meta = encodePairs([{ key, value: value ?? NOTHING }])
      const kind = value ? Kind.PUT : Kind.REMOVE
      parts.push(
        ...encodeFrame({ number: extent.records + back + 1, back, kind, meta: [meta], body: NOTHING }, tag),
      )
      places.push(endAt)
      endAt += HEAD_BYTES + meta.length
    }
    await Promise.all(this.#files.map((file) => file.append(parts)))
    await Promise.all(this.#files.map((file) => file.sync()))
    for (const file of this.#files) file.checkInPlace()
    const reached = { endAt, records: extent.records + changes.length, totals: NO_TOTALS }
    for (const file of this.#files) file.advance(reached)
    this.#mark.write({ keys: { file: this.#files[0].file, extent: reached } })
    for (const [i, { key, value }] of changes.entries())
      this.#index.apply({ key: nameOf(key), at: value ? places[i] : undefined })
  }

  /** The live records into new files, which then take the place of the old ones. A death on the way leaves one of both whole. */
  async #rewrite(isErased: boolean): Promise<void> {
    const former = this.#mark.state.keys.file
    const file = former + 1
    const head = { log: 'keys', file, secret: this.#secret, whole: undefined, before: NO_EXTENT } as const
    const files = await Promise.all(
      KEY_COPIES.map((copy) => AppendFile.create(keysPath(this.#directory, file, copy), head)),
    )
    const places = await copyRecords(this.#index, files)
    await Promise.all(files.map((each) => each.sync()))
    await syncDirectory(logFolder(this.#directory, 'keys'))
    this.#mark.write({ keys: { file, extent: files[0].extent } })
    await this.#mark.sync()
    for (const each of this.#files) each.close()
    this.#index.close()
    this.#files = files
    this.#index = new KeyIndex({ directory: this.#directory, secret: this.#secret, file })
    for (const [key, at] of places) this.#index.apply({ key, at })
    if (isErased) erase(this.#directory, former)
    else for (const path of pathsOf(this.#directory, former)) unlinkSync(path)
    await syncDirectory(logFolder(this.#directory, 'keys'))
  }
}

async function copyRecords(index: KeyIndex, files: readonly AppendFile[]): Promise<Map<string, number>> {
  const places = new Map<string, number>()
  let parts: Uint8Array[] = []
  let { endAt, records } = files[0].extent
  const flush = async (): Promise<void> => {
    await Promise.all(files.map((file) => file.append(parts)))
    for (const file of files) file.advance({ endAt, records, totals: NO_TOTALS })
    parts = []
  }
  for (const { key, value } of index.all()) {
    const meta = encodePairs([{ key, value }])
    parts.push(
      ...encodeFrame(
        { number: ++records, back: 0, kind: Kind.PUT, meta: [meta], body: NOTHING },
        files[0].tag,
      ),
    )
    places.set(nameOf(key), endAt)
    endAt += HEAD_BYTES + meta.length
    if (records % REWRITE_RECORDS === 0) await flush()
  }
  if (parts.length > 0) await flush()
  return places
}

function reopen(
  directory: string,
  secret: Uint8Array,
  file: number,
  copy: (typeof KEY_COPIES)[number],
  extent: Extent,
): AppendFile {
  return AppendFile.reopen(keysPath(directory, file, copy), { log: 'keys', file, secret }, extent)
}

function pathsOf(directory: string, file: number): string[] {
  return KEY_COPIES.map((copy) => keysPath(directory, file, copy)).filter((path) => existsSync(path))
}

/** Overwrites files that are not in use any more, and removes them. */
function erase(directory: string, file: number): void {
  for (const path of pathsOf(directory, file)) {
    const fd = openSync(path, 'r+')
    const { size } = fstatSync(fd)
    for (let at = 0; at < size; at += ZEROS.length)
      writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, size - at), at)
    fsyncSync(fd)
    closeSync(fd)
    unlinkSync(path)
  }
}
