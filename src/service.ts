// The whole process, put together and taken apart. Start goes against the flow (store, keys, next hops, pipeline, ways
// in), so that nothing is accepted before everything behind it stands; stop goes with the flow.
import type { FastifyInstance } from 'fastify'
import { createAdmin } from './admin/server.ts'
import { type Clock, systemClock } from './clock.ts'
import type { SidecarConfig } from './config/schema.ts'
import { loggable } from './errors.ts'
import type { KeyLookup } from './evidence/check.ts'
import { Keys } from './keys/keys.ts'
import type { KeyRecordKind, KeyStore } from './keys/keystore.ts'
import { namedMasterKeys } from './keys/named-master-keys.ts'
import type { Rotation } from './keys/rotation.ts'
import { ItemAccounts } from './pipeline/accounts.ts'
import { KeyDesk } from './pipeline/key-desk.ts'
import { PipelineMetrics } from './pipeline/metrics.ts'
import { waitingRoom } from './pipeline/waiting-room.ts'
import { Pipeline } from './pipeline.ts'
import type { BoundAddress } from './receivers/listener.ts'
import type { Transport } from './receivers/metrics.ts'
import { TenantResolver, tenantDefaults } from './receivers/tenant.ts'
import { listenAdmin } from './service/admin-listener.ts'
import { AnnouncementTrust } from './service/announcement-trust.ts'
import { EvidenceDesk } from './service/evidence-desk.ts'
import type { Exporting } from './service/exporting.ts'
import { createRotation, keysOptions } from './service/key-options.ts'
import { guardKms, meterKms, openKms, requestMsMax } from './service/kms.ts'
import { MacKeys } from './service/mac-keys.ts'
import { MemoryKeyStore } from './service/memory-key-store.ts'
import { createProbes, KmsProbe } from './service/probes.ts'
import { createProcessors, piiConfigs, processorOf } from './service/processors.ts'
import { createPseudonymTrust } from './service/pseudonym-trust.ts'
import { createReceiving, type Receiving } from './service/receiving.ts'
import { createSpanVerifier } from './service/span-verifier.ts'
import { openStore } from './service/storing.ts'
import { createTenantFinder } from './service/tenant-finder.ts'
import { ownKeys, trustedKeys } from './service/verifying-keys.ts'
import { createWayOut } from './service/way-out.ts'
import { storeKeyStore } from './store/key-store.ts'
import type { Store } from './store/store.ts'
import type { Telemetry } from './telemetry.ts'
import { VERSION } from './version.ts'

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
  readonly evidenceDesk: EvidenceDesk | undefined
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
    const closers: (() => Promise<unknown>)[] = []
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
    const { store, keys, rotation, exporting, evidenceDesk, receiving, admin } = this.#parts
    const deadlineMs = this.#clock.monotonicMs() + this.#shutdownMsMax
    const leftMs = (): number => Math.max(0, deadlineMs - this.#clock.monotonicMs())
    this.#state.isAccepting = false
    await receiving.stopAccepting()
    await Promise.all([receiving.close(leftMs() * RECEIVERS_GRACE_SHARE), rotation.stop()])
    await evidenceDesk?.shutdown()
    const isEmpty = await exporting.stop(leftMs())
    // Keys before the store: what still reads their records stops first.
    await keys.close()
    await store?.close()
    await admin.close()
    return isEmpty
  }
}

/** Beside the first requests, since there may be many: what is damaged is known by name before its tenant needs it. */
async function checkRecords(keys: Keys, log: Surroundings['log']): Promise<void> {
  try {
    await keys.checkRecords()
    await keys.openAnnouncements()
  } catch (thrown) {
    log.error(loggable(thrown), 'The key records could not all be looked at')
  }
}

async function assemble(
  config: SidecarConfig,
  surroundings: Surroundings,
  closers: (() => Promise<unknown>)[],
): Promise<Service> {
  const { log, registry } = surroundings
  const clock = surroundings.clock ?? systemClock
  const around = { log, registry, clock }
  const startedAtMs = clock.monotonicMs()

  const accounts = new ItemAccounts(registry)
  const store = await openStore(config, accounts, around)
  if (store) closers.push(() => store.close())
  const keyStore: KeyStore = store ? storeKeyStore<KeyRecordKind>(store) : new MemoryKeyStore()
  if (!store) log.warn('Storage is off: signing and pseudonym keys last until the process ends')

  const open = surroundings.openKms ?? openKms
  const opened = await open(config, surroundings.env, log, true, () => namedMasterKeys(keyStore, 'local'))
  const kms = guardKms(opened, config, around)
  closers.push(() => kms.close())
  const strangersKms = meterKms(opened, config, around)
  const isServiceFailing = (): boolean => keys.status().lastError !== undefined
  const trust = new AnnouncementTrust({ kms: strangersKms, store: keyStore, clock, isServiceFailing })
  const trusted = await trustedKeys(processorOf(config, 'traces', 'signing'))
  const hooks = {
    isTrustedAnnouncement: (kid: string, text: string) => trust.isTrusted(kid, text),
    isTrustedPseudonymKey: createPseudonymTrust(keyStore, piiConfigs(config), clock),
    // Asked only once requests come, when the keys below stand.
    knownKeys: ((...id) => own(...id) ?? trusted(...id)) satisfies KeyLookup,
  }
  const processors = createProcessors(config, store, hooks, around)
  const options = await keysOptions(config, processors)
  const keys = new Keys({ kms, store: keyStore, clock, log, registry }, options)
  closers.push(() => keys.close())
  const rotation = createRotation(config, keys, around)
  closers.push(() => rotation.stop())
  const { evidence, signedSince } = processors
  const own = ownKeys(keys, signedSince)

  const evidenceDesk = evidence && store && new EvidenceDesk({ evidence, keys, store, clock, log })
  const { exporting, delivery } = createWayOut(config, store, accounts, evidenceDesk, processors, around)
  await exporting.start()
  closers.push(() => exporting.stop(0))
  evidenceDesk?.startHeartbeats(processors.signing?.heartbeatIntervalMs ?? 0)

  const tenants = new TenantResolver({
    ...tenantDefaults,
    ...config.tenants,
    header: config.tenants.header ?? '',
    resourceAttribute: config.tenants.resourceAttribute ?? '',
  })
  const pipeline = new Pipeline({
    clock,
    accounts,
    delivery,
    metrics: new PipelineMetrics(registry),
    desk: new KeyDesk({ keys, clock, onKmsFailure: processors.onKmsFailure, startWaiting: waitingRoom() }),
    prepare: ({ signal, body }, wait) => trust.learn(signal, body, wait),
    tenantsOf: createTenantFinder(tenants),
    redact: processors.redact,
    sign: processors.sign,
  })
  const receiving = createReceiving(config, pipeline, tenants, around)
  closers.push(() => receiving.close(0))

  const state = { isAccepting: false }
  const kmsProbe = new KmsProbe(keys, clock)
  const probes = createProbes({
    keys,
    kms: kmsProbe,
    guardedKms: kms,
    keyStore,
    rotation,
    defaultTenant: config.tenants.default,
    requestMsMax: requestMsMax(config.kms.request),
    // Who may see values leaves a signed trace, or sees none.
    acceptAudit: evidence && pipeline.acceptFrom(() => undefined),
    log,
    registry,
    store,
    exporterHealth: () => exporting.health(),
    isAccepting: () => state.isAccepting,
    clock,
    cacheSizeMax: config.kms.cache.sizeMax,
    version: VERSION,
    startedAtMs,
  })
  const admin = createAdmin(config.service.admin, {
    ...probes,
    log,
    registry,
    verifySpan: createSpanVerifier({
      keys: hooks.knownKeys,
      macKeys: new MacKeys({ kms: strangersKms, store: keyStore, clock, signedSince }, options),
      expected: processors.signing?.select,
      coverage: evidence?.policy.coverage,
    }),
  })
  closers.push(() => admin.close())
  const adminAddress = await listenAdmin(admin, config.service.admin.endpoint)
  const receivers = await receiving.start()
  state.isAccepting = true
  for (const [transport, { host, port }] of receivers)
    log.info({ transport, host, port }, `Receiving OTLP by ${transport} on ${host}:${port}`)
  log.info({ ...adminAddress }, `Health, metrics and admin on ${adminAddress.host}:${adminAddress.port}`)
  void kmsProbe.check()
  void checkRecords(keys, log)
  rotation.start()
  const parts = { store, keys, rotation, exporting, evidenceDesk, pipeline, receiving, admin }
  return new Service(
    parts,
    { receivers, admin: adminAddress },
    state,
    config.service.limits.shutdownMsMax,
    clock,
  )
}
