// One gRPC Export call from its headers to its answer. grpc-js buffers a whole message before any handler runs and
// inflates it unaccounted, so memory is admitted one level below: this listens to the HTTP/2 stream, counts what arrives,
// and pauses the stream while there is no room; HTTP/2 flow control then holds the client back. The length in the five
// bytes before the message (gRPC over HTTP/2, "Length-Prefixed-Message") is a claim, so it counts against the share of its
// own connection only: what a connection declares can keep nobody else waiting. Compression is ours too (`grpc.ts` hides the header from
// grpc-js), so inflation stops at the limit, is accounted, and zstd works.
import type { ServerHttp2Stream } from 'node:http2'
import { constants } from 'node:http2'
import { Readable } from 'node:stream'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import type { Admission, Lease } from './admission.ts'
import type { Arrival, Arrivals } from './arrivals.ts'
import { type Encoding, readBody } from './body.ts'

const PREFIX_BYTES = 5
// grpc-js keeps each DATA frame as an object until the message is whole. Real clients send 16 KiB a frame; one that
// sends single bytes would cost us a hundred times what is accounted.
const FRAMES_FREE = 4_096
const FRAME_BYTES_MEAN_MIN = 256

export interface IntakeOptions {
  readonly signal: Signal
  readonly startMs: number
  readonly deadlineMs: number
  readonly bytesMax: number
  readonly admission: Admission
  /** What the connection's calls may declare together. */
  readonly share: Admission
  readonly shareBytesMax: number
  readonly arrivals: Arrivals
  /** The metric, once per call. */
  onEnd(code: string): void
  /** Once per call, when its answer has left and nothing of it runs any more. */
  onGone(): void
}

export class Intake implements Arrival {
  readonly options: IntakeOptions
  readonly connection: object
  readonly #stream: ServerHttp2Stream
  readonly #gone = new AbortController()
  readonly #lease: Lease
  readonly #share: Lease
  // grpc-encoding as it came; parsed when a message says that it is compressed.
  encoding: Encoding | SidecarError = 'identity'
  /** As the metadata or the certificate names it, once the caller was admitted. */
  tenant: string | undefined
  #refuse: ((error: unknown) => void) | undefined
  #prefix: Uint8Array = new Uint8Array(0)
  #isCompressed = false
  #bytesExpected = 0
  #bytesSeen = 0
  #framesSeen = 0
  #waiting: Promise<void> | undefined
  #isHandled = false
  #isEnded = false
  #isClosed = false

  constructor(stream: ServerHttp2Stream, options: IntakeOptions) {
    this.options = options
    this.#stream = stream
    this.connection = stream.session ?? stream
    const { admission, share, deadlineMs } = options
    this.#lease = admission.open(deadlineMs, this.abort)
    this.#share = share.open(deadlineMs, this.abort)
    options.arrivals.begin(this)
    // Ahead of grpc-js's listener, which sees each chunk after us in the same emit.
    stream.on('data', (chunk: Uint8Array) => this.#onData(chunk))
    stream.once('close', () => this.#onClose())
  }

  get abort(): AbortSignal {
    return this.#gone.signal
  }

  bytesSeen(): number {
    return this.#prefix.byteLength + this.#bytesSeen
  }

  isHeldBack(): boolean {
    return this.#waiting !== undefined
  }

  cut(error: SidecarError): void {
    this.fail(error)
  }

  /** Names the way to answer before a handler runs. */
  onRefuse(refuse: (error: unknown) => void): void {
    this.#refuse = refuse
  }

  /** Answers an error before the handler runs, and stops what the client still sends. */
  fail(error: unknown): void {
    if (this.#isEnded || this.#isHandled) return
    this.#refuse?.(error)
    this.end(asSidecarError(error).code)
    this.stopSending()
  }

  /** Tells the client to send no more (RFC 9113 §8.1: NO_ERROR after a complete answer). */
  stopSending(): void {
    setImmediate(() => {
      if (!this.#stream.closed && !this.#stream.readableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR)
    })
  }

  /** The message, admitted and inflated, and nobody else's. Rejects as `readBody` and `Lease.grow`. */
  async body(message: Buffer): Promise<Uint8Array> {
    // grpc-js runs the handler also of a call that was answered while its body arrived.
    if (this.#isEnded) throw new SidecarError('OVERLOADED', 'call has ended')
    this.#isHandled = true
    this.options.arrivals.end(this)
    while (this.#waiting) await this.#waiting
    const lease = this.#lease
    if (this.#prefix.byteLength < PREFIX_BYTES)
      throw new SidecarError('MALFORMED', 'request holds no message')
    if (!this.#isCompressed) return exclusive(message)
    if (typeof this.encoding !== 'string') throw this.encoding
    const { bytesMax } = this.options
    const body = await readBody(
      Readable.from([message]),
      this.encoding,
      { bytesMax, bytesDeclared: undefined },
      lease,
      this.abort,
    )
    lease.shrink(message.byteLength)
    return body
  }

  /** The call is over: gives the memory back and counts, once. */
  end(code: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.options.arrivals.end(this)
    this.#lease.release()
    this.#share.release()
    this.options.onEnd(code)
    if (this.#isClosed) this.options.onGone()
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isEnded) return
    let content = chunk.byteLength
    if (this.#prefix.byteLength < PREFIX_BYTES) {
      const taken = Math.min(PREFIX_BYTES - this.#prefix.byteLength, chunk.byteLength)
      this.#prefix = Buffer.concat([this.#prefix, chunk.subarray(0, taken)])
      content -= taken
      if (this.#prefix.byteLength < PREFIX_BYTES) return
      this.#onPrefix()
      if (this.#isEnded) return
    }
    this.#bytesSeen += content
    this.#framesSeen += 1
    if (this.#bytesSeen > this.#bytesExpected) {
      this.fail(new SidecarError('MALFORMED', 'an export call has one message'))
    } else if (this.#framesSeen > FRAMES_FREE + this.#bytesExpected / FRAME_BYTES_MEAN_MIN) {
      this.fail(new SidecarError('MALFORMED', 'message comes in too many pieces'))
    } else if (!this.#waiting) this.#cover()
  }

  #onPrefix(): void {
    this.#isCompressed = this.#prefix[0] === 1
    this.#bytesExpected = Buffer.from(this.#prefix).readUInt32BE(1)
    const { bytesMax, shareBytesMax } = this.options
    if (this.#bytesExpected > bytesMax) {
      this.fail(new SidecarError('TOO_LARGE', 'request body is larger than the limit'))
      return
    }
    if (this.#isCompressed && typeof this.encoding !== 'string') {
      this.fail(this.encoding)
      return
    }
    const declared = Math.min(this.#bytesExpected, shareBytesMax)
    if (!this.#share.tryGrow(declared)) this.#pause(() => this.#share.grow(declared))
  }

  /** Counts what has arrived. While the stream is paused, what was under way comes on top; flow control bounds it. */
  #cover(): void {
    const more = this.#bytesSeen - this.#lease.bytes
    if (more > 0 && !this.#lease.tryGrow(more)) this.#pause(() => this.#lease.grow(more))
  }

  // Nobody else resumes the stream in the middle of a message; grpc-js does so only when it has a whole one, and then
  // the handler waits in `body`.
  #pause(wait: () => Promise<void>): void {
    this.#stream.pause()
    this.#waiting = wait().then(
      () => {
        this.#waiting = undefined
        if (this.#isEnded) return
        this.#cover()
        if (!this.#waiting) this.#stream.resume()
      },
      (error: unknown) => {
        if (this.#isHandled) throw error
        this.fail(error)
      },
    )
    // `body` awaits it too; until then a refusal must not count as unhandled.
    this.#waiting.catch(() => {})
  }

  #onClose(): void {
    this.options.arrivals.end(this)
    this.#isClosed = true
    if (this.#isEnded) {
      this.options.onGone()
      return
    }
    this.#gone.abort()
    // A handler that runs answers nobody, but holds the body until it is done.
    if (!this.#isHandled) this.end('CANCELLED')
  }
}

// grpc-js joins pieces into a buffer of exactly the message and its prefix, except for small ones, which lie in node's
// pool among the bytes of others.
function exclusive(message: Buffer): Uint8Array {
  if (message.buffer.byteLength > message.byteLength + PREFIX_BYTES) return new Uint8Array(message)
  return new Uint8Array(message.buffer, message.byteOffset, message.byteLength)
}
