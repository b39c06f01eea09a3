// OTLP over gRPC, for bytes that are already encoded. On node:http2 rather than on a gRPC library, because a third of
// the cost of a request would go into that library: docs/decisions/grpc-exporter.md has the measurement.
import type { OutgoingHttpHeaders } from 'node:http2'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import { loadClientTls } from './client-tls.ts'
import { callUnary, type GrpcReply } from './grpc-call.ts'
import { GrpcConnection, type GrpcTarget } from './grpc-connection.ts'
import { type GrpcExporterOptions, OTLP_DEFAULTS } from './options.ts'
import { readExportResponse, readRetryDelayMs } from './otlp-reply.ts'
import type { Sender, SendOutcome } from './sender.ts'
import { USER_AGENT } from './user-agent.ts'

const compress = promisify(gzip)

const PATHS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
}

/** Names of google.rpc.Code; also the reason that logs and metrics show. */
const CODE_NAMES = [
  'ok',
  'cancelled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
] as const

/** OTLP 1.11, failures: these may succeed later. RESOURCE_EXHAUSTED joins them only with a RetryInfo. */
const RETRYABLE: ReadonlySet<number> = new Set([1, 4, 10, 11, 14, 15])
const RESOURCE_EXHAUSTED = 8

export class GrpcExporter implements Sender {
  readonly id: string
  readonly #options: GrpcExporterOptions
  readonly #timeoutMs: number
  readonly #isCompressed: boolean
  #connection: GrpcConnection | undefined
  #headers: OutgoingHttpHeaders = {}

  constructor(id: string, options: GrpcExporterOptions) {
    this.id = id
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? OTLP_DEFAULTS.timeoutMs
    this.#isCompressed = (options.compression ?? OTLP_DEFAULTS.compression) === 'gzip'
  }

  /** Reads the TLS files; connects when there is something to send. Rejects CONFIG. */
  async start(): Promise<void> {
    const connection = new GrpcConnection(grpcTarget(this.#options, this.id))
    this.#headers = {
      ':method': 'POST',
      ':scheme': connection.scheme,
      ':authority': connection.authority,
      te: 'trailers',
      'content-type': 'application/grpc',
      'user-agent': USER_AGENT,
    }
    if (this.#isCompressed) this.#headers['grpc-encoding'] = 'gzip'
    for (const [name, value] of this.#options.headers ?? [])
      this.#headers[name.toLowerCase()] = value.reveal()
    this.#connection = connection
  }

  async send(signal: Signal, body: Uint8Array, abort: AbortSignal): Promise<SendOutcome> {
    abort.throwIfAborted()
    const connection = this.#connection
    if (!connection) return { kind: 'retry', afterMs: undefined, reason: 'not_started' }
    const content = this.#isCompressed ? await compress(body, { level: 1 }) : body
    let session: Awaited<ReturnType<GrpcConnection['session']>>
    try {
      session = await connection.session(this.#timeoutMs)
    } catch {
      abort.throwIfAborted()
      return { kind: 'retry', afterMs: undefined, reason: 'unreachable' }
    }
    abort.throwIfAborted()
    if (session.closed || session.destroyed)
      return { kind: 'retry', afterMs: undefined, reason: 'connection_lost' }
    const headers = { ...this.#headers, ':path': PATHS[signal], 'grpc-timeout': `${this.#timeoutMs}m` }
    const reply = await callUnary(session, headers, content, this.#isCompressed, this.#timeoutMs, abort)
    if (reply.failure === 'timeout') connection.suspect(session)
    if (reply.failure === 'aborted') abort.throwIfAborted()
    return outcomeOf(reply)
  }

  async close(): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
  }
}

/** What the reply means, by OTLP's table of codes and, without a code, by gRPC's mapping of HTTP answers. */
export function outcomeOf(reply: GrpcReply): SendOutcome {
  if (reply.failure === 'too_large') return { kind: 'refused', reason: 'response_too_large' }
  if (reply.status === undefined) return withoutStatus(reply)
  if (reply.status === 0) {
    return reply.body
      ? readExportResponse(reply.body)
      : { kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' }
  }
  const reason = CODE_NAMES[reply.status] ?? 'unknown'
  const afterMs = reply.details && readRetryDelayMs(reply.details)
  const isThrottled = reply.status === RESOURCE_EXHAUSTED && afterMs !== undefined
  if (RETRYABLE.has(reply.status) || isThrottled) return { kind: 'retry', afterMs, reason }
  return { kind: 'refused', reason }
}

// A stream that ends without a verdict says nothing of the data: the connection or something between us and the peer
// failed. An HTTP error comes from a proxy; gRPC maps 400, 401, 403 and 404 to codes that OTLP does not retry.
function withoutStatus(reply: GrpcReply): SendOutcome {
  if (reply.failure === 'timeout') return { kind: 'retry', afterMs: undefined, reason: 'timeout' }
  const { httpStatus } = reply
  if (httpStatus !== undefined && [400, 401, 403, 404, 415].includes(httpStatus)) {
    return { kind: 'refused', reason: `http_${httpStatus}` }
  }
  const isHttpError = httpStatus !== undefined && httpStatus !== 200
  return { kind: 'retry', afterMs: undefined, reason: isHttpError ? `http_${httpStatus}` : 'connection_lost' }
}

function grpcTarget(options: GrpcExporterOptions, id: string): GrpcTarget {
  const address = options.endpoint.replace(/^(dns:\/\/\/|https?:\/\/)/, '').replace(/\/$/, '')
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(address)
  if (!match) throw new SidecarError('CONFIG', `exporters.${id}.endpoint: must be host:port or [ipv6]:port`)
  const isPlain = options.tls?.insecure ?? options.endpoint.startsWith('http://')
  return {
    host: match[1] ?? match[2],
    port: Number(match[3]),
    tls: isPlain ? undefined : loadClientTls(options.tls, `exporters.${id}.tls`),
  }
}
