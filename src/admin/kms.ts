import type { FastifyInstance } from 'fastify'
import { type AdminToken, requireBearer } from './bearer.ts'
import type { CacheStatus, KmsStatus } from './options.ts'

/** `/api/admin/kms/*`, for the bearer of the admin token. */
export function addKms(
  app: FastifyInstance,
  token: AdminToken,
  status: () => KmsStatus | Promise<KmsStatus>,
): void {
  app.register(async (admin) => {
    admin.addHook('onRequest', requireBearer(token))
    admin.get('/api/admin/kms/status', async () => statusAnswer(await status()))
  })
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
    last_rotation: isoTime(status.lastRotationMs),
    last_error: status.lastError
      ? { error_type: status.lastError.errorType, at: isoTime(status.lastError.atMs) }
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
