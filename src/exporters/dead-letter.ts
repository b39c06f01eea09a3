// What a next hop refused for good, so that it can be looked at and sent again by hand: one JSON object a line, the
// body (redacted, as it was sent) in base64. Bounded: when the file is full, what is in it stays and what comes later
// is counted and not kept, since the first refusals tell why.
import { join } from 'node:path'
import type { Signal } from '../wire/otlp.ts'
import { LineFile } from './line-file.ts'

export const DEAD_LETTER_BYTES_MAX = 256 * 1024 * 1024

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

export class DeadLetter {
  readonly path: string
  readonly #bytesMax: number
  readonly #file: LineFile
  #pendingBytes = 0

  constructor(options: DeadLetterOptions) {
    this.path = join(options.directory, 'dead-letter.jsonl')
    this.#bytesMax = options.bytesMax ?? DEAD_LETTER_BYTES_MAX
    this.#file = new LineFile({ path: this.path })
  }

  async start(): Promise<void> {
    await this.#file.open()
  }

  /** True when the entry is on disk, false when the file is full. Rejects when the disk does not take it. */
  async keep(entry: DrainedEntry, exporter: string, reason: string, nowMs: number): Promise<boolean> {
    const { sequence, signal, itemCount, acceptedAtMs, body } = entry
    // Before a text is made of it, which could be longer than a string may be.
    if (Math.ceil(body.length / 3) * 4 > this.#bytesMax) return false
    const line = Buffer.from(
      `${JSON.stringify({
        exporter,
        reason,
        signal,
        sequence,
        itemCount,
        acceptedAt: new Date(acceptedAtMs).toISOString(),
        droppedAt: new Date(nowMs).toISOString(),
        body: Buffer.from(body.buffer, body.byteOffset, body.length).toString('base64'),
      })}\n`,
    )
    if (this.#file.size + this.#pendingBytes + line.length > this.#bytesMax) return false
    this.#pendingBytes += line.length
    try {
      await this.#file.append(line)
    } finally {
      this.#pendingBytes -= line.length
    }
    return true
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
