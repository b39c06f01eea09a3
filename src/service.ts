// The whole process, put together and taken apart. Start goes against the flow (store, keys, next hops, pipeline, ways
// in), so that nothing is accepted before everything behind it stands; stop goes with the flow.
import type { FastifyInstance } from 'fastify'
import { createAdmin } from './admin/server.ts'
import { type Clock, systemClock } from './clock.ts'
import type { SidecarConfig } from './config/schema.ts'
import { SidecarError } from './errors.ts'
import type { KeyLookup } from './evidence/check.ts'
import { KEYS_DEFAULTS, Keys } from './keys/keys.ts'
import type { KeyRecordKind, KeyStore } from './keys/keystore.ts'
import { WAITING_REQUESTS_MAX } from './limits.ts'
import { ItemAccounts } from './pipeline/accounts.ts'
import { type Delivery, DirectDelivery, StoredDelivery } from './pipeline/delivery.ts'
import { KeyDesk } from './pipeline/key-desk.ts'
import { PipelineMetrics } from './pipeline/metrics.ts'
import { Pipeline } from './pipeline.ts'
import type { BoundAddress } from './receivers/listener.ts'
import type { Transport } from './receivers/metrics.ts'
import { TenantResolver, tenantDefaults } from './receivers/tenant.ts'
import { AnnouncementTrust } from './service/announcement-trust.ts'
import { EvidenceDesk } from './service/evidence-desk.ts'
import {
  createDirectExporting,
  createQueuedExporting,
  type Exporting,
  signalsByExporter,
} from './service/exporting.ts'
import { guardKms, openKms, requestMsMax } from './service/kms.ts'
import { MemoryKeyStore } from './service/memory-key-store.ts'
import { createProbes, KmsProbe } from './service/probes.ts'
import { createProcessors, type Processors, piiConfigs, processorOf } from './service/processors.ts'
import { createPseudonymTrust } from './service/pseudonym-trust.ts'
import { createReceiving, type Receiving } from './service/receiving.ts'
import { createSpanVerifier } from './service/span-verifier.ts'
import { createTenantFinder } from './service/tenant-finder.ts'
import { ownMacKeys, ownPublicKeys, trustedKeys } from './service/verifying-keys.ts'
import { storeKeyStore } from './store/key-store.ts'
import { Store } from './store/store.ts'
import type { Telemetry } from './telemetry.ts'

export interface Surroundings extends Telemetry {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version?: string
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
    const { store, keys, exporting, evidenceDesk, receiving, admin } = this.#parts
    const deadlineMs = this.#clock.monotonicMs() + this.#shutdownMsMax
    const leftMs = (): number => Math.max(0, deadlineMs - this.#clock.monotonicMs())
    this.#state.isAccepting = false
    await receiving.stopAccepting()
    await receiving.close(leftMs() * RECEIVERS_GRACE_SHARE)
    await evidenceDesk?.shutdown()
    const isEmpty = await exporting.stop(leftMs())
    await store?.close()
    await keys.close()
    await admin.close()
    return isEmpty
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

  const opened = await (surroundings.openKms ?? openKms)(config, surroundings.env, log)
  const kms = guardKms(opened, config, around)
  closers.push(() => kms.close())
  const trust = new AnnouncementTrust({ kms, store: keyStore })
  const trusted = await trustedKeys(processorOf(config, 'traces', 'signing'))
  const hooks = {
    isTrustedAnnouncement: (kid: string, text: string) => trust.isTrusted(kid, text),
    isTrustedPseudonymKey: createPseudonymTrust(keyStore, piiConfigs(config), clock),
    // Asked only once requests come, when the keys below stand.
    knownKeys: ((keyId, tenant) => own(keyId, tenant) ?? trusted(keyId, tenant)) satisfies KeyLookup,
  }
  const processors = createProcessors(config, store, hooks, around)
  const keys = new Keys({ kms, store: keyStore, clock, log, registry }, keysOptions(config, processors))
  closers.push(() => keys.close())
  const { evidence } = processors
  const own = processors.macTenants ? ownMacKeys(keys, processors.macTenants) : ownPublicKeys(keys)

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
    prepare: ({ signal, body, abort }) => trust.learn(signal, body, abort),
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
    version: surroundings.version ?? '0.0.0',
    startedAtMs,
  })
  const admin = createAdmin(
    { token: config.service.admin.token },
    { ...probes, log, registry, verifySpan: createSpanVerifier(hooks.knownKeys, processors.signing) },
  )
  closers.push(() => admin.close())
  const adminAddress = await listenAdmin(admin, config.service.admin.endpoint)
  const receivers = await receiving.start()
  state.isAccepting = true
  for (const [transport, { host, port }] of receivers)
    log.info({ transport, host, port }, `Receiving OTLP by ${transport} on ${host}:${port}`)
  log.info({ ...adminAddress }, `Health, metrics and admin on ${adminAddress.host}:${adminAddress.port}`)
  void kmsProbe.check()
  const parts = { store, keys, exporting, evidenceDesk, pipeline, receiving, admin }
  return new Service(
    parts,
    { receivers, admin: adminAddress },
    state,
    config.service.limits.shutdownMsMax,
    clock,
  )
}

async function openStore(
  config: SidecarConfig,
  accounts: ItemAccounts,
  around: Telemetry & { clock: Clock },
): Promise<Store | undefined> {
  const { storage } = config
  if (!storage.enabled) return undefined
  const consumers = [...signalsByExporter(config)].flatMap(([id, signals]) =>
    signals.map((signal) => ({ signal, id })),
  )
  const store = await Store.open(storage, consumers, {
    ...around,
    onLeave: (signal, itemCount, isRefused) => {
      if (isRefused) accounts.dropped(signal, 'next_hop_refused', itemCount)
      else accounts.exported(signal, itemCount)
    },
    onCorrupt: (signal, itemCount) => accounts.dropped(signal, 'store_corrupt', itemCount),
  })
  accounts.watchQueue(() => store.queuedItemsBySignal)
  return store
}

function keysOptions(config: SidecarConfig, processors: Processors): ConstructorParameters<typeof Keys>[1] {
  const { cache } = config.kms
  return {
    ...KEYS_DEFAULTS,
    ...cache,
    requestMsMax: requestMsMax(config.kms.request),
    dataClasses: processors.dataClasses,
    tenantSecret: processors.tenantSecret,
  }
}

function createWayOut(
  config: SidecarConfig,
  store: Store | undefined,
  accounts: ItemAccounts,
  evidenceDesk: EvidenceDesk | undefined,
  processors: Processors,
  around: Telemetry & { readonly clock: Clock },
): { exporting: Exporting; delivery: Delivery } {
  if (!store) {
    const exporting = createDirectExporting(config, around)
    const delivery = new DirectDelivery(async ({ signal, body, itemCount }) => {
      await exporting.send(signal, body, itemCount)
      accounts.exported(signal, itemCount)
    })
    return { exporting, delivery }
  }
  const onDropped = async ({ refs }: { readonly refs: Uint8Array }): Promise<void> =>
    evidenceDesk?.bury(refs, 'dead_letter')
  const delivery = new StoredDelivery({
    store,
    ack: config.storage.ack,
    clock: around.clock,
    retryAfterMs: () => store.retryAfterMs(),
    onFailed: (statements) => processors.evidence?.failed(statements),
    onLost: ({ signal, itemCount }) => accounts.dropped(signal, 'store_failed', itemCount),
  })
  return { exporting: createQueuedExporting(config, store, onDropped, around), delivery }
}

/** Bounds how many requests wait for keys at once. */
function waitingRoom(): () => () => void {
  let waitingCount = 0
  return () => {
    if (waitingCount >= WAITING_REQUESTS_MAX) {
      throw new SidecarError('OVERLOADED', 'too many requests wait for keys', { retryAfterMs: 2_000 })
    }
    waitingCount++
    return () => void waitingCount--
  }
}

async function listenAdmin(
  admin: FastifyInstance,
  endpoint: { host: string; port: number },
): Promise<BoundAddress> {
  try {
    await admin.listen({ host: endpoint.host, port: endpoint.port })
  } catch (cause) {
    throw new SidecarError(
      'CONFIG',
      `service.admin.endpoint: ${endpoint.host}:${endpoint.port} cannot be listened on`,
      { cause },
    )
  }
  const address = admin.server.address()
  const port = address !== null && typeof address === 'object' ? address.port : endpoint.port
  return { host: endpoint.host, address: endpoint.host, port }
}
