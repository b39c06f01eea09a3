// What an HTTP client hears. OTLP 1.11 §"OTLP/HTTP Response": the answer has the content type of the request, and every
// 4xx and 5xx carries a google.rpc.Status. Where the request had no type of ours the status is protobuf.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { GrpcCode } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { ExportAccepted } from '../pipeline/pipeline.ts'
import type { Signal } from '../wire/otlp.ts'
import { encodeResponse, encodeStatus, responseJson, statusJson } from '../wire/reply.ts'
import { ENCODINGS } from './body.ts'
import { logBug, refusalOf, retryAfterSeconds } from './status.ts'

export type MediaType = 'protobuf' | 'json'

const CONTENT_TYPE = { protobuf: 'application/x-protobuf', json: 'application/json' } as const
const ACCEPT_ENCODING = ENCODINGS.join(', ')
/** The NOT_FOUND of google.rpc.Code; no error of ours has it. */
const GRPC_NOT_FOUND = 5

/** The media type of a request, parameters ignored (RFC 9110 §8.3.1: case-insensitive); `undefined` for any other. */
export function mediaTypeOf(header: string | undefined): MediaType | undefined {
  switch (header?.split(';', 1)[0]?.trim().toLowerCase()) {
    case CONTENT_TYPE.protobuf:
      return 'protobuf'
    case CONTENT_TYPE.json:
      return 'json'
    default:
      return undefined
  }
}

/** One answer to one request. Each method sends it and returns its metric label. */
export class HttpAnswer {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #discardBytesMax: number

  constructor(request: IncomingMessage, response: ServerResponse, discardBytesMax: number) {
    this.#request = request
    this.#response = response
    this.#discardBytesMax = discardBytesMax
  }

  accepted(signal: Signal, media: MediaType, accepted: ExportAccepted): string {
    this.#send(200, media, {}, media === 'json' ? responseJson(accepted, signal) : encodeResponse(accepted))
    return 'OK'
  }

  refused(error: unknown, media: MediaType | undefined, log: Logger): string {
    const refusal = refusalOf(error)
    logBug(error, log)
    const headers: Record<string, string> = {}
    if (refusal.retryAfterMs !== undefined)
      headers['retry-after'] = String(retryAfterSeconds(refusal.retryAfterMs))
    if (refusal.code === 'UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer'
    if (refusal.code === 'UNSUPPORTED_ENCODING') headers['accept-encoding'] = ACCEPT_ENCODING
    this.#status(refusal.httpStatus, media, headers, refusal.grpcCode, refusal.message, refusal.retryAfterMs)
    return refusal.code
  }

  notFound(): string {
    const media = mediaTypeOf(this.#request.headers['content-type'])
    this.#status(404, media, {}, GRPC_NOT_FOUND, 'path is not one of /v1/traces, /v1/logs, /v1/metrics')
    return 'NOT_FOUND'
  }

  methodNotAllowed(): string {
    const media = mediaTypeOf(this.#request.headers['content-type'])
    this.#status(405, media, { allow: 'POST' }, GrpcCode.UNIMPLEMENTED, 'method must be POST')
    return 'METHOD_NOT_ALLOWED'
  }

  /** RFC 9110 §15.5.20: the request was meant for another server. */
  misdirected(): string {
    const media = mediaTypeOf(this.#request.headers['content-type'])
    const message = 'host is not a name of this sidecar; service.allowed_hosts lists further ones'
    this.#status(421, media, {}, GrpcCode.PERMISSION_DENIED, message)
    return 'MISDIRECTED'
  }

  unsupportedMediaType(): string {
    const types = `${CONTENT_TYPE.protobuf}, ${CONTENT_TYPE.json}`
    const message = `content type must be ${CONTENT_TYPE.protobuf} or ${CONTENT_TYPE.json}`
    this.#status(415, undefined, { 'accept-post': types }, GrpcCode.INVALID_ARGUMENT, message)
    return 'UNSUPPORTED_MEDIA_TYPE'
  }

  #status(
    httpStatus: number,
    media: MediaType | undefined,
    headers: Record<string, string>,
    code: number,
    message: string,
    retryAfterMs?: number,
  ): void {
    const isJson = media === 'json'
    const status = { code, message, ...(retryAfterMs !== undefined && { retryDelayMs: retryAfterMs }) }
    const body = isJson ? statusJson(status) : encodeStatus(status)
    this.#send(httpStatus, isJson ? 'json' : 'protobuf', headers, body)
  }

  #send(
    httpStatus: number,
    media: MediaType,
    headers: Record<string, string>,
    body: Uint8Array | string,
  ): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    if (!this.#request.complete) this.#discard()
    this.#response.writeHead(httpStatus, {
      'content-type': CONTENT_TYPE[media],
      'content-length': bytes.byteLength,
      ...headers,
    })
    this.#response.end(bytes)
  }

  // What the client still sends is read and forgotten: closing at once would reset the connection, and the client
  // would see that and not our answer. Beyond the bound it is cut all the same.
  #discard(): void {
    let bytesLeft = this.#discardBytesMax
    this.#request.on('data', (chunk: Uint8Array) => {
      bytesLeft -= chunk.byteLength
      if (bytesLeft < 0) this.#request.destroy()
    })
    this.#request.on('error', () => {})
    this.#request.resume()
  }
}
