// OTLP/JSON, one request a line, as the Collector's file exporter writes it. A full file is renamed to
// <name>-<UTC time>.<extension> beside it, as the Collector does.
import { constants } from 'node:fs'
import { access, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { checkDirectory, makeDirectory, syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { JsonWriter } from '../wire/json.ts'
import type { Signal } from '../wire/otlp.ts'
import { LineFile } from './line-file.ts'
import { FILE_ROTATION_DEFAULTS, type FileExporterOptions } from './options.ts'
import type { Sender, SendOutcome } from './sender.ts'

const DAY_MS = 86_400_000

export class FileExporter implements Sender {
  readonly id: string
  readonly #path: string
  readonly #rotation: {
    readonly fileBytesMax: number
    readonly backupsMax: number
    readonly ageDaysMax: number
  }
  readonly #clock: Clock
  readonly #file: LineFile

  constructor(id: string, options: FileExporterOptions, clock: Clock) {
    this.id = id
    this.#path = options.path
    this.#rotation = { ...FILE_ROTATION_DEFAULTS, ...options.rotation }
    this.#clock = clock
    this.#file = new LineFile({
      path: options.path,
      isFull: (size, bytes) => size + bytes > this.#rotation.fileBytesMax,
      rotate: () => this.#rotate(),
    })
  }

  /** Makes the folder and the file (mode 0600), and cuts a torn last line off. Rejects CONFIG. */
  async start(): Promise<void> {
    try {
      await makeDirectory(dirname(this.#path))
      await this.#file.open()
    } catch (cause) {
      throw notWritable(this.id, cause)
    }
  }

  async send(
    signal: Signal,
    body: Uint8Array,
    abort: AbortSignal,
    onHandedOver?: () => void,
  ): Promise<SendOutcome> {
    abort.throwIfAborted()
    try {
      await this.#file.append(() => new ToldWriter(body, signal, onHandedOver))
    } catch (thrown) {
      if (isBroken(thrown)) return { kind: 'refused', reason: 'not_json' }
      return { kind: 'retry', afterMs: undefined, reason: writeFailure(thrown) }
    }
    return { kind: 'ok', rejectedItems: 0, message: '' }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #rotate(): Promise<void> {
    const stamp = new Date(this.#clock.nowMs()).toISOString().replaceAll(':', '-').replace('Z', '')
    const extension = extname(this.#path)
    const stem = this.#path.slice(0, this.#path.length - extension.length)
    const taken = new Set(await readdir(dirname(this.#path)))
    let target = `${stem}-${stamp}${extension}`
    // Two within one millisecond must not replace each other.
    for (let n = 1; taken.has(basename(target)); n++) target = `${stem}-${stamp}-${n}${extension}`
    await rename(this.#path, target)
    await this.#prune()
    await syncDirectory(dirname(this.#path))
  }

  async #prune(): Promise<void> {
    const { backupsMax, ageDaysMax } = this.#rotation
    const directory = dirname(this.#path)
    const extension = extname(this.#path)
    const stem = basename(this.#path, extension)
    const newestFirst = (await readdir(directory))
      .flatMap((name) => backupOf(name, stem, extension) ?? [])
      .sort((a, b) => b.atMs - a.atMs || b.index - a.index)
    const oldestMs = ageDaysMax > 0 ? this.#clock.nowMs() - ageDaysMax * DAY_MS : 0
    for (const [index, backup] of newestFirst.entries()) {
      const isOneTooMany = backupsMax > 0 && index >= backupsMax
      if (isOneTooMany || backup.atMs < oldestMs) await rm(join(directory, backup.name))
    }
  }
}

/** Rejects CONFIG where `start` would, as far as can be told without making or opening anything. */
export async function checkFileTarget(id: string, path: string): Promise<void> {
  try {
    await checkDirectory(dirname(path))
    const found = await stat(path).catch(() => undefined)
    if (found?.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    if (found) await access(path, constants.R_OK | constants.W_OK)
  } catch (cause) {
    throw notWritable(id, cause)
  }
}

const notWritable = (id: string, cause: unknown): SidecarError =>
  new SidecarError('CONFIG', `exporters.${id}.path: cannot be written`, { cause })

interface Backup {
  readonly name: string
  readonly atMs: number
  /** Tells apart what was set aside within one millisecond. */
  readonly index: number
}

/** `undefined` for a file that rotation did not name. */
function backupOf(name: string, stem: string, extension: string): Backup | undefined {
  if (!name.startsWith(`${stem}-`) || !name.endsWith(extension)) return undefined
  const middle = name.slice(stem.length + 1, name.length - extension.length)
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})(?:-(\d+))?$/.exec(middle)
  if (!match) return undefined
  const atMs = Date.parse(`${match[1]}T${match[2]}:${match[3]}:${match[4]}Z`)
  return Number.isNaN(atMs) ? undefined : { name, atMs, index: Number(match[5] ?? 0) }
}

/** Says when the last piece has been made; what is left then is the disk's. */
class ToldWriter extends JsonWriter {
  readonly #onDone: (() => void) | undefined

  constructor(body: Uint8Array, signal: Signal, onDone: (() => void) | undefined) {
    super(body, signal)
    this.#onDone = onDone
  }

  override fill(out: Buffer, at: number): number {
    const end = super.fill(out, at)
    if (this.isDone) this.#onDone?.()
    return end
  }
}

/** Whether the body is no request; all else is the disk's. */
function isBroken(thrown: unknown): boolean {
  return thrown instanceof SidecarError && (thrown.code === 'MALFORMED' || thrown.code === 'TOO_DEEP')
}

function writeFailure(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT' ? 'disk_full' : 'write_failed'
}
