// What was given up, so that it can be looked at and sent again by hand: one JSON object a line, the body (redacted, as
// it was sent) in base64. Bounded, and nothing is ever given up without a place here: when the file is full, an entry
// waits in the queue until somebody has moved the file away, readiness says so, and when the queue is full as well, no
// more is accepted.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SidecarError } from '../base/errors.ts'
import { DEAD_LETTER_BYTES_MAX } from '../base/limits.ts'
import { Gauge, type Registry } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'
import { LineFile, type LineWriter } from './line-file.ts'

/** An entry of the queue, as far as a drain looks at it. */
export interface DrainedEntry {
  readonly sequence: number
  readonly signal: Signal
  readonly itemCount: number
  readonly acceptedAtMs: number
  readonly body: Uint8Array
  readonly refs: Uint8Array
}

export interface DeadLetterOptions {
  /** The storage folder; it exists. */
  readonly directory: string
  readonly bytesMax?: number
}

/** What the file holds and what it has no room for. */
export interface DeadLetterLevels {
  readonly bytesUsed: number
  readonly bytesMax: number
  /** Items of entries that wait for room; above 0 somebody has to move the file away. */
  readonly waitingItems: number
}

export class DeadLetter {
  readonly path: string
  readonly #bytesMax: number
  readonly #file: LineFile
  readonly #waiting = new Map<string, number>()
  #keeping: Promise<void> = Promise.resolve()

  constructor(options: DeadLetterOptions) {
    this.path = join(options.directory, 'dead-letter.jsonl')
    this.#bytesMax = options.bytesMax ?? DEAD_LETTER_BYTES_MAX
    this.#file = new LineFile({ path: this.path })
  }

  get levels(): DeadLetterLevels {
    let waitingItems = 0
    for (const itemCount of this.#waiting.values()) waitingItems += itemCount
    return { bytesUsed: this.#file.size, bytesMax: this.#bytesMax, waitingItems }
  }

  async start(): Promise<void> {
    await this.#file.open()
  }

  /** Resolves when the entry is on disk. Rejects STORE_FAILED while the file is full, and what the disk throws. */
  async keep(entry: DrainedEntry, exporter: string, reason: string, nowMs: number): Promise<void> {
    const { sequence, signal, itemCount, acceptedAtMs, body } = entry
    const head = JSON.stringify({
      exporter,
      reason,
      signal,
      sequence,
      itemCount,
      acceptedAt: new Date(acceptedAtMs).toISOString(),
      droppedAt: new Date(nowMs).toISOString(),
      body: '',
    })
    const letter = JSON.stringify([signal, sequence, exporter])
    // One after the other, so that those who come together do not all see the same room.
    const kept = this.#keeping.then(() => this.#keep(letter, itemCount, head, body))
    this.#keeping = kept.catch(() => undefined)
    return kept
  }

  async #keep(letter: string, itemCount: number, head: string, body: Uint8Array): Promise<void> {
    const bytes = Buffer.byteLength(head) + Math.ceil(body.length / 3) * 4 + 1
    if (!(await this.#hasRoom(bytes))) {
      this.#waiting.set(letter, itemCount)
      throw new SidecarError('STORE_FAILED', 'the dead-letter file is full: move it away')
    }
    await this.#file.append(() => new LetterWriter(head, body))
    this.#waiting.delete(letter)
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** A letter alone always has room, however large: there is no smaller file to make for it. */
  async #hasRoom(bytes: number): Promise<boolean> {
    const fits = (size: number) => size === 0 || size + bytes <= this.#bytesMax
    if (fits(this.#file.size)) return true
    // Somebody may have moved it away or emptied it; appending then begins a new one.
    const found = await stat(this.path).catch(() => undefined)
    return fits(found?.size ?? 0)
  }
}

/** The line of one entry; its body is encoded as it is written, since base64 of all of it would be half as much again. */
class LetterWriter implements LineWriter {
  /** Up to the quote that the body follows. */
  readonly #head: Buffer
  readonly #body: Buffer
  #headPos = 0
  #bodyPos = 0
  isDone = false

  constructor(head: string, body: Uint8Array) {
    this.#head = Buffer.from(head.slice(0, -END.length))
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.length)
  }

  fill(out: Buffer, at: number): number {
    let pos = at
    const head = this.#head.copy(out, pos, this.#headPos)
    this.#headPos += head
    pos += head
    if (this.#headPos < this.#head.length) return pos
    // Whole groups of three bytes, so that the pieces join.
    const room = Math.floor((out.length - pos) / 4) * 3
    const stop = Math.min(this.#body.length, this.#bodyPos + room)
    pos += out.write(this.#body.toString('base64', this.#bodyPos, stop), pos, 'latin1')
    this.#bodyPos = stop
    if (stop < this.#body.length || out.length - pos < END.length) return pos
    this.isDone = true
    return pos + out.write(END, pos, 'latin1')
  }
}

const END = '"}'

export function deadLetterGauges(registry: Registry, levels: () => DeadLetterLevels): void {
  const gauge = (name: string, help: string, read: (levels: DeadLetterLevels) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read(levels()))
      },
    })
  gauge('betrace_dead_letter_bytes', 'Bytes of the dead-letter file', (now) => now.bytesUsed)
  gauge('betrace_dead_letter_capacity_bytes', 'Bytes that it may hold', (now) => now.bytesMax)
  gauge(
    'betrace_dead_letter_waiting_items',
    'Items given up that wait in the queue because the dead-letter file is full',
    (now) => now.waitingItems,
  )
}
