// `POST /api/admin/keys/*`: what `betrace keys` does with the sidecar stopped, for one that cannot be stopped and entered.
// Each call that cannot be undone repeats in `confirm` what it is about; `dry_run` says what it would do and does nothing.
// Every outcome is one line in the log, with `audit: true`.
import type { FastifyInstance } from 'fastify'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { isTenantId } from '../formats/tenant-id.ts'
import type { KeyOperations, RewrapState } from '../keys/operations/key-operations.ts'
import type { ShredScope } from '../keys/operations/shred.ts'
import { type AdminToken, requireBearer } from './bearer.ts'
import { kmsFailureIn } from './kms-failure.ts'

export interface KeyOperationsControl {
  readonly operations: KeyOperations
  /** The master key that the configuration gives to this tenant alone. */
  readonly ownMasterKey: (tenant: string) => string | undefined
}

interface KeyRequest {
  readonly action: 'revoke' | 'retire' | 'shred' | 'rewrap'
  readonly tenantId: string
  readonly keyId: string
  readonly isDryRun: boolean
  readonly isConfirmed: boolean
  readonly actor: string | undefined
  readonly reason: string | undefined
}

const TEXT_CHARS_MAX = 500
const KEY_ID_CHARS_MAX = 64

/** For the bearer of the admin token. */
export function addKeys(
  app: FastifyInstance,
  token: AdminToken,
  { operations, ownMasterKey }: KeyOperationsControl,
  log: Logger,
): void {
  app.register(async (admin) => {
    admin.addHook('onRequest', requireBearer(token))
    admin.post('/api/admin/keys/revoke', ({ body }) =>
      audited(log, readRequest('revoke', body), (request) => revoke(operations, request)),
    )
    admin.post('/api/admin/keys/retire', ({ body }) =>
      audited(log, readRequest('retire', body), (request) => retire(operations, request)),
    )
    admin.post('/api/admin/keys/shred', ({ body }) =>
      audited(log, readRequest('shred', body), (request) => shred(operations, ownMasterKey, request)),
    )
    admin.post('/api/admin/keys/rewrap', async ({ body }, reply) => {
      await audited(log, readRequest('rewrap', body), async ({ isDryRun }) => {
        if (!isDryRun) operations.startRewrap()
      })
      return reply.code(202).send(rewrapAnswer(operations.rewrapState()))
    })
    admin.get('/api/admin/keys/rewrap', async () => rewrapAnswer(operations.rewrapState()))
  })
}

async function revoke(operations: KeyOperations, { tenantId, keyId, isDryRun }: KeyRequest): Promise<object> {
  if (isDryRun) {
    if (!operations.hasSigningKey(tenantId, keyId))
      throw new SidecarError('USAGE', 'the tenant has no signing key of this keyId')
    return { status: 'dry_run', tenantId, keyId, keys: operations.signingKeys(tenantId) }
  }
  const { isNew, endedKeyIds, keyIdInUse, removedRecord } = await operations.revoke(tenantId, keyId)
  return {
    status: 'done',
    tenantId,
    keyId,
    was_revoked_before: !isNew,
    ended_key_ids: endedKeyIds,
    key_id_in_use: keyIdInUse ?? null,
    removed_record: removedRecord === undefined ? null : Buffer.from(removedRecord).toString('base64'),
  }
}

async function retire(operations: KeyOperations, { tenantId, isDryRun }: KeyRequest): Promise<object> {
  if (isDryRun) return { status: 'dry_run', tenantId, keys: operations.signingKeys(tenantId) }
  const { endedKeyIds, damaged } = await operations.retire(tenantId)
  return { status: 'done', tenantId, ended_key_ids: endedKeyIds, damaged_records: damaged }
}

async function shred(
  operations: KeyOperations,
  ownMasterKey: KeyOperationsControl['ownMasterKey'],
  { tenantId, isDryRun }: KeyRequest,
): Promise<object> {
  const scope = operations.shredScope(tenantId)
  const masterKey = ownMasterKey(tenantId)
  const hadSecret = scope.secretIds.length > 0 || scope.destroyedCount > 0
  if (!hadSecret && masterKey === undefined)
    throw new SidecarError('USAGE', 'the tenant has neither a tenant secret nor a master key of its own')
  const reach = { tenantId, ...scopeAnswer(scope), own_master_key: masterKey ?? null }
  if (isDryRun) return { status: 'dry_run', ...reach }
  if (!hadSecret)
    return { status: 'done', ...reach, destroyed_secret_ids: [], proved: 0, files_written_anew: true }
  const { destroyedIds, provenCount, isScrubbed } = await operations.shred(tenantId)
  return {
    status: 'done',
    ...reach,
    destroyed_secret_ids: destroyedIds,
    proved: provenCount,
    files_written_anew: isScrubbed,
  }
}

function scopeAnswer({ secretIds, coveredCount, uncovered, damagedCount }: ShredScope): object {
  return {
    secret_ids: secretIds,
    data_keys_covered: coveredCount,
    data_keys_not_covered: uncovered?.count ?? 0,
    not_covered_from: uncovered === undefined ? null : new Date(uncovered.firstMs).toISOString(),
    not_covered_until: uncovered === undefined ? null : new Date(uncovered.lastMs).toISOString(),
    damaged_announcements: damagedCount,
  }
}

function rewrapAnswer({ isRunning, progress, failures, error, isInterrupted }: RewrapState): object {
  return {
    status: isRunning ? 'RUNNING' : 'IDLE',
    total: progress?.total ?? 0,
    rewrapped: progress?.rewrapped ?? 0,
    were_already: progress?.skipped ?? 0,
    failed: progress?.failed ?? 0,
    is_interrupted: isInterrupted,
    error: error === undefined ? null : error.message,
    failures: failures.map((failure) => ({
      error_type: kmsFailureIn(failure.error)?.kmsClass ?? failure.error.code,
      count: failure.count,
      records: failure.records,
    })),
  }
}

/** Refuses what is not confirmed, and leaves a line of what was asked and what came of it. */
async function audited<T>(
  log: Logger,
  request: KeyRequest,
  work: (request: KeyRequest) => Promise<T>,
): Promise<T> {
  const { action, tenantId: tenant, keyId, isDryRun, isConfirmed, actor, reason } = request
  const facts = {
    audit: true,
    action,
    ...(tenant !== '' && { tenant }),
    ...(keyId !== '' && { keyId }),
    ...(actor !== undefined && { actor }),
    ...(reason !== undefined && { reason }),
  }
  try {
    if (!isDryRun && !isConfirmed)
      throw new SidecarError(
        'USAGE',
        'confirm must repeat the keyId (revoke) or the tenantId (retire, shred)',
      )
    const answer = await work(request)
    if (!isDryRun) log.warn(facts, `Admin call: keys ${action} was carried out`)
    return answer
  } catch (thrown) {
    log.warn(
      { ...facts, code: asSidecarError(thrown).code },
      `Admin call: keys ${action} was refused or failed`,
    )
    throw thrown
  }
}

function readRequest(action: KeyRequest['action'], body: unknown): KeyRequest {
  if (body !== undefined && body !== null && (typeof body !== 'object' || Array.isArray(body)))
    throw malformed()
  // An object that JSON made, or nothing.
  const {
    tenantId,
    keyId,
    confirm,
    dry_run: dryRun = false,
    actor,
    reason,
    ...rest
  } = (body ?? {}) as Record<string, unknown>
  const isAboutTenant = action !== 'rewrap'
  const isAboutKey = action === 'revoke'
  if (Object.keys(rest).length > 0 || typeof dryRun !== 'boolean') throw malformed()
  if (isAboutTenant ? typeof tenantId !== 'string' || !isTenantId(tenantId) : tenantId !== undefined)
    throw malformed()
  if (isAboutKey ? typeof keyId !== 'string' || keyId.length > KEY_ID_CHARS_MAX : keyId !== undefined)
    throw malformed()
  if (!isOptionalText(actor) || !isOptionalText(reason)) throw malformed()
  const about = isAboutKey ? keyId : tenantId
  return {
    action,
    tenantId: typeof tenantId === 'string' ? tenantId : '',
    keyId: typeof keyId === 'string' ? keyId : '',
    isDryRun: dryRun,
    isConfirmed: !isAboutTenant || confirm === about,
    actor,
    reason,
  }
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && value.length <= TEXT_CHARS_MAX)
}

function malformed(): SidecarError {
  return new SidecarError(
    'MALFORMED',
    'the body may hold tenantId, keyId (revoke), confirm, dry_run, actor and reason, each where it belongs',
  )
}
