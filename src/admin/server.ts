import assert from 'node:assert'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { asSidecarError, ERRORS, SidecarError } from '../base/errors.ts'
import { IDLE_TIMEOUT_MS } from '../base/limits.ts'
import { createHostCheck } from '../receivers/host-check.ts'
import { addCompliance } from './compliance.ts'
import { addHealth } from './health.ts'
import { addKeys } from './keys.ts'
import { addKms } from './kms.ts'
import { addMetrics } from './metrics.ts'
import { ADMIN_DEFAULTS, type AdminOptions, type AdminProbes } from './options.ts'
import { addPages } from './pages.ts'
import { addReveal } from './reveal.ts'
import { RouteTable } from './route-table.ts'

const HEADERS: readonly (readonly [string, string])[] = [
  ['cache-control', 'no-store'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
]

/**
 * The HTTP server of health, metrics and admin. It does not listen yet; the caller does, and closes it. Answers in
 * JSON, errors too: `{"error":{"code","message"}}`, never with a stack or anything that was sent.
 */
export function createAdmin(options: AdminOptions, probes: AdminProbes): FastifyInstance {
  const app: FastifyInstance = fastify({
    bodyLimit: options.bodyBytesMax ?? ADMIN_DEFAULTS.bodyBytesMax,
    requestTimeout: options.requestMsMax ?? ADMIN_DEFAULTS.requestMsMax,
    connectionTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    return503OnClosing: true,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 512 },
    // No route has a JSON schema: handlers read what comes themselves. So the two compilers, 110 files, stay unread.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    // Prototype keys in a body are refused, not silently dropped.
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    frameworkErrors: (error, _request, reply) => void sendError(reply, fromFastify(error)),
  })
  const isOurHost = createHostCheck(options.endpoint?.host, options.allowedHosts ?? [])
  const routes = new RouteTable()
  app.addHook('onRoute', ({ method, url }) => routes.add(method, url))
  app.addHook('onRequest', (request, reply, done) => {
    for (const [name, value] of HEADERS) reply.header(name, value)
    if (isOurHost(request.headers.host)) done()
    else void sendError(reply, MISDIRECTED)
  })
  app.setErrorHandler((thrown, _request, reply) => {
    const failure = isFastifyError(thrown) ? fromFastify(thrown) : fromSidecar(asSidecarError(thrown))
    if (failure.http >= 500 && failure.http !== 501 && failure.code !== 'OVERLOADED')
      probes.log.error({ code: failure.code, err: thrown }, 'admin request failed')
    if (thrown instanceof SidecarError && thrown.isRetryable) {
      reply.header('retry-after', Math.ceil((thrown.retryAfterMs ?? 1_000) / 1_000))
    }
    return sendError(reply, failure)
  })
  app.setNotFoundHandler((request, reply) => answerUnrouted(request, reply, routes))

  addHealth(app, probes.health, options.probeMsMax ?? ADMIN_DEFAULTS.probeMsMax)
  addMetrics(app, probes.registry)
  addKms(app, options.token, probes)
  if (probes.keyOperations) addKeys(app, options.token, probes.keyOperations, probes.log)
  addReveal(app, options.revealToken, probes.reveal)
  addCompliance(app, probes.publicKeys, probes.verifySpan, probes.clock)
  addPages(app, probes)
  return app
}

function noSchemas(): never {
  assert.fail('admin routes carry no JSON schema')
}

interface Failure {
  readonly http: number
  readonly code: string
  readonly message: string
}

/** RFC 9110 §15.5.20: the request was meant for another server. */
const MISDIRECTED: Failure = {
  http: 421,
  code: 'MISDIRECTED',
  message: 'host is not a name of this sidecar; service.allowed_hosts lists further ones',
}

function sendError(reply: FastifyReply, { http, code, message }: Failure): FastifyReply {
  return reply.code(http).type('application/json; charset=utf-8').send({ error: { code, message } })
}

function fromSidecar(error: SidecarError): Failure {
  // An INTERNAL error's own message is constant too, but it is for the log.
  const message = error.code === 'INTERNAL' ? 'internal error' : error.message
  return { http: ERRORS[error.code].http, code: error.code, message }
}

function isFastifyError(thrown: unknown): thrown is FastifyError {
  return thrown instanceof Error && !(thrown instanceof SidecarError) && 'statusCode' in thrown
}

const FRAMEWORK_MISTAKES: ReadonlyMap<number, Failure> = new Map(
  [
    { http: 400, code: 'MALFORMED', message: 'request is not valid' },
    { http: 404, code: 'NOT_FOUND', message: 'nothing is served at this path' },
    { http: 408, code: 'TIMEOUT', message: 'request took too long' },
    { http: 413, code: 'TOO_LARGE', message: 'request body is too large' },
    { http: 414, code: 'TOO_LARGE', message: 'request path is too long' },
    { http: 415, code: 'UNSUPPORTED_ENCODING', message: 'content type is not supported' },
    { http: 501, code: 'NOT_IMPLEMENTED', message: 'this sidecar is not set up for that' },
  ].map((failure) => [failure.http, failure]),
)

// The framework's messages quote the request; its status says enough.
function fromFastify(error: FastifyError): Failure {
  const known = FRAMEWORK_MISTAKES.get(error.statusCode ?? 500)
  if (known) return known
  if (error.statusCode !== undefined && error.statusCode < 500) return FRAMEWORK_MISTAKES.get(400)!
  return { http: 500, code: 'INTERNAL', message: 'internal error' }
}

function answerUnrouted(request: FastifyRequest, reply: FastifyReply, routes: RouteTable): FastifyReply {
  const methods = routes.methodsAt(request.url)
  if (methods.length === 0)
    return sendError(reply, { http: 404, code: 'NOT_FOUND', message: 'nothing is served at this path' })
  reply.header('allow', methods.join(', '))
  if (request.method === 'OPTIONS') return reply.code(204).send()
  return sendError(reply, { http: 405, code: 'METHOD_NOT_ALLOWED', message: 'method is not allowed here' })
}
