// A pipeline of its real parts: rules, evidence, tenants, accounting. Keys and delivery are small ones that say what was
// asked of them, in order, and that a test can make fail.
import { generateKeyPairSync } from 'node:crypto'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import type { StatementRecord } from '../../../src/evidence/chain.ts'
import { DEFAULT_POLICY } from '../../../src/evidence/policy.ts'
import type { AnnouncementTrust } from '../../../src/keys/trust/announcement-trust.ts'
import { ItemAccounts } from '../../../src/pipeline/accounts.ts'
import type { Delivery } from '../../../src/pipeline/delivery.ts'
import { FaultReport } from '../../../src/pipeline/fault-report.ts'
import { PipelineMetrics } from '../../../src/pipeline/metrics.ts'
import { type ExportAccepted, type ExportRequest, Pipeline } from '../../../src/pipeline/pipeline.ts'
import { createProcessors, type ProcessorSettings } from '../../../src/pipeline/processors.ts'
import { KeyResolver, type TenantKeySource } from '../../../src/pipeline/request-keys.ts'
import { TenantResolver, tenantDefaults } from '../../../src/pipeline/tenant.ts'
import { REDACTION_DEFAULTS } from '../../../src/redaction/options.ts'
import type { NewEntry } from '../../../src/store/entry.ts'
import { jsonToProtobuf } from '../../../src/wire/json.ts'
import { testTenant } from '../redaction/test-keys.ts'

export interface PipelineChanges {
  readonly settings?: Partial<ProcessorSettings>
  readonly tenants?: Partial<typeof tenantDefaults>
  readonly onKmsFailure?: 'refuse' | 'mask'
  /** Loads reject with this. */
  readonly keyFailure?: SidecarError
  /** Keys are at hand from the start. */
  readonly hasKeys?: boolean
  readonly room?: Delivery['room']
  readonly deliver?: Delivery['deliver']
  readonly checkAnnouncements?: AnnouncementTrust['checkAnnouncements']
  readonly clock?: Clock
}

export interface Delivered {
  readonly entry: NewEntry
  readonly statements: readonly StatementRecord[]
}

/** One span of a tenant, with attributes, as protobuf. */
export function spanRequest(attributes: Record<string, string>, tenant = 'acme', spanCount = 1): Uint8Array {
  const keyValues = (of: Record<string, string>): object[] =>
    Object.entries(of).map(([key, stringValue]) => ({ key, value: { stringValue } }))
  const spans = Array.from({ length: spanCount }, (_, index) => ({
    traceId: '5b8efff798038103d269b633813fc60c',
    spanId: (0xee_e1_9b_7e + index).toString(16).padStart(16, '0'),
    name: 'GET /orders',
    attributes: keyValues(attributes),
  }))
  const resource = { attributes: keyValues({ 'betrace.tenant': tenant }) }
  const json = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
  return jsonToProtobuf(Buffer.from(json), 'traces')
}

export function makePipeline(changes: PipelineChanges = {}) {
  const steps: string[] = []
  const delivered: Delivered[] = []
  const outcomes: string[] = []
  const telemetry = silentTelemetry()
  const { registry } = telemetry
  const clock = changes.clock ?? systemClock
  const tenants = new SpokenTenants({ ...tenantDefaults, ...changes.tenants }, steps)
  const onKmsFailure = changes.onKmsFailure ?? 'refuse'
  const processors = createProcessors(
    {
      redaction: new Map([['traces', { ...REDACTION_DEFAULTS, onKmsFailure }]]),
      signing: DEFAULT_POLICY,
      tenantsMax: 100,
      ...changes.settings,
    },
    undefined,
    { isTrustedAnnouncement: () => false, isTrustedPseudonymKey: () => false, knownKeys: () => undefined },
    { ...telemetry, clock },
  )
  const pipeline = new Pipeline({
    clock,
    processors,
    keys: new KeyResolver({
      keys: keySource(changes, steps),
      clock,
      onKmsFailure,
      startWaiting: () => () => {},
    }),
    announcements: { checkAnnouncements: changes.checkAnnouncements ?? (() => undefined) },
    tenants,
    delivery: {
      room: changes.room ?? (() => undefined),
      deliver:
        changes.deliver ??
        (async (entry, statements) => {
          delivered.push({ entry, statements })
          return undefined
        }),
    },
    accounts: new ItemAccounts(registry),
    metrics: new PipelineMetrics(registry),
    faultReport: new FaultReport({ ...telemetry, clock }),
  })
  const accept = pipeline.acceptFrom((outcome, signal, count) =>
    outcomes.push(`${outcome} ${count} ${signal}`),
  )
  const send = (body: Uint8Array, more: Partial<ExportRequest> = {}): Promise<ExportAccepted> => {
    const deadlineMs = clock.monotonicMs() + 20_000
    const { signal: abort } = new AbortController()
    return accept({ signal: 'traces', body, tenant: undefined, deadlineMs, abort, ...more })
  }
  /** The answer: OK with its counts, or the code of the refusal. */
  const answer = async (body: Uint8Array, more: Partial<ExportRequest> = {}): Promise<string> => {
    try {
      const { itemCount, rejectedItems } = await send(body, more)
      return `OK ${itemCount} ${rejectedItems}`
    } catch (error) {
      return error instanceof SidecarError ? error.code : String(error)
    }
  }
  return { pipeline, send, answer, steps, delivered, outcomes, tenants, registry, processors }
}

/** Says when places are taken and left. */
class SpokenTenants extends TenantResolver {
  readonly #steps: string[]

  constructor(options: typeof tenantDefaults, steps: string[]) {
    super(options)
    this.#steps = steps
  }

  override enter(tenants: readonly string[]): void {
    this.#steps.push('enter')
    super.enter(tenants)
  }

  override mayLoad(tenants: readonly string[]): void {
    this.#steps.push('may load')
    super.mayLoad(tenants)
  }

  override leave(tenants: readonly string[], isAccepted: boolean): void {
    this.#steps.push(`leave ${tenants.join()} ${isAccepted}`)
    super.leave(tenants, isAccepted)
  }
}

/** The tenant's keys come when they are loaded, and are at hand from then on. */
function keySource({ keyFailure, hasKeys = false }: PipelineChanges, steps: string[]): TenantKeySource {
  const { privateKey } = generateKeyPairSync('ed25519')
  const loaded = new Set<string>()
  const atHand = (kind: string, tenant: string): boolean => hasKeys || loaded.has(`${kind} ${tenant}`)
  const load = async (kind: string, tenant: string): Promise<void> => {
    steps.push(`load ${kind}`)
    if (keyFailure) throw keyFailure
    loaded.add(`${kind} ${tenant}`)
  }
  const sealers = new Map<string, ReturnType<typeof testTenant>>()
  const ofTenant = (tenant: string): ReturnType<typeof testTenant> => {
    const keys = sealers.get(tenant) ?? testTenant(tenant)
    sealers.set(tenant, keys)
    return keys
  }
  const signing = { keyId: 'key-of-the-test', privateKey, publicKey: new Uint8Array(32) }
  return {
    sealer: (tenant) => (atHand('encryption', tenant) ? ofTenant(tenant).sealer : undefined),
    loadSealer: async (tenant) => {
      await load('encryption', tenant)
      return ofTenant(tenant).sealer
    },
    pseudonymizer: (tenant) => (atHand('pseudonym', tenant) ? ofTenant(tenant).pseudonymizer : undefined),
    loadPseudonymizer: async (tenant) => {
      await load('pseudonym', tenant)
      return ofTenant(tenant).pseudonymizer
    },
    signingKey: (tenant) => (atHand('signing', tenant) ? signing : undefined),
    loadSigningKey: async (tenant) => {
      await load('signing', tenant)
      return signing
    },
    startWait: () => () => undefined,
  }
}
