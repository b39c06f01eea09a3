// Load in which no two spans share an id, so that what was acknowledged can be compared with what arrived. The first
// four bytes of a span id name the load, the last four count.
import { setTimeout as sleep } from 'node:timers/promises'
import { grpcFrame, OtlpClient } from './otlp-client.ts'
import { makeTraces } from './payload.ts'
import { eachField, eachSpan, spanIdOffsets } from './wire-walk.ts'

const FRAME_PREFIX_BYTES = 5

export interface UniqueLoadOptions {
  readonly port: number
  /** Spans a request. */
  readonly spans: number
  /** Requests on their way at once. */
  readonly inFlight: number
  /** Upper bound, so that a test machine is not saturated. */
  readonly spansPerSecond: number
  /** Names the load; different for any two that share a `SpanLedger`. */
  readonly prefix: number
}

/** Which spans of a load were acknowledged, and which arrived. */
export class SpanLedger {
  readonly acknowledged = new Set<string>()
  readonly arrived = new Set<string>()
  /** Arrivals of spans that were there already: the price of at-least-once. */
  repeated = 0

  arrive(body: Uint8Array): void {
    eachSpan(body, (start, end) => {
      eachField(body, start, end, (field, from, to) => {
        if (field !== 2) return // span_id
        const id = Buffer.from(body.buffer, body.byteOffset + from, to - from).toString('hex')
        if (this.arrived.has(id)) this.repeated++
        else this.arrived.add(id)
      })
    })
  }

  get lost(): number {
    let count = 0
    for (const id of this.acknowledged) if (!this.arrived.has(id)) count++
    return count
  }
}

/** A load that runs until it is stopped or its connection breaks. */
export class UniqueLoad {
  readonly #options: UniqueLoadOptions
  readonly #ledger: SpanLedger
  readonly #template: Buffer
  readonly #offsets: readonly number[]
  #client: OtlpClient | undefined
  #nextSpan = 1
  #isStopped = false
  #senders: Promise<void>[] = []
  refused = 0

  constructor(options: UniqueLoadOptions, ledger: SpanLedger) {
    this.#options = options
    this.#ledger = ledger
    const body = makeTraces({ spans: options.spans, seed: options.prefix })
    this.#template = grpcFrame(body)
    this.#offsets = spanIdOffsets(body).map((offset) => offset + FRAME_PREFIX_BYTES)
  }

  async start(): Promise<void> {
    this.#client = await OtlpClient.connect(this.#options.port)
    this.#senders = Array.from({ length: this.#options.inFlight }, () => this.#send())
  }

  /** Resolves when every request has ended, with an answer or with its connection. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#senders)
    await this.#client?.close()
  }

  async #send(): Promise<void> {
    const { spans, inFlight, spansPerSecond } = this.#options
    const pauseMs = (spans * inFlight * 1000) / spansPerSecond
    while (!this.#isStopped && this.#client!.isOpen) {
      const dueMs = performance.now() + pauseMs
      const { frame, ids } = this.#next()
      const status = await new Promise<number>((done) => this.#client!.export(frame, done))
      if (status === 0) for (const id of ids) this.#ledger.acknowledged.add(id)
      else this.refused++
      await sleep(Math.max(0, dueMs - performance.now()))
    }
  }

  #next(): { frame: Buffer; ids: string[] } {
    const frame = Buffer.from(this.#template)
    const ids: string[] = []
    for (const offset of this.#offsets) {
      frame.writeUInt32BE(this.#options.prefix, offset)
      frame.writeUInt32BE(this.#nextSpan++, offset + 4)
      ids.push(frame.toString('hex', offset, offset + 8))
    }
    return { frame, ids }
  }
}
