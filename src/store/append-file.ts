// One file that grows by whole writes. A write that fails leaves nothing that counts: before the next one the file is cut
// back to where the last good one ended.
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  statSync,
  writev,
} from 'node:fs'
import { SidecarError } from '../base/errors.ts'
import { type Extent, NO_TOTALS } from './extent.ts'
import { encodeFileHead, FILE_HEAD_BYTES, type FileHead } from './file-head.ts'
import { tagOf } from './frame.ts'

export class AppendFile {
  readonly path: string
  readonly file: number
  readonly tag: Buffer
  readonly fd: number
  /** What counts. Whoever appends moves it on when the bytes are where they should be. */
  extent: Extent
  readonly #identity: string
  #hasLeftovers = true

  private constructor(
    path: string,
    head: Pick<FileHead, 'log' | 'file' | 'secret'>,
    fd: number,
    extent: Extent,
  ) {
    this.path = path
    this.file = head.file
    this.tag = tagOf(head.secret, head.log, head.file)
    this.fd = fd
    this.extent = extent
    const { dev, ino } = fstatSync(fd)
    this.#identity = `${dev}/${ino}`
  }

  /** A new file, its head on disk; its name is when the folder was flushed. One that a crash left there is replaced. */
  static async create(path: string, head: FileHead): Promise<AppendFile> {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600)
    const made = new AppendFile(path, head, fd, { endAt: FILE_HEAD_BYTES, records: 0, totals: NO_TOTALS })
    try {
      await writeAll(fd, [encodeFileHead(head)], 0)
      await made.sync()
      return made
    } catch (thrown) {
      closeSync(fd)
      throw thrown
    }
  }

  /** A file that is there, to be added to behind `extent`; what stands there is cut off first. */
  static reopen(path: string, head: Pick<FileHead, 'log' | 'file' | 'secret'>, extent: Extent): AppendFile {
    return new AppendFile(path, head, openSync(path, constants.O_RDWR), extent)
  }

  /** Puts bytes behind what counts; `extent` stays as it is. Rejects with the system's error. */
  async append(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#hasLeftovers) this.#cut()
    this.#hasLeftovers = true
    await writeAll(this.fd, parts, this.extent.endAt)
  }

  /** What was appended counts from now on. */
  advance(extent: Extent): void {
    this.extent = extent
    this.#hasLeftovers = false
  }

  /** Nothing more comes: the head says how far it reaches, and all of it is on disk. */
  async seal(head: FileHead): Promise<void> {
    await writeAll(this.fd, [encodeFileHead({ ...head, whole: this.extent })], 0)
    await this.sync()
  }

  /** What stands behind `extent` does not count after all. Cut off now if that works, else before the next write. */
  revert(extent: Extent): void {
    this.extent = extent
    this.#hasLeftovers = true
    try {
      this.#cut()
    } catch {
      // The disk does not even do that; whoever writes next is told.
    }
  }

  sync(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    fdatasync(this.fd, (failure) => (failure ? reject(failure) : resolve()))
    return promise
  }

  /** Throws STORE_FAILED when this file is no longer the one of that name, or was cut: what it takes would be lost. */
  checkInPlace(): void {
    const found = statSync(this.path, { throwIfNoEntry: false })
    if (!found || `${found.dev}/${found.ino}` !== this.#identity)
      throw new SidecarError('STORE_FAILED', 'the data folder was removed or replaced')
    if (found.size < this.extent.endAt) throw new SidecarError('STORE_FAILED', 'a data file was cut short')
  }

  close(): void {
    closeSync(this.fd)
  }

  #cut(): void {
    // Somebody else has cut it: to make it long again would only hide that.
    if (fstatSync(this.fd).size < this.extent.endAt)
      throw new SidecarError('STORE_FAILED', 'a data file was cut short')
    ftruncateSync(this.fd, this.extent.endAt)
    this.#hasLeftovers = false
  }
}

async function writeAll(fd: number, parts: readonly Uint8Array[], at: number): Promise<void> {
  let rest = parts
  for (let position = at; rest.length > 0; ) {
    const written = await writeSome(fd, rest, position)
    // A full disk may take a part and say no only to the next call.
    if (written === 0) throw new Error('ENOSPC: nothing was written')
    position += written
    rest = after(rest, written)
  }
}

function writeSome(fd: number, parts: readonly Uint8Array[], at: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  writev(fd, parts, at, (failure, written) => (failure ? reject(failure) : resolve(written)))
  return promise
}

function after(parts: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let skipped = 0
  for (let index = 0; index < parts.length; index++) {
    const end = skipped + parts[index].length
    if (end > written) return [parts[index].subarray(written - skipped), ...parts.slice(index + 1)]
    skipped = end
  }
  return []
}
