// One exchange with a Vault server over node:http or node:https. Redirects are not followed: they would carry the token
// to an address that nobody configured.
import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { http } from '../../base/node-http.ts'
import { TLS_SUITES } from '../../base/tls-suites.ts'
import { KmsError } from '../kms.ts'
import type { VaultAnswer } from './answer.ts'
import { tidy } from './errors.ts'
import { loadVaultTls, sameTls, type VaultTls, type VaultTlsFiles } from './tls.ts'

export interface VaultRequest {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`, encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: object
}

export interface VaultHttpOptions {
  readonly address: URL
  readonly tlsFiles: VaultTlsFiles
  readonly connectTimeoutMs: number
  readonly timeoutMs: number
}

/** A key with a thousand versions answers with some 100 KB. */
const ANSWER_BYTES_MAX = 1024 * 1024
const SOCKETS_MAX = 64
/** An idle connection is ours to close before a balancer on the way forgets it in silence. */
const IDLE_MS = 30_000

class StaleConnection extends Error {}

export class VaultHttp {
  readonly #options: VaultHttpOptions
  readonly #base: string
  #tls: VaultTls
  #agent: HttpAgent

  private constructor(options: VaultHttpOptions, tls: VaultTls) {
    this.#options = options
    this.#base = options.address.pathname.replace(/\/+$/, '')
    this.#tls = tls
    this.#agent = this.#newAgent(tls)
  }

  /** Reads the TLS files; connects with the first exchange. Rejects CONFIG. */
  static async open(options: VaultHttpOptions): Promise<VaultHttp> {
    return new VaultHttp(options, await loadVaultTls(options.tlsFiles))
  }

  /** The server's answer, whatever its status. Rejects with `KmsError` network or timeout when there is none. */
  async send(operation: string, request: VaultRequest, abort: AbortSignal): Promise<VaultAnswer> {
    try {
      return await this.#exchange(operation, request, abort).catch((thrown: unknown) => {
        // The server closed a kept connection under the request; every call that we make may be made twice.
        if (thrown instanceof StaleConnection) return this.#exchange(operation, request, abort)
        throw thrown
      })
    } catch (thrown) {
      if (thrown instanceof KmsError && thrown.kmsClass !== 'network') throw thrown
      await this.#reloadTls()
      throw thrown instanceof KmsError ? thrown : networkError(operation, thrown)
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #exchange(operation: string, request: VaultRequest, abort: AbortSignal): Promise<VaultAnswer> {
    if (abort.aborted) throw abandoned(operation, abort)
    const { timeoutMs, connectTimeoutMs } = this.#options
    const payload = request.body && Buffer.from(JSON.stringify(request.body))
    const { promise, resolve, reject } = Promise.withResolvers<VaultAnswer>()
    const outgoing = this.#start(request, payload?.length)
    const fail = (error: unknown): void => {
      reject(error)
      outgoing.destroy()
    }
    const onAbort = (): void => fail(abandoned(operation, abort))
    const timer = setTimeout(
      () => fail(new KmsError('timeout', operation, `No response after ${timeoutMs}ms`)),
      timeoutMs,
    )
    abort.addEventListener('abort', onAbort, { once: true })
    outgoing.on('socket', (socket) => {
      watchConnect(socket, connectTimeoutMs, () =>
        fail(new KmsError('timeout', operation, `No connection after ${connectTimeoutMs}ms`)),
      )
    })
    let isAnswered = false
    outgoing.on('error', (error) => {
      const isStale = outgoing.reusedSocket && !isAnswered
      fail(isStale ? new StaleConnection(error.message) : networkError(operation, error))
    })
    outgoing.on('response', (response) => {
      isAnswered = true
      readAnswer(operation, response).then(resolve, fail)
    })
    outgoing.end(payload)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      abort.removeEventListener('abort', onAbort)
      payload?.fill(0)
    }
  }

  #start(request: VaultRequest, bodyBytes: number | undefined): ClientRequest {
    const { address } = this.#options
    const start = address.protocol === 'https:' ? requestHttps : http.request
    return start({
      agent: this.#agent,
      hostname: address.hostname.replace(/^\[|\]$/g, ''),
      port: address.port === '' ? undefined : Number(address.port),
      method: request.method,
      path: `${this.#base}/v1/${request.path}`,
      headers: {
        ...request.headers,
        // The server refuses requests that a browser could be tricked into; this header says that we mean it.
        'X-Vault-Request': 'true',
        Accept: 'application/json',
        ...(bodyBytes === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': bodyBytes }),
      },
    })
  }

  #newAgent(tls: VaultTls): HttpAgent {
    const settings = { keepAlive: true, maxSockets: SOCKETS_MAX, timeout: IDLE_MS }
    return this.#options.address.protocol === 'https:'
      ? new HttpsAgent({ ...settings, ...tls, minVersion: 'TLSv1.2', ciphers: TLS_SUITES })
      : new http.Agent(settings)
  }

  // Certificates are renewed as files under the running process. Connections of the old agent end by their idle timeout.
  async #reloadTls(): Promise<void> {
    if (this.#options.address.protocol !== 'https:') return
    const tls = await loadVaultTls(this.#options.tlsFiles).catch(() => this.#tls)
    if (sameTls(tls, this.#tls)) return
    this.#tls = tls
    this.#agent = this.#newAgent(tls)
  }
}

function watchConnect(socket: Socket, timeoutMs: number, onTimeout: () => void): void {
  const isSecure = socket instanceof TLSSocket
  if (!socket.connecting && !(isSecure && socket.getProtocol() === null)) return
  const timer = setTimeout(onTimeout, timeoutMs)
  const stop = (): void => clearTimeout(timer)
  socket.once(isSecure ? 'secureConnect' : 'connect', stop)
  socket.once('close', stop)
}

async function readAnswer(operation: string, response: IncomingMessage): Promise<VaultAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk) // without an encoding a response yields buffers only
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) throw new KmsError('network', operation, 'answer is larger than 1 MiB')
    }
    return {
      status: response.statusCode ?? 0,
      retryAfterMs: retryAfterMs(response.headers['retry-after']),
      body: parseJson(Buffer.concat(chunks)),
    }
  } catch (thrown) {
    throw thrown instanceof KmsError ? thrown : networkError(operation, thrown)
  } finally {
    for (const chunk of chunks) chunk.fill(0) // it may hold a data key
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  } finally {
    bytes.fill(0)
  }
}

function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,5}$/.test(header) ? Number(header) * 1_000 : undefined
}

function abandoned(operation: string, abort: AbortSignal): KmsError {
  return new KmsError('timeout', operation, 'No response in the time that the caller had', {
    cause: abort.reason,
  })
}

// Without the cause: a parser's error carries the packet that it choked on, and that may be half a data key.
function networkError(operation: string, thrown: unknown): KmsError {
  const text = thrown instanceof Error ? tidy(thrown.message) : ''
  return new KmsError('network', operation, text === '' ? 'connection failed' : text)
}
