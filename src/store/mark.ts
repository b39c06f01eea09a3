// What the store knows of itself, outside the files it speaks of: which installation this is, which files there are and
// how far they reach. It is written after a commit is on disk and before anybody hears OK, in place, two slots in turn,
// so that one is whole at any moment and a full disk does not stop it. A file that was cut or emptied is known by it.
// A slot: bytes 4 | CRC-32 4 | JSON.
import { closeSync, constants, fdatasync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { SidecarError } from '../base/errors.ts'
import type { Extent } from './extent.ts'
import { FORMAT_VERSION } from './file-head.ts'

/** A position in the queue: a file and the number of a record in it. */
export interface Place {
  readonly file: number
  readonly number: number
}

export interface MarkState {
  readonly version: number
  readonly turn: number
  readonly instanceId: string
  /** Hex; the tags of all files come from it. */
  readonly secret: string
  readonly boot: number
  /** The last sequence that was given out. */
  readonly sequence: number
  /** Files before `first` are gone because everybody was done with them. */
  readonly queue: { readonly first: number; readonly file: number; readonly extent: Extent }
  /** As far as it is on disk; `source` is the last record of the queue that is in it. */
  readonly evidence: { readonly file: number; readonly extent: Extent; readonly source: Place }
  readonly keys: { readonly file: number; readonly extent: Extent }
  /** A process has the store, or had it and did not close it. */
  readonly isOpen?: boolean
}

const SLOT_BYTES = 4096
const SLOT_COUNT = 2
const SLOT_HEAD_BYTES = 8

export class Mark {
  readonly #fd: number
  #state: MarkState

  private constructor(fd: number, state: MarkState) {
    this.#fd = fd
    this.#state = state
  }

  /** A new one, not flushed yet. */
  static create(path: string, state: Omit<MarkState, 'turn' | 'version'>): Mark {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    const mark = new Mark(fd, { ...state, turn: 0, version: FORMAT_VERSION })
    for (let slot = 0; slot < SLOT_COUNT; slot++) mark.write({})
    return mark
  }

  static open(path: string): Mark | undefined {
    const state = readMark(path)
    return state && new Mark(openSync(path, constants.O_RDWR), state)
  }

  get state(): MarkState {
    return this.#state
  }

  /** Survives the process from here on; the machine, after the next `sync`. */
  write(change: Partial<MarkState>): void {
    const state = { ...this.#state, ...change, turn: this.#state.turn + 1 }
    const slot = encodeSlot(state)
    writeSync(this.#fd, slot, 0, slot.length, (state.turn % SLOT_COUNT) * SLOT_BYTES)
    this.#state = state
  }

  sync(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    fdatasync(this.#fd, (failure) => (failure ? reject(failure) : resolve()))
    return promise
  }

  close(): void {
    fdatasyncSync(this.#fd)
    closeSync(this.#fd)
  }
}

/** The newer of the slots that are whole; `undefined` when there is none, or no file. Throws STORE_CORRUPT for another version. */
export function readMark(path: string): MarkState | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
  try {
    const bytes = Buffer.alloc(SLOT_COUNT * SLOT_BYTES)
    readSync(fd, bytes, 0, bytes.length, 0)
    const states = [0, 1].flatMap((slot) => decodeSlot(bytes.subarray(slot * SLOT_BYTES)) ?? [])
    const [newest] = states.sort((a, b) => b.turn - a.turn)
    if (newest && newest.version !== FORMAT_VERSION)
      throw new SidecarError('STORE_CORRUPT', 'the data folder was written by another version of betrace')
    return newest
  } finally {
    closeSync(fd)
  }
}

function encodeSlot(state: MarkState): Buffer {
  const text = JSON.stringify(state)
  const slot = Buffer.allocUnsafe(SLOT_HEAD_BYTES + text.length)
  slot.write(text, SLOT_HEAD_BYTES, 'latin1')
  slot.writeUInt32BE(text.length, 0)
  slot.writeUInt32BE(crc32(slot.subarray(SLOT_HEAD_BYTES)), 4)
  return slot
}

function decodeSlot(slot: Buffer): MarkState | undefined {
  const bytes = slot.readUInt32BE(0)
  if (bytes === 0 || bytes > SLOT_BYTES - SLOT_HEAD_BYTES) return undefined
  const text = slot.subarray(SLOT_HEAD_BYTES, SLOT_HEAD_BYTES + bytes)
  // Under its checksum it is what `encodeSlot` was given.
  return crc32(text) === slot.readUInt32BE(4) ? (JSON.parse(text.toString('latin1')) as MarkState) : undefined
}
