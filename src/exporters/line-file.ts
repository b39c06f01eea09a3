// An append-only file of lines. A line counts when fdatasync has returned: lines that come together share one. After a
// crash the last line may be torn; it was never acknowledged, so it is cut off when the file is opened again. A line that
// breaks half way is cut off the same way, at once.
//
// A line can be longer than memory has room for, so it is made and written in pieces. How long it will be is known at its
// end: one that turns out not to fit into this file is cut off and written again into the next.
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory, syncDirectory } from '../base/directory.ts'
import { mendTail } from './line-tail.ts'

/** A line without its newline, made a piece at a time. */
export interface LineWriter {
  readonly isDone: boolean
  /** Writes from `at` until `out` is full or nothing is left; returns where it stopped. What it throws breaks the line. */
  fill(out: Buffer, at: number): number
}

interface Waiting {
  /** Starts the line from its beginning, each time. */
  readonly start: () => LineWriter
  resolve(): void
  reject(reason: unknown): void
}

const NEWLINE = 0x0a
const BUFFER_BYTES = 256 * 1024

/** What making a line threw: that line's fault, not the file's. */
class BrokenLine extends Error {}

export interface LineFileOptions {
  readonly path: string
  /** Asked while `bytes` are added to a file of `size`; true: take them back, call `rotate`, start a new file. */
  readonly isFull?: (size: number, bytes: number) => boolean
  readonly rotate?: () => Promise<void>
}

export class LineFile {
  readonly #options: LineFileOptions
  #file: FileHandle | undefined
  /** On disk, bytes. */
  #size = 0
  /** In the file, perhaps not on disk yet. */
  #writtenSize = 0
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  /** In the buffer, not in the file yet. */
  #buffered = 0
  #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  constructor(options: LineFileOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#size
  }

  async open(): Promise<void> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND
    const file = await open(this.#options.path, flags, 0o600)
    try {
      this.#size = await mendTail(file, (await file.stat()).size)
      this.#writtenSize = this.#size
      this.#buffered = 0
      await syncDirectory(dirname(this.#options.path))
      this.#file = file
    } catch (thrown) {
      await file.close()
      throw thrown
    }
  }

  /** Resolves when the line is on disk; rejects when it is not in the file, with what the line or the file threw. */
  append(start: () => LineWriter): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ start, resolve, reject })
    this.#running ??= this.#run()
    return promise
  }

  async close(): Promise<void> {
    while (this.#running) await this.#running
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      await this.#write(batch)
    }
    this.#running = undefined
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    let unsettled: Waiting[] = []
    let next = 0
    try {
      await this.#letGoOfMoved()
      if (!this.#file) await this.open()
      for (; next < batch.length; next++) {
        const waiting = batch[next]
        try {
          while (!(await this.#writeLine(waiting.start()))) {
            await this.#settle(unsettled)
            unsettled = []
            await this.#rotate()
          }
          unsettled.push(waiting)
        } catch (thrown) {
          if (!(thrown instanceof BrokenLine)) throw thrown
          waiting.reject(thrown.cause)
        }
      }
      await this.#settle(unsettled)
    } catch (thrown) {
      await this.#abandon()
      for (const { reject } of [...unsettled, ...batch.slice(next)]) reject(thrown)
    }
  }

  /** False, with nothing of it left in the file, when the line does not fit. */
  async #writeLine(line: LineWriter): Promise<boolean> {
    const { isFull, rotate } = this.#options
    const start = this.#writtenSize + this.#buffered
    for (let isDone = false; !isDone; ) {
      try {
        // One byte stays free for the newline.
        this.#buffered = line.fill(this.#buffer.subarray(0, BUFFER_BYTES - 1), this.#buffered)
        isDone = line.isDone
      } catch (cause) {
        await this.#cut(start)
        throw new BrokenLine('the line could not be made', { cause })
      }
      if (isDone) this.#buffer[this.#buffered++] = NEWLINE
      if (rotate && start > 0 && isFull?.(start, this.#writtenSize + this.#buffered - start)) {
        await this.#cut(start)
        return false
      }
      if (!isDone) await this.#flush()
    }
    return true
  }

  /** Takes back what stands from `start` on. */
  async #cut(start: number): Promise<void> {
    if (start >= this.#writtenSize) {
      this.#buffered = start - this.#writtenSize
      return
    }
    this.#buffered = 0
    await this.#opened().truncate(start)
    this.#writtenSize = start
  }

  async #flush(): Promise<void> {
    const file = this.#opened()
    // A short write is legal; what is missing goes again from where it stopped.
    for (let from = 0; from < this.#buffered; ) {
      from += (await file.write(this.#buffer, from, this.#buffered - from)).bytesWritten
    }
    this.#writtenSize += this.#buffered
    this.#buffered = 0
  }

  async #settle(written: readonly Waiting[]): Promise<void> {
    if (written.length === 0) return
    await this.#flush()
    await this.#opened().datasync()
    this.#size = this.#writtenSize
    for (const { resolve } of written) resolve()
  }

  /** The file failed: what is not on disk is taken back. Reopening mends the tail should that fail as well. */
  async #abandon(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.truncate(this.#size).catch(() => undefined)
    await file?.close().catch(() => undefined)
  }

  /** Somebody may move, delete or empty the file under us; what is written after that must be found under its name. */
  async #letGoOfMoved(): Promise<void> {
    const file = this.#file
    if (!file) return
    const [ours, named] = await Promise.all([
      file.stat({ bigint: true }),
      stat(this.#options.path, { bigint: true }).catch(() => undefined),
    ])
    const isNamed = named?.ino === ours.ino && named.dev === ours.dev
    if (isNamed && ours.size === BigInt(this.#size)) return
    this.#file = undefined
    await file.close()
    await makeDirectory(dirname(this.#options.path))
  }

  async #rotate(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
    await this.#options.rotate?.()
    await this.open()
  }

  #opened(): FileHandle {
    if (!this.#file) throw new Error('the file is closed')
    return this.#file
  }
}
