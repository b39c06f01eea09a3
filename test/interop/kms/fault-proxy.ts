// A proxy on loopback that stands before a key service and breaks things on request. On layer `http` it understands
// requests, so each may meet another fault; on layer `tcp` it moves bytes (HTTP/2, or TLS that it must not open), and a
// connection meets one fault from its first byte on.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  Server,
  type ServerResponse,
} from 'node:http'
import { request as requestTls, Server as TlsServer } from 'node:https'
import { type AddressInfo, connect, Server as NetServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'

export interface HttpAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

export type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'latency'; readonly ms: number }
  /** The request is taken, and nothing is ever answered. */
  | { readonly kind: 'hang' }
  /** The request is taken, then the connection is reset. */
  | { readonly kind: 'reset' }
  /** Half of the real answer, then: a reset, a clean end that claims to be the whole, or silence. */
  | { readonly kind: 'half'; readonly ending: 'reset' | 'end' | 'silence' }
  /** Layer `http` only: this instead of the real answer. */
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }

export interface ProxiedRequest {
  /** 0 for the first since the fault was set. On layer `tcp`: of the connection. */
  readonly index: number
  /** Empty on layer `tcp`. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

export interface KeyPair {
  readonly key: string | Buffer
  readonly cert: string | Buffer
}

export interface FaultProxyOptions {
  /** Origin of the real server. */
  readonly upstream: string
  readonly layer: 'http' | 'tcp'
  /** Layer `http`: the client speaks TLS with the proxy, which shows this, and trusts `upstreamCa` itself. Needed before
   *  an `https` server, possible before an `http` one. */
  readonly tls?: KeyPair & { readonly upstreamCa?: string | Buffer }
}

const TCP_HALF_BYTES = 64

export class FaultProxy {
  readonly #options: FaultProxyOptions
  readonly #upstream: URL
  readonly #server: NetServer
  readonly #sockets = new Set<Socket>()
  #port = 0
  #count = 0
  #fault: (request: ProxiedRequest) => Fault = () => ({ kind: 'none' })
  /** Answers of the real server of which only a part was passed on. */
  readonly cutAnswers: Buffer[] = []

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options)
    await proxy.accept()
    return proxy
  }

  private constructor(options: FaultProxyOptions) {
    this.#options = options
    this.#upstream = new URL(options.upstream)
    this.#server = this.#listener()
    this.#server.on('connection', (socket: Socket) => this.#keep(socket))
  }

  /** Where the client is sent instead of to the server. The port stays the same for the proxy's life. */
  get url(): string {
    const { layer, tls } = this.#options
    const isTls = layer === 'tcp' ? this.#upstream.protocol === 'https:' : tls !== undefined
    return `${isTls ? 'https' : 'http'}://127.0.0.1:${this.#port}`
  }

  /** Requests (connections, on layer `tcp`) since the fault was set. */
  get count(): number {
    return this.#count
  }

  /** From now on, and for new connections: those that stand are dropped. */
  set(fault: Fault | ((request: ProxiedRequest) => Fault)): void {
    if (typeof fault !== 'function' && fault.kind === 'answer' && this.#options.layer === 'tcp') {
      throw new Error('an answer can only be given on layer http')
    }
    this.#fault = typeof fault === 'function' ? fault : () => fault
    this.#count = 0
    this.#drop()
  }

  /** Connections are refused until `accept`. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#drop()
    await closed
  }

  async accept(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port // listens on TCP, so never a path
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.refuse()
  }

  #listener(): NetServer {
    const { layer, tls } = this.#options
    if (layer === 'tcp') return new NetServer((client) => this.#pipe(client))
    const answer = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
      this.#answer(incoming, outgoing).catch(() => incoming.socket.destroy())
    }
    return tls === undefined ? new Server(answer) : new TlsServer({ key: tls.key, cert: tls.cert }, answer)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const fault = this.#fault({
      index: this.#count++,
      path: incoming.url ?? '/',
      headers: incoming.headers,
    })
    const body = await collect(incoming)
    switch (fault.kind) {
      case 'hang':
        return
      case 'reset':
        reset(incoming.socket)
        return
      case 'answer':
        outgoing.writeHead(fault.answer.status, fault.answer.headers).end(fault.answer.body)
        return
      case 'latency':
        await new Promise((done) => setTimeout(done, fault.ms))
    }
    const real = await this.#forward(incoming, body)
    if (fault.kind === 'half') {
      this.#answerHalf(fault.ending, real, incoming.socket, outgoing)
    } else {
      outgoing.writeHead(real.status, real.headers).end(real.body)
    }
  }

  #answerHalf(
    ending: 'reset' | 'end' | 'silence',
    real: RealAnswer,
    socket: Socket,
    outgoing: ServerResponse,
  ): void {
    const half = real.body.subarray(0, real.body.length >> 1)
    this.cutAnswers.push(real.body)
    if (ending === 'end') {
      outgoing.writeHead(real.status, { ...real.headers, 'content-length': half.length }).end(half)
      return
    }
    outgoing.writeHead(real.status, { ...real.headers, 'content-length': real.body.length })
    outgoing.write(half, () => {
      if (ending === 'reset') reset(socket)
    })
  }

  #forward(incoming: IncomingMessage, body: Buffer): Promise<RealAnswer> {
    const { hostname, port, protocol } = this.#upstream
    const send = protocol === 'https:' ? requestTls : request
    return new Promise((done, fail) => {
      const outgoing = send(
        {
          hostname,
          port,
          path: incoming.url,
          method: incoming.method,
          headers: incoming.headers,
          agent: false,
          ...(this.#options.tls?.upstreamCa !== undefined && { ca: this.#options.tls.upstreamCa }),
        },
        (answer) => {
          const { connection: _, 'transfer-encoding': __, ...headers } = answer.headers
          collect(answer).then((body) => done({ status: answer.statusCode ?? 502, headers, body }), fail)
        },
      )
      outgoing.on('error', fail)
      outgoing.end(body)
    })
  }

  #pipe(client: Socket): void {
    const fault = this.#fault({ index: this.#count++, path: '', headers: {} })
    if (fault.kind === 'answer') throw new Error('an answer can only be given on layer http')
    if (fault.kind === 'hang') {
      client.resume()
      return
    }
    if (fault.kind === 'reset') {
      client.once('data', () => client.resetAndDestroy())
      return
    }
    const server = connect(Number(this.#upstream.port), this.#upstream.hostname)
    server.on('error', () => client.destroy())
    client.on('close', () => server.destroy())
    client.pipe(server)
    if (fault.kind === 'latency') {
      // Timers of one length fire in order, so the end stays behind the bytes.
      server.on('data', (bytes: Buffer) => setTimeout(() => client.write(bytes), fault.ms))
      server.on('end', () => setTimeout(() => client.end(), fault.ms))
    } else if (fault.kind === 'half') {
      this.#pipeHalf(fault.ending, server, client)
    } else {
      server.pipe(client)
    }
  }

  #pipeHalf(ending: 'reset' | 'end' | 'silence', server: Socket, client: Socket): void {
    let left = TCP_HALF_BYTES
    server.on('data', (bytes: Buffer) => {
      if (left === 0) return
      const part = bytes.subarray(0, left)
      left -= part.length
      client.write(part, () => {
        if (left > 0 || ending === 'silence') return
        if (ending === 'reset') client.resetAndDestroy()
        else client.end()
      })
    })
  }
}

interface RealAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Under TLS there is no handle to reset, and a connection that just ends is as bad. */
function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

async function collect(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer) // no encoding is set, so chunks are buffers
  return Buffer.concat(chunks)
}

const TESTDATA = new URL('../../unit/receivers/testdata/', import.meta.url)

/** A certificate for localhost and 127.0.0.1, and the authority that signed it, which nobody trusts by default. */
export function testCertificate(): KeyPair & { readonly ca: string } {
  const read = (name: string): string => readFileSync(fileURLToPath(new URL(name, TESTDATA)), 'utf8')
  return { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem') }
}
