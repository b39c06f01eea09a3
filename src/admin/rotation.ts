import type { FastifyInstance } from 'fastify'
import { SidecarError } from '../errors.ts'
import type { RotationControl, RotationProgress } from './options.ts'

const STAGGER_MS_MAX = 60_000
const STAGGER_MS_DEFAULT = 100

/** The rotation routes, inside the admin scope. Without a rotation each of them answers 501. */
export function addRotation(admin: FastifyInstance, rotation: RotationControl | undefined): void {
  const control = (): RotationControl => {
    if (rotation === undefined) throw new NotBuilt()
    return rotation
  }
  admin.post('/api/admin/kms/rotate-all-keys', async (request, reply) => {
    const { isForced, staggerMs } = readRequest(request.body)
    await control().rotateAll({ isForced, staggerMs })
    return reply.code(202).send(progressAnswer(await control().progress()))
  })
  admin.get('/api/admin/kms/rotation-status', async () => progressAnswer(await control().progress()))
  admin.get('/api/admin/kms/tenants-needing-rotation', async () => {
    const tenants = await control().tenantsDue()
    return {
      count: tenants.length,
      tenants: tenants.map(({ tenant, keyId, createdMs, ageDays }) => ({
        tenantId: tenant,
        keyId,
        createdAt: new Date(createdMs).toISOString(),
        age_days: ageDays,
      })),
    }
  })
}

/** Has a status and no data; the server answers it as 501. */
class NotBuilt extends Error {
  readonly statusCode = 501
}

function readRequest(body: unknown): { isForced: boolean; staggerMs: number } {
  if (body === undefined || body === null) return { isForced: false, staggerMs: STAGGER_MS_DEFAULT }
  if (typeof body !== 'object' || Array.isArray(body)) throw malformed()
  const {
    force = false,
    stagger_ms: staggerMs = STAGGER_MS_DEFAULT,
    ...rest
  } = body as Record<string, unknown>
  if (typeof force !== 'boolean' || Object.keys(rest).length > 0) throw malformed()
  if (typeof staggerMs !== 'number' || !(staggerMs >= 0 && staggerMs <= STAGGER_MS_MAX)) throw malformed()
  return { isForced: force, staggerMs }
}

function malformed(): SidecarError {
  return new SidecarError('MALFORMED', 'the body may hold force, true or false, and stagger_ms, 0 to 60000')
}

function progressAnswer(progress: RotationProgress): object {
  const { isRunning, tenantCount, rotatedCount, failedCount, estimatedEndMs } = progress
  const remaining = Math.max(0, tenantCount - rotatedCount - failedCount)
  return {
    status: isRunning ? 'RUNNING' : 'IDLE',
    total_tenants: tenantCount,
    rotated: rotatedCount,
    failed: failedCount,
    remaining,
    progress_pct: tenantCount === 0 ? 100 : Math.floor(((tenantCount - remaining) / tenantCount) * 100),
    estimated_completion: estimatedEndMs === undefined ? null : new Date(estimatedEndMs).toISOString(),
  }
}
