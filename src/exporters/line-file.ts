// An append-only file of lines. A line counts when fdatasync has returned: lines that come together share one. After a
// crash the last line may be torn; it was never acknowledged, so it is cut off when the file is opened again. A write
// that fails half way is cut off the same way, at once.
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory, syncDirectory } from '../base/directory.ts'

interface Waiting {
  readonly line: Uint8Array
  resolve(): void
  reject(reason: unknown): void
}

const NEWLINE = 0x0a
const TAIL_CHUNK_BYTES = 64 * 1024

export interface LineFileOptions {
  readonly path: string
  /** Called before `bytes` are added to a file of `size`; true: close the file, call `rotate`, start a new one. */
  readonly isFull?: (size: number, bytes: number) => boolean
  readonly rotate?: () => Promise<void>
}

export class LineFile {
  readonly #options: LineFileOptions
  #file: FileHandle | undefined
  #size = 0
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
      await syncDirectory(dirname(this.#options.path))
      this.#file = file
    } catch (thrown) {
      await file.close()
      throw thrown
    }
  }

  /** `line` ends in a newline. Resolves when it is on disk; rejects when it is not in the file. */
  append(line: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ line, resolve, reject })
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
    let start = 0
    while (start < batch.length) {
      try {
        if (start === 0) await this.#letGoOfMoved()
        if (!this.#file) await this.open()
        await this.#makeRoom(batch[start].line.length)
        const count = this.#fitting(batch, start)
        await this.#append(batch.slice(start, start + count).map(({ line }) => line))
        for (const { resolve } of batch.slice(start, start + count)) resolve()
        start += count
      } catch (thrown) {
        for (const { reject } of batch.slice(start)) reject(thrown)
        return
      }
    }
  }

  /** Somebody may move or delete the file under us; what is written after that must be found under its name. */
  async #letGoOfMoved(): Promise<void> {
    const file = this.#file
    if (!file) return
    const [ours, named] = await Promise.all([
      file.stat({ bigint: true }),
      stat(this.#options.path, { bigint: true }).catch(() => undefined),
    ])
    if (named && named.ino === ours.ino && named.dev === ours.dev) return
    this.#file = undefined
    await file.close()
    await makeDirectory(dirname(this.#options.path))
  }

  /** Lines from `start` that go into the file as it is; at least one. */
  #fitting(batch: readonly Waiting[], start: number): number {
    let count = 1
    let bytes = batch[start].line.length
    while (start + count < batch.length) {
      const next = batch[start + count].line.length
      if (this.#options.isFull?.(this.#size + bytes, next)) break
      bytes += next
      count++
    }
    return count
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { isFull, rotate } = this.#options
    if (!rotate || this.#size === 0 || !isFull?.(this.#size, bytes)) return
    const file = this.#file
    this.#file = undefined
    await file?.close()
    await rotate()
    await this.open()
  }

  async #append(lines: readonly Uint8Array[]): Promise<void> {
    const file = this.#file
    if (!file) throw new Error('the file is closed')
    const bytes = lines.reduce((sum, line) => sum + line.length, 0)
    try {
      let written = (await file.writev(lines)).bytesWritten
      // A short write is legal; what is missing goes again from where it stopped.
      while (written < bytes) written += (await file.write(Buffer.concat(lines), written)).bytesWritten
      await file.datasync()
      this.#size += bytes
    } catch (thrown) {
      // Reopening mends the tail should this fail as well.
      this.#file = undefined
      await file.truncate(this.#size).catch(() => undefined)
      await file.close().catch(() => undefined)
      throw thrown
    }
  }
}

/** Cuts a torn last line off. A last line that is whole JSON and lacks only its newline is somebody's, and is kept. */
async function mendTail(file: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const end = await lastNewline(file, size)
  if (end === size) return size
  const tail = Buffer.alloc(size - end)
  await file.read(tail, 0, tail.length, end)
  if (isJson(tail)) {
    await file.write('\n')
    await file.datasync()
    return size + 1
  }
  await file.truncate(end)
  await file.datasync()
  return end
}

/** Position after the last newline, 0 when there is none. */
async function lastNewline(file: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(TAIL_CHUNK_BYTES)
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunk.length)
    const { bytesRead } = await file.read(chunk, 0, end - start, start)
    const at = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (at >= 0) return start + at + 1
    end = start
  }
  return 0
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'))
    return true
  } catch {
    return false
  }
}
