// What one request may cost a stage, counted in bytes looked at: a part for any request, and so much for each byte of it.
// Every path is written to stay far below; where input was found that makes one costly, it is refused and not served.
import { SidecarError } from './errors.ts'

export interface WorkRate {
  /** Bytes looked at, for any request. */
  readonly base: number
  /** … and for each byte of it. */
  readonly perByte: number
}

export class Work {
  readonly #rate: WorkRate
  /** Bytes looked at since `begin`. */
  bytes = 0
  /** What they may come to. */
  bytesMax = 0

  constructor(rate: WorkRate) {
    this.#rate = rate
  }

  begin(requestBytes: number): void {
    this.bytes = 0
    this.bytesMax = this.#rate.base + this.#rate.perByte * requestBytes
  }

  /** Throws TOO_LARGE when that is more than the request may cost. */
  look(bytes: number): void {
    this.bytes += bytes
    if (this.bytes > this.bytesMax)
      throw new SidecarError('TOO_LARGE', 'request is too much work for its size')
  }
}
