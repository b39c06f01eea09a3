// A gRPC unary client for OTLP on bare node:http2. It costs a third of what a full gRPC client does, so that the load
// generator is not what is measured, and it takes frames that were made beforehand.
import http2 from 'node:http2'

const TRACES_PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const WINDOW_BYTES = 16 * 1024 * 1024

/** The call did not end with a gRPC status: the connection or the stream broke. */
export const NO_STATUS = -1

/** Puts gRPC's 5-byte prefix (uncompressed, length) before a message. */
export function grpcFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, 5)
  return frame
}

export class OtlpClient {
  readonly #session: http2.ClientHttp2Session

  private constructor(session: http2.ClientHttp2Session) {
    this.#session = session
    // A broken connection fails the calls on it, each with NO_STATUS; the event itself says nothing more.
    session.on('error', () => {})
  }

  /** Rejects when nothing listens there. */
  static connect(port: number): Promise<OtlpClient> {
    const session = http2.connect(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: WINDOW_BYTES },
    })
    return new Promise((done, fail) => {
      session.once('error', fail)
      session.once('connect', () => {
        session.off('error', fail)
        done(new OtlpClient(session))
      })
    })
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed
  }

  /** Sends one Export call and calls back, once, with the gRPC status: 0 is OK, NO_STATUS a broken connection. */
  export(frame: Buffer, done: (status: number) => void): void {
    if (!this.isOpen) {
      setImmediate(done, NO_STATUS) // never before this call returns, or a caller that goes on at once recurses
      return
    }
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': TRACES_PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    let status = NO_STATUS
    const take = (headers: http2.IncomingHttpHeaders) => {
      if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status'])
    }
    stream.on('response', take)
    stream.on('trailers', take)
    stream.on('error', () => {})
    stream.on('close', () => done(status))
    stream.resume()
    stream.end(frame)
  }

  async close(): Promise<void> {
    if (this.#session.destroyed) return
    await new Promise<void>((done) => this.#session.close(done))
  }
}
