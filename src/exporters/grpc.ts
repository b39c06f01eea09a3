// OTLP over gRPC, for bytes that are already encoded. On node:http2 rather than on a gRPC library, because a third of
// the cost of a request would go into that library: docs/decisions/grpc-exporter.md has the measurement.
import type { OutgoingHttpHeaders } from 'node:http2'
import { SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import { ClientTlsFiles } from './client-tls.ts'
import { callUnary, type GrpcReply } from './grpc-call.ts'
import { GrpcConnection, type GrpcTarget } from './grpc-connection.ts'
import { asOnePiece, gzipped } from './gzip.ts'
import { type GrpcExporterOptions, OTLP_DEFAULTS } from './options.ts'
import { readExportResponse, readRetryDelayMs } from './otlp-reply.ts'
import type { Sender, SenderProblem, SendOutcome } from './sender.ts'
import { USER_AGENT } from './user-agent.ts'
import { asOutcome, connectionVerdict, grpcVerdict, proxyVerdict } from './verdicts.ts'

const PATHS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
}

export class GrpcExporter implements Sender {
  readonly id: string
  readonly #options: GrpcExporterOptions
  readonly #timeoutMs: number
  readonly #isCompressed: boolean
  #tls: ClientTlsFiles | undefined
  #connection: GrpcConnection | undefined
  #headers: OutgoingHttpHeaders = {}

  constructor(id: string, options: GrpcExporterOptions) {
    this.id = id
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? OTLP_DEFAULTS.timeoutMs
    this.#isCompressed = (options.compression ?? OTLP_DEFAULTS.compression) === 'gzip'
  }

  /** Connects when there is something to send. Rejects CONFIG; TLS files that do not load are waited for. */
  async start(): Promise<void> {
    const target = grpcTarget(this.#options, this.id)
    const connection = new GrpcConnection(target)
    this.#tls = target.tls
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

  problem(): SenderProblem | undefined {
    return this.#tls?.problem()
  }

  async send(
    signal: Signal,
    body: Uint8Array,
    abort: AbortSignal,
    onHandedOver?: () => void,
  ): Promise<SendOutcome> {
    abort.throwIfAborted()
    const connection = this.#connection
    if (!connection) return { kind: 'retry', afterMs: undefined, reason: 'not_started' }
    const content = this.#isCompressed ? await gzipped(body) : asOnePiece(body)
    let session: Awaited<ReturnType<GrpcConnection['session']>>
    try {
      session = await connection.session(this.#timeoutMs)
    } catch (thrown) {
      abort.throwIfAborted()
      return asOutcome(connectionVerdict(thrown))
    }
    abort.throwIfAborted()
    if (session.closed || session.destroyed)
      return { kind: 'retry', afterMs: undefined, reason: 'connection_lost' }
    const headers = { ...this.#headers, ':path': PATHS[signal], 'grpc-timeout': `${this.#timeoutMs}m` }
    const reply = await callUnary(
      session,
      headers,
      content,
      this.#isCompressed,
      this.#timeoutMs,
      abort,
      onHandedOver,
    )
    if (reply.failure === 'timeout') connection.suspect(session)
    if (reply.failure === 'aborted') abort.throwIfAborted()
    return outcomeOf(reply)
  }

  async close(): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
  }
}

/** What the reply means; `verdicts.ts` has the table. */
export function outcomeOf(reply: GrpcReply): SendOutcome {
  if (reply.status === undefined) return withoutStatus(reply)
  if (reply.status === 0) {
    return reply.body
      ? readExportResponse(reply.body)
      : { kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' }
  }
  const afterMs = reply.details && readRetryDelayMs(reply.details)
  return asOutcome(grpcVerdict(reply.status, afterMs !== undefined), afterMs)
}

// A stream that ends without a verdict says nothing of the data: the connection or something between us and the peer
// failed. An HTTP error comes from a proxy.
function withoutStatus(reply: GrpcReply): SendOutcome {
  if (reply.failure === 'timeout') return asOutcome({ reason: 'timeout', verdict: 'wait' })
  const { httpStatus } = reply
  if (httpStatus === undefined || httpStatus === 200)
    return asOutcome({ reason: 'connection_lost', verdict: 'wait' })
  return asOutcome({ reason: `http_${httpStatus}`, verdict: proxyVerdict(httpStatus) })
}

function grpcTarget(options: GrpcExporterOptions, id: string): GrpcTarget {
  const address = options.endpoint.replace(/^(dns:\/\/\/|https?:\/\/)/, '').replace(/\/$/, '')
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(address)
  if (!match) throw new SidecarError('CONFIG', `exporters.${id}.endpoint: must be host:port or [ipv6]:port`)
  const isPlain = options.tls?.insecure ?? options.endpoint.startsWith('http://')
  return {
    host: match[1] ?? match[2],
    port: Number(match[3]),
    tls: isPlain ? undefined : new ClientTlsFiles(options.tls, `exporters.${id}.tls`),
  }
}
