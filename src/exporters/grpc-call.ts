// One unary call over a session, from bytes to bytes. gRPC over HTTP/2: a message is one flag byte, four of length, and
// the content; the verdict is `grpc-status` in the trailers, or in the headers when there is nothing else.
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { constants } from 'node:http2'
import { RESPONSE_BYTES_MAX } from '../base/limits.ts'
import { type Compressed, sendAll } from './gzip.ts'

export interface GrpcReply {
  /** Code of `grpc-status`; `undefined` when the stream ended without one. */
  readonly status: number | undefined
  /** Of the HTTP answer; `undefined` when none came. */
  readonly httpStatus: number | undefined
  /** Content of grpc-status-details-bin. */
  readonly details: Buffer | undefined
  /** The message, without its prefix; `undefined` when it did not come whole, is compressed or larger than we read. */
  readonly body: Buffer | undefined
  /** Code of RST_STREAM, when the stream was cut. */
  readonly resetCode: number | undefined
  readonly failure: 'timeout' | 'aborted' | undefined
}

const PREFIX_BYTES = 5

/** Never rejects: what went wrong is in the reply. The content must not change until it resolves. */
export function callUnary(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  { pieces, bytes: bodyBytes }: Compressed,
  isCompressed: boolean,
  timeoutMs: number,
  abort: AbortSignal,
  onHandedOver?: () => void,
): Promise<GrpcReply> {
  const { promise, resolve } = Promise.withResolvers<GrpcReply>()
  const stream = session.request(headers, { endStream: false })
  const chunks: Buffer[] = []
  let bytes = 0
  let answer: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders = {}
  let failure: GrpcReply['failure']
  const stop = (reason: GrpcReply['failure']) => {
    failure ??= reason
    stream.close(constants.NGHTTP2_CANCEL)
  }
  const onAbort = () => stop('aborted')
  const timer = setTimeout(() => stop('timeout'), timeoutMs)
  abort.addEventListener('abort', onAbort, { once: true })
  stream.on('response', (received) => {
    answer = received
  })
  stream.on('trailers', (received) => {
    trailers = received
  })
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    // The verdict comes after the message, so what is too large for us is let pass by.
    if (bytes <= RESPONSE_BYTES_MAX + PREFIX_BYTES) chunks.push(chunk)
    else chunks.length = 0
  })
  // `close` always follows and carries the code.
  stream.on('error', () => undefined)
  stream.on('close', () => {
    clearTimeout(timer)
    abort.removeEventListener('abort', onAbort)
    resolve(reply(answer, trailers, chunks, stream.rstCode, failure))
  })
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES)
  prefix[0] = isCompressed ? 1 : 0
  prefix.writeUInt32BE(bodyBytes, 1)
  if (onHandedOver) stream.once('finish', onHandedOver)
  // Corked, so that prefix and content leave in one write.
  stream.cork()
  stream.write(prefix)
  sendAll(stream, pieces)
  stream.uncork()
  return promise
}

function reply(
  answer: IncomingHttpHeaders,
  trailers: IncomingHttpHeaders,
  chunks: readonly Buffer[],
  resetCode: number | undefined,
  failure: GrpcReply['failure'],
): GrpcReply {
  const verdict = trailers['grpc-status'] === undefined ? answer : trailers
  const details = verdict['grpc-status-details-bin']
  const httpStatus = answer[':status']
  return {
    status: parseStatus(verdict['grpc-status']),
    httpStatus: httpStatus === undefined ? undefined : Number(httpStatus),
    details: typeof details === 'string' ? Buffer.from(details, 'base64') : undefined,
    body: message(chunks),
    resetCode: resetCode === constants.NGHTTP2_NO_ERROR ? undefined : resetCode,
    failure,
  }
}

function parseStatus(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,3}$/.test(value) ? Number(value) : undefined
}

function message(chunks: readonly Buffer[]): Buffer | undefined {
  const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
  if (bytes.length < PREFIX_BYTES || bytes[0] !== 0) return undefined
  return bytes.readUInt32BE(1) === bytes.length - PREFIX_BYTES ? bytes.subarray(PREFIX_BYTES) : undefined
}
