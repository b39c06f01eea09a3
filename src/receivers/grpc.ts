// OTLP/gRPC on grpc-js. Three things are done beside it, each for a measured reason:
// - We own the listening socket and TLS and hand finished connections in (`createConnectionInjector`): grpc-js has no
//   connection cap, no limit for a silent peer, and no stable way to serve a renewed certificate.
// - Its server leaves the HTTP/2 window at 64 KiB whatever its options say (throughput at 100 KB requests: +75 % with a
//   larger one), so the window is set on each session.
// - Memory is admitted on the HTTP/2 stream; see `grpc-intake.ts`.
// The last two reach the HTTP/2 server through grpc-js's private `http2Servers`. The dependency is pinned, a test
// holds the shape, and a shape that differs is refused at start: without it the memory bound would not hold.
//
// What bound holds: admitted bytes never exceed the admission's budget. What arrives before it is admitted is at most the
// stream window, so at most `callsMax` x `streamWindowBytes` come on top (1,024 x 256 KiB). For the moment in which
// grpc-js joins the frames of a message, that one message exists twice. One connection holds at most a share of the budget
// and, when all calls are taken, gives up one of its own to a connection that has fewer.
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type PeerCertificate, type Server as TlsServer } from 'node:tls'
import {
  type ConnectionInjector,
  type Metadata,
  type Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { SHUTDOWN_MS_MAX } from '../base/limits.ts'
import type { Signal } from '../wire/otlp.ts'
import { encodeResponse } from '../wire/reply.ts'
import { Admission } from './admission.ts'
import { Arrivals } from './arrivals.ts'
import { type Authenticate, createAuthenticate } from './auth.ts'
import { parseEncoding } from './body.ts'
import { Connections } from './connections.ts'
import { GrpcHealth, healthService } from './grpc-health.ts'
import { Intake } from './grpc-intake.ts'
import type { GrpcReceiverOptions } from './grpc-options.ts'
import {
  createGrpcServer,
  exportService,
  http2ServerOf,
  SERVICES,
  SIGNAL_OF_PATH,
  SIGNALS,
} from './grpc-server.ts'
import { grpcStatusOf } from './grpc-status.ts'
import { transportTenant } from './identity.ts'
import {
  type BoundAddress,
  CLOSE_GRACE_MS,
  closedWithin,
  listen,
  trackSockets,
  UnderWay,
} from './listener.ts'
import type { Receiver, ReceiverContext } from './receiver.ts'
import { logBug } from './status.ts'
import { type TlsWatch, tlsServerOptions, watchTlsFiles } from './tls.ts'

export { type GrpcReceiverOptions, grpcReceiverDefaults } from './grpc-options.ts'

const SETTING = 'receivers.otlp.protocols.grpc'
/** Of the memory for requests, what the calls of one connection may declare together; a single one may always. */
const CONNECTION_SHARE = 0.5
/** Of the client's own deadline, the part after which our answer would come too late. */
const DEADLINE_SHARE = 0.9
/** grpc-js keeps deadlines in 32 bits and lets longer ones overflow into the past. */
const GRPC_TIMEOUT_MS_MAX = 2 ** 31 - 1

/** How long connections that were sent away may take to close by themselves, so that last answers leave, ms. */
const LINGER_MS = 250

export class GrpcReceiver implements Receiver {
  readonly #options: GrpcReceiverOptions
  readonly #context: ReceiverContext
  readonly #authenticate: Authenticate
  readonly #server: Server
  readonly #listener: NetServer
  readonly #sockets: Set<Socket>
  readonly #injector: ConnectionInjector
  readonly #health: GrpcHealth
  readonly #underWay = new UnderWay()
  readonly #connections: Connections
  /** The session's own `socket` is a proxy; this is the one that came in. */
  readonly #socketOf = new WeakMap<object, Socket>()
  #injecting: Socket | undefined
  readonly #intakes = new WeakMap<Metadata, Intake>()
  readonly #arrivals: Arrivals
  readonly #shares = new WeakMap<object, Admission>()
  readonly #shareBytesMax: number
  // The call whose stream was announced in this very emit; taken by the interceptor before the emit ends.
  #arriving: { intake: Intake; stream: ServerHttp2Stream } | undefined
  #tlsWatch: TlsWatch | undefined
  #isStopping = false

  /** Throws CONFIG when the endpoint, the token or the TLS files are unusable. */
  constructor(options: GrpcReceiverOptions, context: ReceiverContext) {
    this.#options = options
    this.#context = context
    this.#authenticate = createAuthenticate(options.auth)
    const { admission, clock } = context
    this.#arrivals = new Arrivals(options, clock, () => admission.waitingCount > 0)
    this.#shareBytesMax = Math.floor(admission.bytesMax * CONNECTION_SHARE)
    this.#health = new GrpcHealth(Object.values(SERVICES), options.connectionsMax)
    this.#listener = createListener(options)
    const event = options.tls ? 'secureConnection' : 'connection'
    this.#connections = new Connections(this.#listener, event, options.connectionsMax)
    this.#sockets = trackSockets(this.#listener)
    this.#server = createGrpcServer(options, this.#intercept)
    for (const signal of SIGNALS) {
      this.#server.addService(exportService(signal), {
        Export: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
          void this.#export(signal, call, callback),
      })
    }
    this.#server.addService(healthService, this.#health.handlers)
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    const http2Server = http2ServerOf(this.#server)
    http2Server.on('session', (session) => this.#onSession(session))
    http2Server.prependListener('stream', (stream, headers) => this.#onStream(stream, headers))
    this.#listener.on(event, (socket: Socket) => {
      socket.on('error', () => {})
      if (socket.destroyed) return
      this.#injecting = socket
      this.#injector.injectConnection(socket)
      this.#injecting = undefined
    })
  }

  async start(): Promise<BoundAddress> {
    const bound = await listen(this.#listener, this.#options.endpoint, SETTING)
    const { tls } = this.#options
    // With TLS the listener is a tls.Server; see `createListener`.
    if (tls)
      this.#tlsWatch = watchTlsFiles(this.#listener as TlsServer, tls, `${SETTING}.tls`, this.#context.log)
    return bound
  }

  async stopAccepting(): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#tlsWatch?.stop()
    this.#health.stop()
    if (this.#listener.listening) this.#listener.close()
    this.#injector.drain(SHUTDOWN_MS_MAX)
  }

  async close(graceMs: number = CLOSE_GRACE_MS): Promise<void> {
    await this.stopAccepting()
    await this.#underWay.idle(graceMs)
    await closedWithin(this.#sockets, LINGER_MS)
    this.#injector.destroy()
    this.#server.forceShutdown()
    for (const socket of this.#sockets) socket.destroySoon()
  }

  #onSession(session: ServerHttp2Session): void {
    if (session.destroyed) return
    if (this.#injecting) this.#socketOf.set(session, this.#injecting)
    session.settings({ initialWindowSize: this.#options.streamWindowBytes })
    session.setLocalWindowSize(4 * this.#options.streamWindowBytes)
    const timer = setTimeout(() => session.destroy(), this.#options.headersTimeoutMs).unref()
    session.once('remoteSettings', () => clearTimeout(timer))
    session.once('close', () => clearTimeout(timer))
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    this.#arriving = undefined
    const path = headers[':path']
    const signal = SIGNAL_OF_PATH.get(typeof path === 'string' ? path : '')
    if (signal === undefined) return
    const { clock, admission, metrics } = this.#context
    const startMs = clock.monotonicMs()
    const timeoutMs = grpcTimeoutMs(headers)
    const socket = stream.session && this.#socketOf.get(stream.session)
    const intake = new Intake(stream, {
      signal,
      startMs,
      deadlineMs: startMs + Math.min(this.#options.waitMsMax, timeoutMs * DEADLINE_SHARE),
      bytesMax: this.#options.maxRecvMsgSizeBytes,
      admission,
      share: this.#shareOf(stream.session ?? stream),
      shareBytesMax: this.#shareBytesMax,
      arrivals: this.#arrivals,
      onEnd: (code) => metrics.recordRequest('grpc', signal, code, (clock.monotonicMs() - startMs) / 1_000),
      onGone: () => {
        if (socket) this.#connections.end(socket)
        this.#underWay.end()
      },
    })
    if (socket) this.#connections.begin(socket)
    this.#underWay.begin()
    intake.encoding = takeEncoding(headers)
    this.#arriving = { intake, stream }
  }

  #shareOf(connection: object): Admission {
    let share = this.#shares.get(connection)
    if (share === undefined) {
      const { maxConcurrentStreams: waitingMax } = this.#options
      share = new Admission({ bytesMax: this.#shareBytesMax, waitingMax }, this.#context.clock)
      this.#shares.set(connection, share)
    }
    return share
  }

  // Before any byte of the body: who is it, and may it come in at all.
  readonly #intercept: ServerInterceptor = (_method, call) => {
    const arriving = this.#arriving
    this.#arriving = undefined
    if (!arriving) return new ServerInterceptingCall(call)
    const { intake, stream } = arriving
    intake.onRefuse((error) => call.sendStatus(grpcStatusOf(error)))
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, go) => {
            try {
              this.#admitCaller(metadata, intake, stream)
            } catch (error) {
              intake.fail(error)
              return
            }
            this.#intakes.set(metadata, intake)
            go(metadata)
          },
        }),
    })
  }

  #admitCaller(metadata: Metadata, intake: Intake, stream: ServerHttp2Stream): void {
    this.#authenticate(metadata.get('authorization').map(String))
    if (this.#isStopping) throw new SidecarError('SHUTTING_DOWN', 'shutting down')
    if (this.#underWay.count > this.#options.callsMax && !this.#arrivals.makeRoom(intake.connection))
      throw new SidecarError('OVERLOADED', 'too many calls under way')
    const { tenants } = this.#context
    const { header, certificate } = tenants.options
    const claimed = header === '' ? [] : metadata.get(header.toLowerCase()).map(String)
    const peer = certificate === 'none' ? undefined : peerCertificate(stream)
    intake.tenant = transportTenant(tenants, claimed, peer)
  }

  async #export(
    signal: Signal,
    call: ServerUnaryCall<Buffer, Buffer>,
    callback: sendUnaryData<Buffer>,
  ): Promise<void> {
    const intake = this.#intakes.get(call.metadata)
    if (!intake) return callback(grpcStatusOf(new Error('call without an intake')))
    try {
      const body = await intake.body(call.request)
      const { deadlineMs } = intake.options
      const { tenant } = intake
      const accepted = await this.#context.accept({
        signal,
        body,
        tenant,
        peer: call.getPeer(),
        deadlineMs,
        abort: intake.abort,
      })
      const reply = encodeResponse(accepted)
      // grpc-js calls Buffer's `copy` on what it sends.
      callback(null, Buffer.from(reply.buffer, reply.byteOffset, reply.byteLength))
      intake.end(intake.abort.aborted ? 'CANCELLED' : 'OK')
    } catch (error) {
      logBug(error, this.#context.log)
      callback(grpcStatusOf(error))
      intake.end(intake.abort.aborted ? 'CANCELLED' : asSidecarError(error).code)
    }
  }
}

function createListener(options: GrpcReceiverOptions): NetServer {
  const listener = options.tls
    ? createTlsServer(tlsServerOptions(options.tls, `${SETTING}.tls`, 'h2'))
    : createServer()
  return listener
}

// Hidden from grpc-js, which would otherwise inflate without our bounds and refuse zstd.
function takeEncoding(headers: IncomingHttpHeaders): Intake['encoding'] {
  const header = headers['grpc-encoding']
  delete headers['grpc-encoding']
  try {
    return parseEncoding(Array.isArray(header) ? header.join() : header)
  } catch (error) {
    return error as SidecarError
  }
}

const TIMEOUT_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
])

// grpc-js parses it as well and answers DEADLINE_EXCEEDED in time; here it bounds the waiting.
function grpcTimeoutMs(headers: IncomingHttpHeaders): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(headers['grpc-timeout'] ?? ''))
  if (!match) return Number.POSITIVE_INFINITY
  const timeoutMs = Number(match[1]) * TIMEOUT_UNITS_MS.get(match[2]!)!
  if (timeoutMs > GRPC_TIMEOUT_MS_MAX) delete headers['grpc-timeout']
  return timeoutMs
}

function peerCertificate(stream: ServerHttp2Stream): PeerCertificate | undefined {
  // Without TLS there is no such method, and no certificate.
  const socket = stream.session?.socket as
    | { authorized?: boolean; getPeerCertificate?(): PeerCertificate }
    | undefined
  return socket?.authorized === true ? socket.getPeerCertificate?.() : undefined
}
