import type { FastifyInstance } from 'fastify'
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { isTenantId } from '../formats/tenant-id.ts'
import { type AdminToken, requireBearer } from './bearer.ts'
import { NotFound } from './compliance.ts'
import { failureAnswer, kmsFailureIn } from './kms-failure.ts'
import { type KmsValidation, shownMs, validationAnswer } from './kms-validation.ts'
import type { AdminProbes, CacheStatus, KmsControl, KmsStatus } from './options.ts'
import { addRotation } from './rotation.ts'

type KmsProbes = Pick<AdminProbes, 'kmsStatus' | 'kmsControl' | 'rotation' | 'clock'>

/** `/api/admin/kms/*` and `/api/admin/circuit-breaker/*`, for the bearer of the admin token. */
export function addKms(app: FastifyInstance, token: AdminToken, probes: KmsProbes): void {
  app.register(async (admin) => {
    admin.addHook('onRequest', requireBearer(token))
    admin.get('/api/admin/kms/status', async () => statusAnswer(await probes.kmsStatus()))
    addControl(admin, probes.kmsControl, probes.clock)
    addRotation(admin, probes.rotation)
  })
}

function addControl(admin: FastifyInstance, control: KmsControl, clock: Clock): void {
  // Each costs calls to the key service: whoever asks while one runs gets its answer.
  let running: Promise<KmsValidation> | undefined
  admin.post('/api/admin/kms/validate', async () => {
    running ??= control.validate().finally(() => {
      running = undefined
    })
    return validationAnswer(await running)
  })

  admin.post('/api/admin/kms/test-key-retrieval', async (request, reply) => {
    const { tenantId } = readTenant(request.body)
    if (tenantId === undefined) throw new SidecarError('MALFORMED', 'a body of {"tenantId": "…"} is needed')
    const startMs = clock.monotonicMs()
    try {
      await control.retrieveKey(tenantId)
      return { status: 'success', latency_ms: shownMs(clock.monotonicMs() - startMs) }
    } catch (thrown) {
      const error = asSidecarError(thrown)
      const message = kmsFailureIn(error)?.providerMessage
      return reply.code(503).send({
        status: 'failure',
        latency_ms: shownMs(clock.monotonicMs() - startMs),
        ...failureAnswer(error),
        ...(message !== undefined && { message }),
      })
    }
  })

  admin.post('/api/admin/kms/cache/flush', async (request) => {
    const { tenantId } = readTenant(request.body)
    control.flush(tenantId)
    return { status: 'success', flushed: tenantId ?? 'all' }
  })

  admin.post<{ Params: { name: string } }>(
    '/api/admin/circuit-breaker/:name/reset',
    async ({ params: { name } }) => {
      const trippedCount = control.resetBreaker(name)
      if (trippedCount === undefined)
        throw new NotFound('no circuit breaker has this name; GET /api/admin/kms/status lists them')
      return { status: 'success', name, state: 'closed', was_not_closed: trippedCount }
    },
  )
}

/** `{}`, `{"tenantId"}` or nothing at all; anything else is refused, since a misspelt tenant must not mean all of them. */
function readTenant(body: unknown): { readonly tenantId: string | undefined } {
  if (body === undefined || body === null) return { tenantId: undefined }
  if (typeof body === 'object' && !Array.isArray(body)) {
    const names = Object.keys(body)
    if (names.length === 0) return { tenantId: undefined }
    const tenantId: unknown = 'tenantId' in body ? body.tenantId : undefined
    if (names.length === 1 && typeof tenantId === 'string' && isTenantId(tenantId)) return { tenantId }
  }
  throw new SidecarError('MALFORMED', 'the body may hold a tenantId and nothing else')
}

function statusAnswer(status: KmsStatus): object {
  const { signing, public: publicKeys, encryption } = status.caches
  return {
    provider: status.provider,
    status: status.issues.length === 0 ? 'HEALTHY' : 'WARNING',
    master_key: status.masterKeyId,
    cache_size: signing.size + publicKeys.size + encryption.size,
    cache_private_keys: signing.size,
    cache_public_keys: publicKeys.size,
    cache_encryption_keys: encryption.size,
    caches: {
      signing: cacheAnswer(signing),
      public: cacheAnswer(publicKeys),
      encryption: cacheAnswer(encryption),
    },
    circuit_breakers: Object.fromEntries(status.breakers),
    not_closed: status.tripped.map(({ name, masterKeyId, state, error }) => ({
      name,
      master_key: masterKeyId,
      state,
      error_type: error ?? null,
    })),
    last_rotation: isoTime(status.lastRotationMs),
    last_error: status.lastError
      ? {
          error_type: status.lastError.errorType,
          operation: status.lastError.operation,
          help_url: status.lastError.helpUrl,
          at: isoTime(status.lastError.atMs),
        }
      : null,
    issues: status.issues,
  }
}

function cacheAnswer({ size, sizeMax, hits, misses }: CacheStatus): object {
  return {
    size,
    max_size: sizeMax,
    hits,
    misses,
    hit_ratio: hits + misses === 0 ? null : hits / (hits + misses),
  }
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
