// What health, admin and the status page say, read from the parts and never remembered beside them.

import type { Clock } from '../base/clock.ts'
import { asSidecarError, type SidecarError } from '../base/errors.ts'
import type { Logger, Registry } from '../base/telemetry.ts'
import type { DeadLetterLevels } from '../exporters/dead-letter.ts'
import type { ExporterHealth } from '../exporters/health.ts'
import { openSecretOf } from '../keys/data/tenant-secret.ts'
import type { Keys } from '../keys/keys.ts'
import { rewrappedKey } from '../keys/operations/rewrap.ts'
import type { KeyStore } from '../keys/records/keystore.ts'
import type { Rotation } from '../keys/rotation/rotation.ts'
import type { BreakerKms } from '../kms/breaker-kms.ts'
import { MeteredKms } from '../kms/metered-kms.ts'
import type { Accept } from '../pipeline/pipeline.ts'
import type { Store } from '../store/store.ts'
import { createAuditedReveal } from './audited-reveal.ts'
import { createKmsControl, createRotationControl } from './kms-control.ts'
import { failureAnswer } from './kms-failure.ts'
import type { AdminProbes, HealthCheck, KmsStatus, PublicKeyView, Summary } from './options.ts'

/** Probes of the key service cost money: at most one call a minute, whoever asks and however often. */
const KMS_PROBE_MS = 60_000
/** What failed is asked again sooner: a balancer that was told "down" sends nothing that would find out. */
const KMS_RETRY_MS = 10_000
const KMS_PROBE_TIMEOUT_MS = 5_000
const QUEUE_FULL_SHARE = 0.98

export class KmsProbe {
  readonly #keys: Keys
  readonly #clock: Clock
  readonly #defaultTenant: string
  #checkedAtMs = Number.NEGATIVE_INFINITY
  #retriedAtMs = Number.NEGATIVE_INFINITY
  #running: Promise<HealthCheck> | undefined
  #retrying: Promise<void> | undefined
  #latest: HealthCheck | undefined
  #failure: SidecarError | undefined

  constructor(keys: Keys, clock: Clock, defaultTenant: string) {
    this.#keys = keys
    this.#clock = clock
    this.#defaultTenant = defaultTenant
  }

  /** A failure is forgotten, so that the next check asks again: somebody has just seen the service work, or mended it. */
  recheck(): void {
    if (this.#latest?.isUp === false) this.#checkedAtMs = Number.NEGATIVE_INFINITY
    this.#retriedAtMs = Number.NEGATIVE_INFINITY
  }

  /**
   * What the last question said of the master key, corrected by what requests would get now: keys that come say that a
   * hiccup is over, and a key that can be described but not used by anybody is no working key.
   */
  async check(): Promise<HealthCheck> {
    const [asked] = await Promise.all([this.#asked(), this.#retried()])
    const { provider, unserved, lastKeyMs } = this.#keys.status()
    const isOver = this.#failure?.isRetryable === true && lastKeyMs > this.#checkedAtMs
    if (this.#failure !== undefined && !isOver) return asked
    if (unserved !== undefined) return down(provider, unserved)
    return isOver ? { name: 'kms', isUp: true, data: { provider, status: 'operational' } } : asked
  }

  async #asked(): Promise<HealthCheck> {
    const ageMsMax = this.#latest?.isUp === false ? KMS_RETRY_MS : KMS_PROBE_MS
    const isFresh = this.#clock.monotonicMs() - this.#checkedAtMs < ageMsMax
    if (isFresh && this.#latest) return this.#latest
    this.#running ??= this.#ask().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** The kind of call that keeps everybody from keys is made again: that the master key can be described says nothing of it. */
  async #retried(): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    if (this.#retrying === undefined) {
      if (this.#keys.status().unserved === undefined || nowMs - this.#retriedAtMs < KMS_RETRY_MS) return
      this.#retriedAtMs = nowMs
      this.#retrying = this.#keys
        .retryUnserved(this.#defaultTenant, AbortSignal.timeout(KMS_PROBE_TIMEOUT_MS))
        .finally(() => {
          this.#retrying = undefined
        })
    }
    await this.#retrying
  }

  async #ask(): Promise<HealthCheck> {
    const { provider } = this.#keys.status()
    const startMs = this.#clock.monotonicMs()
    try {
      await this.#keys.describe(AbortSignal.timeout(KMS_PROBE_TIMEOUT_MS))
      const latencyMs = Math.round(this.#clock.monotonicMs() - startMs)
      this.#failure = undefined
      this.#latest = {
        name: 'kms',
        isUp: true,
        data: { provider, latency_ms: latencyMs, status: 'operational' },
      }
    } catch (thrown) {
      this.#failure = asSidecarError(thrown)
      this.#latest = down(provider, this.#failure)
    }
    this.#checkedAtMs = this.#clock.monotonicMs()
    return this.#latest
  }
}

function down(provider: string, error: SidecarError): HealthCheck {
  return { name: 'kms', isUp: false, data: { provider, ...failureAnswer(error) } }
}

export interface ProbedSettings {
  readonly keys: Keys
  readonly kms: KmsProbe
  readonly guardedKms: BreakerKms
  readonly keyStore: KeyStore
  /** The master key that the configuration gives to this tenant alone. */
  readonly ownMasterKey: (tenant: string) => string | undefined
  /** Whose signing key a validation retrieves. */
  readonly defaultTenant: string
  /** One call to the key service. */
  readonly requestMsMax: number
  /** The pipeline's way in for audit spans; `undefined` where nothing signs them. */
  readonly acceptAudit: Accept | undefined
  readonly log: Logger
  readonly registry: Registry
  /** `undefined`: its calls answer 501. */
  readonly rotation?: Pick<Rotation, 'rotateAll' | 'state'> | undefined
  readonly store: Store | undefined
  readonly exporterHealth: () => readonly ExporterHealth[]
  readonly deadLetters: () => DeadLetterLevels | undefined
  readonly isAccepting: () => boolean
  /** What keeps a receiver from listening, while the others do. */
  readonly receiverProblems: () => readonly SidecarError[]
  readonly clock: Clock
  readonly cacheSizeMax: number
  readonly version: string
  readonly startedAtMs: number
}

export function createProbes(
  parts: ProbedSettings,
): Pick<
  AdminProbes,
  | 'clock'
  | 'health'
  | 'keyOperations'
  | 'kmsControl'
  | 'kmsStatus'
  | 'publicKeys'
  | 'reveal'
  | 'rotation'
  | 'summary'
> {
  const { keys, guardedKms: kms, acceptAudit, clock, keyStore } = parts
  // What an operator starts is counted and logged like every other call.
  const metered = new MeteredKms({ ...parts, kms })
  const stored = { kms: metered, store: keyStore, clock }
  return {
    health: {
      live: () => [storeCheck(parts.store, 'live')],
      started: () => [{ name: 'startup', isUp: true }],
      // An excluded key service is not even asked: it may hang.
      ready: async (_abort, exclude) => [
        ...(exclude.includes('kms') ? [] : [await parts.kms.check()]),
        receiversCheck(parts),
        ...exporterChecks(parts.exporterHealth()),
        ...deadLetterChecks(parts.deadLetters()),
        ...queueChecks(parts.store),
      ],
    },
    clock,
    kmsControl: createKmsControl({ ...parts, kms: metered, onWorking: () => parts.kms.recheck() }),
    kmsStatus: () => kmsStatus(parts),
    keyOperations: { operations: keys.operations, ownMasterKey: parts.ownMasterKey },
    rotation: parts.rotation && createRotationControl(parts.rotation, parts),
    reveal:
      acceptAudit &&
      createAuditedReveal({
        ...parts,
        kms: metered,
        accept: acceptAudit,
        tenantSecret: (tenant, id, signal, kid) => openSecretOf(stored, tenant, id, signal, kid),
        rewrapped: async (tenant, kid) => rewrappedKey(keyStore, tenant, kid),
      }),
    publicKeys: (tenant) => {
      const records = keys.publicKeys(tenant)
      return records.length === 0 ? undefined : records.map(publicKeyView)
    },
    summary: () => summary(parts),
  }
}

/** A commit that hangs or a disk that refuses is only healed by people or a restart. */
function storeCheck(store: Store | undefined, name: string): HealthCheck {
  const health = store?.health()
  if (!health?.isStuck) return { name, isUp: true }
  return { name, isUp: false, data: { error: 'a commit did not end in time', error_type: 'STORE_FAILED' } }
}

function receiversCheck({ isAccepting, receiverProblems }: ProbedSettings): HealthCheck {
  const [problem] = receiverProblems()
  if (problem === undefined) return { name: 'receivers', isUp: isAccepting() }
  const error = receiverProblems()
    .map(({ message }) => message)
    .join('; ')
  return { name: 'receivers', isUp: false, data: { error, error_type: problem.code } }
}

// A next hop that is down does not make us unready: we queue for it, and another sidecar could do no better.
function exporterChecks(exporters: readonly ExporterHealth[]): HealthCheck[] {
  return exporters.map(({ id, ok, lastError, needsMending, detail }) => ({
    name: `exporter ${id}`,
    isUp: true,
    data: ok
      ? { status: 'operational' }
      : {
          status: needsMending ? 'needs_mending' : 'retrying',
          error: lastError ?? 'unknown',
          ...(detail !== undefined && { detail }),
        },
  }))
}

// What is given up and has no room waits in the queue, which fills; traffic goes elsewhere before it has to be refused.
function deadLetterChecks(levels: DeadLetterLevels | undefined): HealthCheck[] {
  if (!levels) return []
  const { bytesUsed, bytesMax, waitingItems } = levels
  const data = { bytes_used: bytesUsed, bytes_max: bytesMax, waiting_items: waitingItems }
  if (waitingItems === 0) return [{ name: 'dead letters', isUp: true, data }]
  const error = 'the dead-letter file is full: move it away'
  return [{ name: 'dead letters', isUp: false, data: { ...data, error, error_type: 'STORE_FAILED' } }]
}

function queueChecks(store: Store | undefined): HealthCheck[] {
  if (!store) return []
  const { queueBytesUsed, queueBytesMax } = store
  const health = store.health()
  const data = { bytes_used: queueBytesUsed, bytes_max: queueBytesMax, items: store.queuedItems }
  const isFull = queueBytesUsed >= queueBytesMax * QUEUE_FULL_SHARE
  return [
    {
      name: 'queue',
      isUp: !isFull,
      data: isFull ? { ...data, error: 'queue is full', error_type: 'QUEUE_FULL' } : data,
    },
    {
      name: 'store',
      isUp: health.ok,
      ...(!health.ok && { data: { error: health.reason ?? 'unknown', error_type: 'STORE_FAILED' } }),
    },
  ]
}

function kmsStatus({ keys, cacheSizeMax, guardedKms }: ProbedSettings): KmsStatus {
  const { provider, masterKeyId, caches, lastError, corruptRecords } = keys.status()
  const cache = (type: 'signing' | 'public' | 'encryption'): KmsStatus['caches']['signing'] => {
    const { size, hits, misses } = caches[type]
    return { size, sizeMax: cacheSizeMax, hits, misses }
  }
  const issues = corruptRecords.map((record) => `key record ${record} is corrupt`)
  const tripped = guardedKms.tripped()
  for (const { name, masterKeyId, state, error } of tripped)
    issues.push(`circuit breaker ${name} of ${masterKeyId} is ${state} after ${error ?? 'failures'}`)
  if (provider === 'local') issues.push('the local key service is not for production')
  if (lastError)
    issues.push(
      `last call to the key service failed: ${lastError.error} in ${lastError.operation}, see ${lastError.runbook}`,
    )
  return {
    provider,
    masterKeyId,
    caches: { signing: cache('signing'), public: cache('public'), encryption: cache('encryption') },
    breakers: guardedKms.states(),
    tripped,
    lastRotationMs: keys.rotationStatus().lastSuccessMs,
    lastError: lastError && {
      errorType: lastError.error,
      operation: lastError.operation,
      helpUrl: lastError.runbook,
      atMs: lastError.atMs,
    },
    issues,
  }
}

function publicKeyView(record: ReturnType<Keys['publicKeys']>[number]): PublicKeyView {
  return {
    keyId: record.keyId,
    algorithm: record.algorithm,
    publicKey: Buffer.from(record.publicKey, 'base64'),
    createdAtMs: Date.parse(record.createdAt),
    notAfterMs: record.notAfter == null ? undefined : Date.parse(record.notAfter),
    status: record.status,
    endorsedBy: record.endorsedBy ?? undefined,
    endorsement: record.endorsement ?? undefined,
  }
}

function summary({ keys, store, clock, version, startedAtMs }: ProbedSettings): Summary {
  const { signing, encryption, pseudonym } = keys.status().caches
  const kinds = [signing, encryption, pseudonym]
  const hits = kinds.reduce((sum, each) => sum + each.hits, 0)
  const lookups = kinds.reduce((sum, each) => sum + each.hits + each.misses, 0)
  return {
    version,
    uptimeMs: clock.monotonicMs() - startedAtMs,
    queueBytesUsed: store?.queueBytesUsed ?? 0,
    queueBytesMax: store?.queueBytesMax ?? 0,
    queuedItems: store?.queuedItems ?? 0,
    keyHitRatio: lookups === 0 ? undefined : hits / lookups,
  }
}
