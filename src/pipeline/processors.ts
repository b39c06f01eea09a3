// What a request goes through, per signal, as the processors of its pipeline say.
import type { Clock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import { newBootId } from '../evidence/boot-id.ts'
import { tipKey } from '../evidence/chain.ts'
import { Evidence, type KeyLookup, type SigningKey } from '../evidence/evidence.ts'
import { macKeyOf } from '../evidence/mac-key.ts'
import { EvidenceMetrics } from '../evidence/metrics.ts'
import type { PolicyOptions } from '../evidence/policy.ts'
import { encodeRefs } from '../evidence/refs.ts'
import { RedactionMetrics } from '../redaction/metrics.ts'
import type { RedactionOptions } from '../redaction/options.ts'
import { redact, redactInSlices } from '../redaction/redact.ts'
import { compileRules, type RuleSet, type RuleSetHooks } from '../redaction/rules.ts'
import type { Store } from '../store/store.ts'
import { countSoundItems } from '../wire/item-count.ts'
import type { Signal } from '../wire/otlp.ts'
import type { PipelineParts } from './pipeline.ts'

export interface ProcessorSettings {
  /** By signal; one without an entry is not redacted. */
  readonly redaction: ReadonlyMap<Signal, RedactionOptions>
  /** Absent: nothing is signed. */
  readonly signing: PolicyOptions | undefined
  /** Tenants that sign at once. */
  readonly tenantsMax: number
}

export interface Processors {
  readonly redact: PipelineParts['redact']
  readonly redactInSlices: PipelineParts['redactInSlices']
  readonly findSpans: PipelineParts['findSpans']
  readonly sign: PipelineParts['sign']
  readonly evidence: Evidence | undefined
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
  { redaction, signing, tenantsMax }: ProcessorSettings,
  store: Store | undefined,
  hooks: Hooks,
  around: Around,
): Processors {
  const evidence = signing && createEvidence(signing, tenantsMax, store, hooks.knownKeys, around)
  const ruleSets = new Map<Signal, RuleSet>()
  for (const [signal, options] of redaction) {
    const evidenceFollows = signal === 'traces' && evidence !== undefined
    ruleSets.set(signal, compileRules(options, { ...hooks, evidenceFollows }))
  }
  const redactions = [...redaction.values()]
  const isMaskedInOutage = redactions.length > 0 && redactions.every((each) => each.onKmsFailure === 'mask')
  const metrics = new RedactionMetrics(around.registry)
  const isMac = signing?.algorithm === 'hmac-sha256'
  const signedSince = new Map<string, string>()
  return {
    evidence,
    signedSince,
    dataClasses: [...new Set([...ruleSets.values()].flatMap((set) => set.dataClasses))],
    // One key serves every signal, so what holds for keys is the stricter of what the pipelines say.
    onKmsFailure: isMaskedInOutage ? 'mask' : 'refuse',
    tenantSecret: redactions.some((each) => each.tenantSecret),
    redact(signal, body, keys) {
      const rules = ruleSets.get(signal)
      if (!rules) return { ...countSoundItems(signal, body), missing: [] }
      const result = redact(body, signal, rules, keys)
      if (result.missing.length === 0) metrics.observe(result)
      return result
    },
    *redactInSlices(signal, body, keys) {
      const rules = ruleSets.get(signal)
      yield
      if (!rules) return { ...countSoundItems(signal, body), missing: [] }
      const result = yield* redactInSlices(body, signal, rules, keys)
      if (result.missing.length === 0) metrics.observe(result)
      return result
    },
    *findSpans(signal, body, tenants) {
      return evidence && signal === 'traces' ? yield* evidence.find(body, tenants) : undefined
    },
    sign(signal, body, tenants, keys, found) {
      if (!evidence || signal !== 'traces') return { body, statements: [], refs: NO_REFS, missing: [] }
      const usable = isMac ? macKeys(keys, signedSince) : keys
      const nowNs = around.clock.nowNs()
      const signed = found
        ? evidence.signFound(found, body, usable, nowNs)
        : evidence.sign(body, tenants, usable, nowNs)
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
  policy: PolicyOptions,
  tenantsMax: number,
  store: Store | undefined,
  knownKeys: KeyLookup,
  { clock, registry }: Around,
): Evidence {
  return new Evidence(
    {
      policy,
      instanceId: store?.instanceId ?? crypto.randomUUID(),
      bootId: newBootId(clock.nowMs()),
      tenantsMax,
      knownKeys,
    },
    (tenant) => store?.tip(tipKey(tenant)),
    new EvidenceMetrics(registry),
  )
}
