// The HTTP/2 connection of one gRPC exporter: one session, opened when it is first needed, replaced when it is lost.
// A dead peer is found by the request that waits for it: when an attempt times out, the session is pinged, and one that
// does not answer is destroyed. So an idle connection costs nothing and no server complains of pings.
import http2, { type ClientHttp2Session, type SecureClientSessionOptions } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ClientTlsFiles } from './client-tls.ts'

export interface GrpcTarget {
  readonly host: string
  readonly port: number
  /** Absent: plaintext with prior knowledge. */
  readonly tls: ClientTlsFiles | undefined
}

const PING_MS_MAX = 5_000
/** Room for answers, which are small. What we send is bounded by the peer's window. */
const RECEIVE_WINDOW_BYTES = 256 * 1024

export class GrpcConnection {
  readonly #target: GrpcTarget
  readonly authority: string
  #session: ClientHttp2Session | undefined
  #opening: Promise<ClientHttp2Session> | undefined
  #isClosed = false

  constructor(target: GrpcTarget) {
    this.#target = target
    const host = target.host.includes(':') ? `[${target.host}]` : target.host
    this.authority = `${host}:${target.port}`
  }

  get scheme(): 'https' | 'http' {
    return this.#target.tls ? 'https' : 'http'
  }

  /** The session at hand, or a new one. Rejects when the TLS files do not load or the peer cannot be reached; the next call tries again. */
  session(timeoutMs: number): ClientHttp2Session | Promise<ClientHttp2Session> {
    const session = this.#session
    if (session && !session.closed && !session.destroyed) return session
    this.#opening ??= this.#open(timeoutMs).finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  /** A request on the session went unanswered: is anybody there? */
  suspect(session: ClientHttp2Session): void {
    if (session.closed || session.destroyed) return
    const timer = setTimeout(() => session.destroy(), PING_MS_MAX)
    timer.unref()
    const isSent = session.ping((failure) => {
      clearTimeout(timer)
      if (failure) session.destroy()
    })
    if (!isSent) session.destroy()
  }

  close(): void {
    this.#isClosed = true
    this.#session?.destroy()
    this.#session = undefined
  }

  async #open(timeoutMs: number): Promise<ClientHttp2Session> {
    const socket = await this.#connect(timeoutMs)
    if (this.#isClosed) {
      socket.destroy()
      throw new Error('closed')
    }
    const options: SecureClientSessionOptions = {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: RECEIVE_WINDOW_BYTES },
    }
    const session = http2.connect(`${this.scheme}://${this.authority}`, options)
    // Requests report their own end; without a listener the same error would end the process.
    session.on('error', () => session.destroy())
    // After GOAWAY node lets running streams finish and takes no new ones; `closed` is then true.
    session.on('goaway', () => session.close())
    session.on('close', () => {
      if (this.#session === session) this.#session = undefined
    })
    this.#session = session
    return session
  }

  async #connect(timeoutMs: number): Promise<Socket> {
    const { host, port, tls } = this.#target
    const { promise, resolve, reject } = Promise.withResolvers<Socket>()
    const socket = tls
      ? connectTls({ host, port, ALPNProtocols: ['h2'], ...tls.load() })
      : connectTcp({ host, port })
    const timer = setTimeout(() => socket.destroy(new Error('connect timeout')), timeoutMs)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('connection closed')))
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      if ('alpnProtocol' in socket && socket.alpnProtocol !== 'h2') {
        socket.destroy(new Error('the peer does not speak http/2'))
      } else {
        socket.setNoDelay(true)
        resolve(socket)
      }
    })
    return promise.finally(() => clearTimeout(timer))
  }
}
