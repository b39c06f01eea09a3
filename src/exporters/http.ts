// OTLP over HTTP with protobuf bodies: POST <endpoint>/v1/<signal>. Redirects are not followed: they would carry the
// headers, and so the credentials, to an address that nobody configured.
import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { SidecarError } from '../base/errors.ts'
import { RESPONSE_BYTES_MAX } from '../base/limits.ts'
import { http } from '../base/node-http.ts'
import type { Signal } from '../wire/otlp.ts'
import { ClientTlsFiles } from './client-tls.ts'
import { asOnePiece, type Compressed, gzipped, sendAll } from './gzip.ts'
import { type HttpExporterOptions, OTLP_DEFAULTS } from './options.ts'
import { readExportResponse } from './otlp-reply.ts'
import type { Sender, SenderProblem, SendOutcome } from './sender.ts'
import { USER_AGENT } from './user-agent.ts'
import { asOutcome, connectionVerdict, httpVerdict, proxyVerdict } from './verdicts.ts'

/** An idle connection is ours to close before most servers close it under a request, ms. */
const IDLE_MS = 4_000

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly contentType: string
  /** `undefined` when it was larger than we read. */
  readonly body: Buffer | undefined
}

type Exchange = { readonly answer: Answer } | { readonly outcome: SendOutcome }

const TIMEOUT: SendOutcome = { kind: 'retry', afterMs: undefined, reason: 'timeout' }

export class HttpExporter implements Sender {
  readonly id: string
  readonly #options: HttpExporterOptions
  readonly #timeoutMs: number
  readonly #isCompressed: boolean
  readonly #nowMs: () => number
  /** Absent: plaintext, as the endpoint says. */
  #tls: ClientTlsFiles | undefined
  #agent: HttpAgent | HttpsAgent | undefined
  #headers: Record<string, string> = {}
  #base: URL | undefined

  /** `nowMs` is the wall clock, for a Retry-After that names a date. */
  constructor(id: string, options: HttpExporterOptions, nowMs: () => number = Date.now) {
    this.id = id
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? OTLP_DEFAULTS.timeoutMs
    this.#isCompressed = (options.compression ?? OTLP_DEFAULTS.compression) === 'gzip'
    this.#nowMs = nowMs
  }

  /** Connects when there is something to send. Rejects CONFIG; TLS files that do not load are waited for. */
  async start(): Promise<void> {
    const { endpoint, tls, headers } = this.#options
    if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
      throw new SidecarError(
        'CONFIG',
        `exporters.${this.id}.endpoint: must be a URL that starts with http:// or https://`,
      )
    }
    this.#base = new URL(endpoint)
    this.#headers = { 'content-type': 'application/x-protobuf', 'user-agent': USER_AGENT }
    if (this.#isCompressed) this.#headers['content-encoding'] = 'gzip'
    for (const [name, value] of headers ?? []) this.#headers[name.toLowerCase()] = value.reveal()
    this.#tls =
      this.#base.protocol === 'https:' ? new ClientTlsFiles(tls, `exporters.${this.id}.tls`) : undefined
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
    if (!this.#base) return { kind: 'retry', afterMs: undefined, reason: 'not_started' }
    const content = this.#isCompressed ? await gzipped(body) : asOnePiece(body)
    abort.throwIfAborted()
    try {
      this.#agent ??= newAgent(this.#tls)
    } catch (thrown) {
      return asOutcome(connectionVerdict(thrown))
    }
    const exchange = await this.#exchange(this.#base, signal, content, abort, onHandedOver)
    abort.throwIfAborted()
    return 'outcome' in exchange ? exchange.outcome : outcomeOf(exchange.answer, this.#nowMs())
  }

  async close(): Promise<void> {
    this.#agent?.destroy()
    this.#agent = undefined
    this.#base = undefined
  }

  #exchange(
    base: URL,
    signal: Signal,
    content: Compressed,
    abort: AbortSignal,
    onHandedOver?: () => void,
  ): Promise<Exchange> {
    const { promise, resolve } = Promise.withResolvers<Exchange>()
    const request = this.#request(base, signal, content.bytes)
    let outcome = asOutcome({ reason: 'connection_lost', verdict: 'wait' })
    const timer = setTimeout(() => {
      request.destroy()
      resolve({ outcome: TIMEOUT })
    }, this.#timeoutMs)
    const onAbort = () => request.destroy()
    abort.addEventListener('abort', onAbort, { once: true })
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= RESPONSE_BYTES_MAX) return void chunks.push(chunk)
        // The status is the verdict and has come; nobody needs the rest.
        resolve({ answer: answerOf(response, undefined) })
        request.destroy()
      })
      response.on('error', () => undefined)
      response.on('end', () => resolve({ answer: answerOf(response, Buffer.concat(chunks)) }))
    })
    request.on('error', (thrown) => {
      outcome = asOutcome(connectionVerdict(thrown))
    })
    // `close` always follows, and after a whole answer it changes nothing.
    request.on('close', () => resolve({ outcome }))
    if (onHandedOver) request.once('finish', onHandedOver)
    sendAll(request, content.pieces)
    return promise.finally(() => {
      clearTimeout(timer)
      abort.removeEventListener('abort', onAbort)
    })
  }

  #request(base: URL, signal: Signal, bytes: number): ClientRequest {
    const isTls = base.protocol === 'https:'
    return (isTls ? requestHttps : http.request)({
      protocol: base.protocol,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? (isTls ? 443 : 80) : Number(base.port),
      path: `${base.pathname.replace(/\/+$/, '')}/v1/${signal}${base.search}`,
      method: 'POST',
      headers: { ...this.#headers, 'content-length': bytes },
      agent: this.#agent,
    })
  }
}

/** Throws CONFIG when the TLS files do not load. */
function newAgent(tls: ClientTlsFiles | undefined): HttpAgent | HttpsAgent {
  const keep = { keepAlive: true, timeout: IDLE_MS, noDelay: true }
  return tls ? new HttpsAgent({ ...keep, ...tls.load() }) : new http.Agent(keep)
}

function answerOf(response: IncomingMessage, body: Buffer | undefined): Answer {
  return {
    status: response.statusCode ?? 0,
    retryAfter: response.headers['retry-after'],
    contentType: response.headers['content-type'] ?? '',
    body,
  }
}

/** What the answer means; `verdicts.ts` has the table. */
export function outcomeOf(answer: Answer, nowMs: number): SendOutcome {
  const { status, body, contentType } = answer
  const isWebPage = /^text\/html\b/i.test(contentType) && body?.length !== 0
  if (status >= 200 && status < 300) {
    // A login page with status 200 is a proxy speaking; no OTLP server took the data.
    if (isWebPage) return asOutcome({ reason: 'not_otlp', verdict: 'mend' })
    if (!body) return { kind: 'ok', rejectedItems: 0, message: 'the answer was too large to be read' }
    return /^application\/x-protobuf\b/i.test(contentType)
      ? readExportResponse(body)
      : { kind: 'ok', rejectedItems: 0, message: '' }
  }
  const verdict = isWebPage ? proxyVerdict(status) : httpVerdict(status)
  return asOutcome({ reason: `http_${status}`, verdict }, retryAfterMs(answer.retryAfter, nowMs))
}

/** RFC 9110 section 10.2.3: seconds, or a date. Anything else counts as absent. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  // Date.parse alone would take a bare number for a year.
  const dateMs = /^[A-Za-z]/.test(value.trim()) ? Date.parse(value) : Number.NaN
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs)
}
