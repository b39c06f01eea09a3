import type { FastifyInstance } from 'fastify'
import { SidecarError } from '../base/errors.ts'
import type { RotationScope } from '../keys/rotation/rotation-run.ts'
import type { RotationCheck, RotationControl, RotationProgress } from './options.ts'

const STAGGER_MS_MAX = 60_000
const STAGGER_MS_DEFAULT = 100

const TENANTS: Readonly<Record<RotationScope, string>> = {
  overdue: 'the tenants whose signing key is older than kms.rotation.max_age_days',
  due: 'the tenants whose signing key would pass kms.rotation.max_age_days before the next check',
  all: 'every tenant that has keys',
}

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
  const { isRunning, scope, queued, tenantCount, rotatedCount, failedCount, estimatedEndMs } = progress
  const remaining = Math.max(0, tenantCount - rotatedCount - failedCount)
  return {
    status: isRunning ? 'RUNNING' : 'IDLE',
    scope: scope ?? null,
    queued: queued ?? null,
    message: messageOf(progress),
    total_tenants: tenantCount,
    rotated: rotatedCount,
    failed: failedCount,
    remaining,
    progress_pct: percentDone(isRunning, tenantCount, remaining),
    estimated_completion: isoTime(estimatedEndMs),
    last_check: progress.lastCheck ? checkAnswer(progress.lastCheck) : null,
  }
}

function checkAnswer(check: RotationCheck): object {
  return {
    status: check.isRunning ? 'RUNNING' : 'IDLE',
    started: isoTime(check.startedMs),
    total_tenants: check.tenantCount,
    rotated: check.rotatedCount,
    failed: check.failedCount,
  }
}

const isoTime = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString()

/** A run that has just begun has no tenants yet, and one that found none is over at once. */
function percentDone(isRunning: boolean, tenantCount: number, remaining: number): number {
  if (tenantCount === 0) return isRunning ? 0 : 100
  return Math.floor(((tenantCount - remaining) / tenantCount) * 100)
}

// A total of 0 would leave an operator guessing what it is a total of.
function messageOf({ isRunning, scope, queued }: RotationProgress): string {
  if (scope === undefined) return 'no run since the start'
  const run = isRunning ? 'this run takes' : 'the last run took'
  const others = scope === 'all' ? '' : '; force: true takes every tenant'
  const next = queued === undefined ? '' : `; a run over ${TENANTS[queued]} follows`
  return `${run} ${TENANTS[scope]}${others}${next}`
}
