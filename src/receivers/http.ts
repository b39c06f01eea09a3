// OTLP/HTTP. On node:http and not on our HTTP library: an answer must be possible before the body is read (413 by
// declared size, 401, 415, Expect: 100-continue), reading must stop when memory runs out, and a refused body must not
// be parsed. With three fixed paths a framework would only stand in between.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { TLSSocket, Server as TlsServer } from 'node:tls'
import { SidecarError } from '../base/errors.ts'
import { ONE_GO_BYTES_MAX } from '../base/limits.ts'
import { http } from '../base/node-http.ts'
import { turns } from '../base/turns.ts'
import type { ExportAccepted } from '../pipeline/pipeline.ts'
import type { Cleaned } from '../wire/clean.ts'
import { jsonToSoundItems, jsonToSoundItemsInSlices } from '../wire/json.ts'
import type { Signal } from '../wire/otlp.ts'
import type { Lease } from './admission.ts'
import { Arrivals } from './arrivals.ts'
import { type Authenticate, createAuthenticate } from './auth.ts'
import { type Encoding, parseEncoding, readBody } from './body.ts'
import { Connections } from './connections.ts'
import { createHostCheck, type HostCheck } from './host-check.ts'
import { HttpAnswer, mediaTypeOf } from './http-answer.ts'
import type { HttpReceiverOptions } from './http-options.ts'
import { transportTenant } from './identity.ts'
import { type BoundAddress, CLOSE_GRACE_MS, listen, UnderWay } from './listener.ts'
import type { Receiver, ReceiverContext } from './receiver.ts'
import { logBug } from './status.ts'
import { type TlsWatch, tlsServerOptions, watchTlsFiles } from './tls.ts'

/** Of a refused body, as much as this beyond the limit is read and forgotten before the connection is cut. */
const DISCARD_BYTES_EXTRA = 1024 * 1024

const SETTING = 'receivers.otlp.protocols.http'
const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/v1/traces', 'traces'],
  ['/v1/logs', 'logs'],
  ['/v1/metrics', 'metrics'],
])

export class HttpReceiver implements Receiver {
  readonly #options: HttpReceiverOptions
  readonly #context: ReceiverContext
  readonly #authenticate: Authenticate
  readonly #server: Server
  readonly #underWay = new UnderWay()
  readonly #arrivals: Arrivals
  readonly #isOurHost: HostCheck
  readonly #connections: Connections
  #tlsWatch: TlsWatch | undefined
  #isStopping = false

  /** Throws CONFIG when the endpoint, the token or the TLS files are unusable. */
  constructor(options: HttpReceiverOptions, context: ReceiverContext) {
    this.#options = options
    this.#context = context
    const { endpoint, allowedHosts } = options
    this.#isOurHost = options.tls ? () => true : createHostCheck(endpoint.host, allowedHosts)
    this.#authenticate = createAuthenticate(options.auth)
    const { admission, clock } = context
    this.#arrivals = new Arrivals(options, clock, () => admission.waitingCount > 0)
    this.#server = createHttpServer(options)
    const event = options.tls ? 'secureConnection' : 'connection'
    this.#connections = new Connections(this.#server, event, options.connectionsMax)
    this.#server.on('request', (request, response) => void this.#serve(request, response, false))
    this.#server.on('checkContinue', (request, response) => void this.#serve(request, response, true))
  }

  async start(): Promise<BoundAddress> {
    const bound = await listen(this.#server, this.#options.endpoint, SETTING)
    const { tls } = this.#options
    // With TLS the server is https's, which is a tls.Server.
    if (tls)
      this.#tlsWatch = watchTlsFiles(
        this.#server as Server & TlsServer,
        tls,
        `${SETTING}.tls`,
        this.#context.log,
      )
    return bound
  }

  async stopAccepting(): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#tlsWatch?.stop()
    if (!this.#server.listening) return
    // Closes idle connections too; the others hear `Connection: close` with their answer.
    this.#server.close()
  }

  async close(graceMs: number = CLOSE_GRACE_MS): Promise<void> {
    await this.stopAccepting()
    await this.#underWay.idle(graceMs)
    this.#server.closeAllConnections()
  }

  async #serve(request: IncomingMessage, response: ServerResponse, isExpecting: boolean): Promise<void> {
    const startMs = this.#context.clock.monotonicMs()
    const signal = SIGNALS.get(pathOf(request.url))
    const answer = new HttpAnswer(
      request,
      response,
      DISCARD_BYTES_EXTRA + this.#options.maxRequestBodySizeBytes,
    )
    // Refused before it was told to continue, the client may or may not send its body: nothing can follow it.
    if (this.#isStopping || isExpecting) response.shouldKeepAlive = false
    this.#underWay.begin()
    const { socket } = request
    this.#connections.begin(socket)
    const onGone = (): void => {
      this.#connections.end(socket)
      this.#underWay.end()
    }
    try {
      const code = !this.#isOurHost(request.headers.host)
        ? answer.misdirected()
        : signal
          ? await this.#export(request, response, answer, signal, startMs, isExpecting)
          : answer.notFound()
      const seconds = (this.#context.clock.monotonicMs() - startMs) / 1_000
      this.#context.metrics.recordRequest('http', signal ?? 'none', code, seconds)
    } catch (error) {
      // Nothing above throws but a bug; the connection must not hang on it.
      logBug(error, this.#context.log)
      request.destroy()
    } finally {
      // Not before the answer has left: `close` cuts connections when nothing is under way.
      if (response.destroyed) onGone()
      else response.once('close', onGone)
    }
  }

  async #export(
    request: IncomingMessage,
    response: ServerResponse,
    answer: HttpAnswer,
    signal: Signal,
    startMs: number,
    isExpecting: boolean,
  ): Promise<string> {
    const media = mediaTypeOf(request.headers['content-type'])
    if (request.method !== 'POST') return answer.methodNotAllowed()
    const gone = new AbortController()
    response.once('close', () => {
      if (!response.writableFinished) gone.abort()
    })
    const deadlineMs = startMs + this.#options.waitMsMax
    const lease = this.#context.admission.open(deadlineMs, gone.signal)
    try {
      this.#authenticate(request.headersDistinct.authorization ?? [])
      if (!media) return answer.unsupportedMediaType()
      if (this.#isStopping) throw new SidecarError('SHUTTING_DOWN', 'shutting down')
      const encoding = parseEncoding(request.headers['content-encoding'])
      const tenant = this.#tenantOf(request)
      const bytesDeclared = declaredBytes(request, this.#options.maxRequestBodySizeBytes)
      if (isExpecting) {
        response.writeContinue()
        response.shouldKeepAlive = !this.#isStopping
      }
      const raw = await this.#read(request, encoding, bytesDeclared, lease, gone)
      const { body, faults } =
        media === 'json' ? await toProtobuf(raw, signal, lease) : { body: raw, faults: undefined }
      const peer = request.socket.remoteAddress
      const accepted: ExportAccepted = await this.#context.accept({
        signal,
        body,
        tenant,
        ...(faults && !faults.isEmpty && { faults }),
        ...(peer !== undefined && { peer }),
        deadlineMs,
        abort: gone.signal,
      })
      return answer.accepted(signal, media, accepted)
    } catch (error) {
      if (gone.signal.aborted && gone.signal.reason !== error) return 'CANCELLED'
      // Cut in the middle of its body: nothing can follow on this connection.
      if (gone.signal.aborted) response.shouldKeepAlive = false
      return answer.refused(error, media, this.#context.log)
    } finally {
      lease.release()
    }
  }

  /** A body that does not come is cut through `gone`, with what the client hears as its reason. */
  async #read(
    request: IncomingMessage,
    encoding: Encoding,
    bytesDeclared: number | undefined,
    lease: Lease,
    gone: AbortController,
  ): Promise<Uint8Array> {
    const { socket } = request
    const arrival = {
      connection: socket,
      bytesSeen: () => socket.bytesRead,
      isHeldBack: () => lease.isWaiting,
      cut: (error: SidecarError) => gone.abort(error),
    }
    this.#arrivals.begin(arrival)
    try {
      const bounds = { bytesMax: this.#options.maxRequestBodySizeBytes, bytesDeclared }
      return await readBody(request, encoding, bounds, lease, gone.signal)
    } finally {
      this.#arrivals.end(arrival)
    }
  }

  #tenantOf(request: IncomingMessage): string | undefined {
    const { tenants } = this.#context
    const { header, certificate } = tenants.options
    const claimed = header === '' ? [] : (request.headersDistinct[header.toLowerCase()] ?? [])
    if (certificate === 'none') return transportTenant(tenants, claimed, undefined)
    // Without TLS there is no such method, and no certificate.
    const socket = request.socket as Partial<TLSSocket>
    const peer = socket.authorized === true ? socket.getPeerCertificate?.() : undefined
    return transportTenant(tenants, claimed, peer)
  }
}

function createHttpServer(options: HttpReceiverOptions): Server {
  const settings = {
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.headersTimeoutMs + options.bodyTimeoutMs,
    keepAliveTimeout: options.idleTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, options.headersTimeoutMs),
  }
  const server = options.tls
    ? createTlsServer({ ...settings, ...tlsServerOptions(options.tls, `${SETTING}.tls`, 'http/1.1') })
    : http.createServer(settings)
  // A connection on which nobody ever sends a byte has no request that could time out.
  server.setTimeout(options.idleTimeoutMs)
  return server
}

function pathOf(url: string | undefined): string {
  const query = url?.indexOf('?') ?? -1
  return (query < 0 ? url : url?.slice(0, query)) ?? ''
}

function declaredBytes(request: IncomingMessage, bytesMax: number): number | undefined {
  const header = request.headers['content-length']
  if (header === undefined) return request.headers['transfer-encoding'] === undefined ? 0 : undefined
  const bytes = Number(header)
  if (bytes > bytesMax) throw new SidecarError('TOO_LARGE', 'request body is larger than the limit')
  return bytes
}

async function toProtobuf(json: Uint8Array, signal: Signal, lease: Lease): Promise<Cleaned> {
  // Both forms are held at once; protobuf is never the larger one.
  const bytes = json.byteLength
  if (!lease.tryGrow(bytes)) await lease.grow(bytes)
  const isLarge = bytes > ONE_GO_BYTES_MAX
  const read = isLarge
    ? await turns.run(jsonToSoundItemsInSlices(json, signal))
    : jsonToSoundItems(json, signal)
  lease.shrink(Math.max(0, 2 * bytes - read.body.byteLength))
  return read
}
