// Bytes of a stream that may be looked at before they are taken, so that a form is told by its beginning and the rest of
// the stream is never held.
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { SidecarError } from '../../base/errors.ts'

const NEWLINE = 0x0a

/** Longest line or request, and largest file whose form is neither lines nor frames, bytes: these are held in memory. */
export const HELD_BYTES_MAX = 1024 * 1024 * 1024

/** The bytes of a file, or of standard input for `-`. */
export function openSource(
  path: string,
  cwd: string,
  stdin: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  return path === '-' ? stdin : createReadStream(resolve(cwd, path))
}

export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>
  #held: Uint8Array = new Uint8Array()

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  /** The next bytes, as many as asked for; fewer only at the end. They stay where they are. */
  async peek(length: number): Promise<Uint8Array> {
    if (this.#held.length < length) {
      const parts = [this.#held]
      for (let bytes = this.#held.length; bytes < length; ) {
        const { done, value } = await this.#chunks.next()
        if (done === true) break
        parts.push(value)
        bytes += value.length
      }
      this.#held = Buffer.concat(parts)
    }
    return this.#held.subarray(0, length)
  }

  skip(length: number): void {
    this.#held = this.#held.subarray(length)
  }

  /** Everything that is left; it stays where it is. Throws TOO_LARGE. */
  async peekAll(): Promise<Uint8Array> {
    const bytes = await this.peek(HELD_BYTES_MAX + 1)
    if (bytes.length > HELD_BYTES_MAX) throw new SidecarError('TOO_LARGE', 'file is too large for its form')
    return bytes
  }

  /** The next line without its end; it stays where it is. Throws TOO_LARGE. */
  async peekLine(): Promise<Uint8Array> {
    for (let length = 64 * 1024; ; length *= 2) {
      const bytes = await this.peek(length)
      const end = bytes.indexOf(NEWLINE)
      if (end >= 0) return bytes.subarray(0, end)
      if (bytes.length < length) return bytes
      if (length >= HELD_BYTES_MAX) throw tooLong()
    }
  }

  /** Takes what is left as lines without their ends. What is between two ends is never decoded here. */
  async *lines(): AsyncGenerator<Uint8Array> {
    let parts: Uint8Array[] = []
    let bytes = 0
    for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) {
      let from = 0
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        parts.push(chunk.subarray(from, at))
        yield Buffer.concat(parts)
        parts = []
        bytes = 0
        from = at + 1
      }
      if (from === chunk.length) continue
      parts.push(chunk.subarray(from))
      bytes += chunk.length - from
      if (bytes > HELD_BYTES_MAX) throw tooLong()
    }
    if (bytes > 0) yield Buffer.concat(parts)
  }

  /** For whoever does not read to the end. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  async #next(): Promise<Uint8Array | undefined> {
    const held = this.#held
    this.#held = new Uint8Array()
    if (held.length > 0) return held
    const { done, value } = await this.#chunks.next()
    return done === true ? undefined : value
  }
}

const tooLong = (): SidecarError => new SidecarError('TOO_LARGE', 'line is too long')
