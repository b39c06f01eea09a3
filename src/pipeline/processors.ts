// What a request goes through, per signal, from the processors that its pipeline names.
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { PiiConfig, ProcessorConfig, SidecarConfig, SigningConfig } from '../config/schema.ts'
import { newBootId } from '../evidence/boot-id.ts'
import { tipKey } from '../evidence/chain.ts'
import { Evidence, type KeyLookup, type SigningKey } from '../evidence/evidence.ts'
import { macKeyOf } from '../evidence/mac-key.ts'
import { EvidenceMetrics } from '../evidence/metrics.ts'
import { encodeRefs } from '../evidence/refs.ts'
import { RedactionMetrics } from '../redaction/metrics.ts'
import { parseRedactionOptions } from '../redaction/options-parser.ts'
import { redact } from '../redaction/redact.ts'
import { compileRules, type RuleSet, type RuleSetHooks } from '../redaction/rules.ts'
import type { Store } from '../store/store.ts'
import { countItems } from '../wire/item-count.ts'
import type { Signal } from '../wire/otlp.ts'
import type { PipelineParts } from './pipeline.ts'

export interface Processors {
  readonly redact: PipelineParts['redact']
  readonly sign: PipelineParts['sign']
  readonly evidence: Evidence | undefined
  readonly signing: SigningConfig | undefined
  /** With `hmac-sha256`: key id → tenant, of the keys that have signed since the start. */
  readonly signedSince: ReadonlyMap<string, string>
  /** Of all rule sets together, for key announcements. */
  readonly dataClasses: readonly string[]
  readonly onKmsFailure: 'refuse' | 'mask'
  readonly tenantSecret: boolean
}

type Around = Telemetry & { readonly clock: Clock }
interface Hooks extends Pick<RuleSetHooks, 'isTrustedAnnouncement' | 'isTrustedPseudonymKey'> {
  /** Keys whose good signatures on incoming spans stay. */
  readonly knownKeys: KeyLookup
}

export function createProcessors(
  config: SidecarConfig,
  store: Store | undefined,
  hooks: Hooks,
  around: Around,
): Processors {
  const signing = processorOf(config, 'traces', 'signing')
  const evidence = signing && createEvidence(config, signing, store, hooks.knownKeys, around)
  const ruleSets = new Map<Signal, RuleSet>()
  const pii: PiiConfig[] = []
  for (const signal of config.service.pipelines.keys()) {
    const processor = processorOf(config, signal, 'pii')
    if (!processor) continue
    pii.push(processor)
    const evidenceFollows = signal === 'traces' && evidence !== undefined
    ruleSets.set(signal, compileRules(redactionOptions(processor), { ...hooks, evidenceFollows }))
  }
  const metrics = new RedactionMetrics(around.registry)
  const isMac = signing?.algorithm === 'hmac-sha256'
  const signedSince = new Map<string, string>()
  return {
    evidence,
    signing,
    signedSince,
    dataClasses: [...new Set([...ruleSets.values()].flatMap((set) => set.dataClasses))],
    // One key serves every signal, so what holds for keys is the stricter of what the pipelines say.
    onKmsFailure: pii.length > 0 && pii.every((each) => each.onKmsFailure === 'mask') ? 'mask' : 'refuse',
    tenantSecret: pii.some((each) => each.tenantSecret),
    redact(signal, body, keys) {
      const rules = ruleSets.get(signal)
      if (!rules) return { body, itemCount: countItems(signal, body), missing: [] }
      const result = redact(body, signal, rules, keys)
      if (result.missing.length === 0) metrics.observe(result)
      return result
    },
    sign(signal, body, tenants, keys) {
      if (!evidence || signal !== 'traces') return { body, statements: [], refs: NO_REFS, missing: [] }
      const signed = evidence.sign(
        body,
        tenants,
        isMac ? macKeys(keys, signedSince) : keys,
        around.clock.nowNs(),
      )
      return { ...signed, refs: encodeRefs(signed.refs) }
    },
  }
}

function macKeys(
  keys: Parameters<PipelineParts['sign']>[3],
  signedSince: Map<string, string>,
): Map<string, SigningKey> {
  for (const [tenant, { keyId }] of keys) signedSince.set(keyId, tenant)
  return new Map([...keys].map(([tenant, key]) => [tenant, macKeyOf(key)]))
}

const NO_REFS = new Uint8Array(0)

function createEvidence(
  config: SidecarConfig,
  signing: SigningConfig,
  store: Store | undefined,
  knownKeys: KeyLookup,
  { clock, registry }: Around,
): Evidence {
  const statements = store?.table('statements')
  const { select, algorithm, proof, resourceAttributes, mutable } = signing
  const tenantAttribute = config.tenants.resourceAttribute ?? ''
  return new Evidence(
    {
      policy: { select, algorithm, proof, resourceAttributes, mutable, tenantAttribute },
      instanceId: store?.instanceId ?? crypto.randomUUID(),
      bootId: newBootId(clock.nowMs()),
      knownKeys,
    },
    (tenant) => statements?.get(tipKey(tenant)),
    new EvidenceMetrics(registry),
  )
}

function redactionOptions(processor: PiiConfig): Parameters<typeof compileRules>[0] {
  const { options, problems } = parseRedactionOptions(
    {
      packs: processor.packs,
      rules: processor.rules,
      on_kms_failure: processor.onKmsFailure,
      tenant_secret: processor.tenantSecret,
    },
    'processors.pii',
  )
  const [first] = problems
  if (first) throw new SidecarError('CONFIG', `${first.path}: ${first.message}`)
  return options
}

/** The pii processors that pipelines name, one per signal that has one. */
export function piiConfigs(config: SidecarConfig): PiiConfig[] {
  return [...config.service.pipelines.keys()].flatMap((signal) => processorOf(config, signal, 'pii') ?? [])
}

/** The pipeline's one processor of a type; the configuration was checked to have no second. */
export function processorOf<Type extends ProcessorConfig['type']>(
  config: SidecarConfig,
  signal: Signal,
  type: Type,
): Extract<ProcessorConfig, { type: Type }> | undefined {
  const ids = config.service.pipelines.get(signal)?.processors ?? []
  for (const id of ids) {
    const processor = config.processors.get(id)
    // The type tells which member of the union it is.
    if (processor?.type === type) return processor as Extract<ProcessorConfig, { type: Type }>
  }
  return undefined
}
