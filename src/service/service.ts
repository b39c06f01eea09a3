// The whole process, put together and taken apart. Start goes against the flow (store, keys, next hops, pipeline, ways
// in), so that nothing is accepted before everything behind it stands; stop goes with the flow.
import type { FastifyInstance } from 'fastify'
import { listenAdmin } from '../admin/listen.ts'
import { createProbes, KmsProbe, type ProbedSettings } from '../admin/probes.ts'
import { createAdmin } from '../admin/server.ts'
import { createSpanVerifier } from '../admin/span-verifier.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import { VERSION } from '../base/version.ts'
import { processorOf } from '../config/pipeline-processors.ts'
import type { SidecarConfig } from '../config/schema.ts'
import { StatementEmitter } from '../evidence/statement-emitter.ts'
import type { Keys } from '../keys/keys.ts'
import type { RunningKeyStore } from '../keys/operations/key-operations.ts'
import { hasRecords, type KeyRecordKind } from '../keys/records/keystore.ts'
import { MemoryKeyStore } from '../keys/records/memory-key-store.ts'
import type { Rotation } from '../keys/rotation/rotation.ts'
import { ItemAccounts } from '../pipeline/accounts.ts'
import { FaultReport } from '../pipeline/fault-report.ts'
import { PipelineMetrics } from '../pipeline/metrics.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { KeyResolver, waitLimit } from '../pipeline/request-keys.ts'
import { TenantResolver } from '../pipeline/tenant.ts'
import type { BoundAddress } from '../receivers/listener.ts'
import type { Transport } from '../receivers/metrics.ts'
import { storeKeyStore } from '../store/key-store.ts'
import type { Store } from '../store/store.ts'
import type { Closers } from './closers.ts'
import { createDelivery } from './delivery.ts'
import type { Exporting } from './exporting.ts'
import { checkRecords, type KeyServices, openKeyServices } from './key-services.ts'
import { type openKms, requestMsMax } from './kms.ts'
import { createReceiving, type Receiving } from './receiving.ts'
import { openStore } from './storing.ts'

export interface Surroundings extends Telemetry {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock?: Clock
  /** Opens the key service instead of the configured provider; tests make it fail. */
  readonly openKms?: typeof openKms
}

/** Where everything listens, for logs and tests. */
export interface Addresses {
  readonly receivers: ReadonlyMap<Transport, BoundAddress>
  readonly admin: BoundAddress
}

interface Parts {
  readonly store: Store | undefined
  readonly keys: Keys
  readonly rotation: Rotation
  readonly exporting: Exporting
  readonly emitter: StatementEmitter | undefined
  readonly pipeline: Pipeline
  readonly receiving: Receiving
  readonly admin: FastifyInstance
}

const RECEIVERS_GRACE_SHARE = 0.4

export class Service {
  readonly addresses: Addresses
  readonly #parts: Parts
  readonly #shutdownMsMax: number
  readonly #clock: Clock
  readonly #state: { isAccepting: boolean }
  #stopped: Promise<boolean> | undefined

  /** Starts everything or nothing: what was started before a failure is closed again. Rejects with a SidecarError. */
  static async start(config: SidecarConfig, surroundings: Surroundings): Promise<Service> {
    const closers: Closers = []
    try {
      return await assemble(config, surroundings, closers)
    } catch (thrown) {
      for (const close of closers.reverse()) await close().catch(() => undefined)
      throw thrown
    }
  }

  constructor(
    parts: Parts,
    addresses: Addresses,
    state: { isAccepting: boolean },
    shutdownMsMax: number,
    clock: Clock,
  ) {
    this.#parts = parts
    this.addresses = addresses
    this.#state = state
    this.#shutdownMsMax = shutdownMsMax
    this.#clock = clock
  }

  /** Stops accepting, finishes, flushes, closes, within the configured time. True when the queue is empty. */
  stop(): Promise<boolean> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<boolean> {
    const { store, keys, rotation, exporting, emitter, receiving, admin } = this.#parts
    const deadlineMs = this.#clock.monotonicMs() + this.#shutdownMsMax
    const leftMs = (): number => Math.max(0, deadlineMs - this.#clock.monotonicMs())
    this.#state.isAccepting = false
    await receiving.stopAccepting()
    await Promise.all([receiving.close(leftMs() * RECEIVERS_GRACE_SHARE), rotation.stop()])
    await emitter?.shutdown()
    const isEmpty = await exporting.stop(leftMs())
    // Keys before the store: what still reads their records stops first.
    await keys.close()
    await store?.close()
    await admin.close()
    return isEmpty
  }
}

async function assemble(
  config: SidecarConfig,
  surroundings: Surroundings,
  closers: Closers,
): Promise<Service> {
  const { log, registry } = surroundings
  const clock = surroundings.clock ?? systemClock
  const around = { log, registry, clock }
  const startedAtMs = clock.monotonicMs()

  const accounts = new ItemAccounts(registry)
  const store = await openStore(config, accounts, around)
  if (store) closers.push(() => store.close())
  const keyStore = openKeyStore(store, log)
  const keyServices = await openKeyServices(config, { store, keyStore }, { ...surroundings, clock }, closers)
  const { keys, rotation, trust, processors } = keyServices

  const { evidence } = processors
  const signing = processorOf(config, 'traces', 'signing')
  const emitter =
    evidence &&
    store &&
    new StatementEmitter({
      evidence,
      keys,
      clock,
      log,
      append: (statements) => store.append(undefined, statements).durable,
    })
  const { exporting, delivery } = createDelivery(config, store, accounts, emitter, processors, around)
  await exporting.start()
  closers.push(() => exporting.stop(0))
  emitter?.startHeartbeats(signing?.heartbeatIntervalMs ?? 0)

  const tenants = new TenantResolver(config.tenants, {
    clock,
    hasKeys: (tenant) => hasRecords(keyStore, tenant),
    isActive: (tenant) => evidence?.isActive(tenant) === true,
  })
  const pipeline = new Pipeline({
    clock,
    accounts,
    delivery,
    metrics: new PipelineMetrics(registry),
    faultReport: new FaultReport(around),
    keys: new KeyResolver({ keys, clock, onKmsFailure: processors.onKmsFailure, startWaiting: waitLimit() }),
    announcements: trust,
    tenants,
    processors,
  })
  const receiving = createReceiving(config, pipeline, tenants, around)
  closers.push(() => receiving.close(0))

  const state = { isAccepting: false }
  const kmsProbe = new KmsProbe(keys, clock, config.tenants.default)
  const admin = openAdmin(config, keyServices, {
    ...around,
    kms: kmsProbe,
    // Who may see values leaves a signed trace, or sees none.
    acceptAudit: evidence && pipeline.acceptFrom(() => undefined),
    store,
    exporterHealth: () => exporting.health(),
    deadLetters: () => exporting.deadLetters(),
    isAccepting: () => state.isAccepting,
    receiverProblems: () => receiving.problems(),
    startedAtMs,
  })
  closers.push(() => admin.close())
  const adminAddress = await listenAdmin(admin, config.service.admin.endpoint)
  const receivers = await receiving.start()
  state.isAccepting = true
  const addresses = { receivers, admin: adminAddress }
  logAddresses(addresses, log)
  void kmsProbe.check()
  void checkRecords(keys, log)
  rotation.start()
  const parts = { store, keys, rotation, exporting, emitter, pipeline, receiving, admin }
  return new Service(parts, addresses, state, config.service.limits.shutdownMsMax, clock)
}

function openKeyStore(store: Store | undefined, log: Telemetry['log']): RunningKeyStore {
  if (store) return { ...storeKeyStore<KeyRecordKind>(store), scrub: () => store.scrubKeys() }
  log.warn('Storage is off: signing and pseudonym keys last until the process ends')
  return new MemoryKeyStore()
}

type AdminSettings = Pick<
  ProbedSettings,
  | 'clock'
  | 'log'
  | 'registry'
  | 'kms'
  | 'store'
  | 'acceptAudit'
  | 'exporterHealth'
  | 'deadLetters'
  | 'isAccepting'
  | 'receiverProblems'
  | 'startedAtMs'
>

/** Not listening yet. */
function openAdmin(
  config: SidecarConfig,
  { kms, keys, keyStore, rotation, processors, knownKeys, macKeys }: KeyServices,
  parts: AdminSettings,
): FastifyInstance {
  const probes = createProbes({
    ...parts,
    keys,
    guardedKms: kms,
    keyStore,
    rotation,
    ownMasterKey: (tenant) => config.kms.tenantKeyMapping.get(tenant),
    defaultTenant: config.tenants.default,
    requestMsMax: requestMsMax(config.kms.request),
    cacheSizeMax: config.kms.cache.sizeMax,
    version: VERSION,
  })
  const { log, registry } = parts
  const verifySpan = createSpanVerifier({
    keys: knownKeys,
    macKeys,
    expected: processorOf(config, 'traces', 'signing')?.select,
    coverage: processors.evidence?.policy.coverage,
  })
  return createAdmin(
    { ...config.service.admin, allowedHosts: config.service.allowedHosts },
    { ...probes, log, registry, verifySpan },
  )
}

function logAddresses({ receivers, admin }: Addresses, log: Telemetry['log']): void {
  for (const [transport, { host, port }] of receivers)
    log.info({ transport, host, port }, `Receiving OTLP by ${transport} on ${host}:${port}`)
  log.info({ ...admin }, `Health, metrics and admin on ${admin.host}:${admin.port}`)
}
