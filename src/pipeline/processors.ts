// What a request goes through, per signal, as the processors of its pipeline say.
import type { Clock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import { newBootId } from '../evidence/boot-id.ts'
import { tipKey } from '../evidence/chain.ts'
import { Evidence, type KeyLookup, type SigningKey } from '../evidence/evidence.ts'
import { macKeyOf } from '../evidence/mac-key.ts'
import { EvidenceMetrics } from '../evidence/metrics.ts'
import type { PolicyOptions } from '../evidence/policy.ts'
import { RedactionMetrics } from '../redaction/metrics.ts'
import type { RedactionOptions } from '../redaction/options.ts'
import { compileRules, type RuleSet, type RuleSetHooks } from '../redaction/rules.ts'
import type { Store } from '../store/store.ts'
import type { Signal } from '../wire/otlp.ts'

export interface ProcessorSettings {
  /** By signal; one without an entry is not redacted. */
  readonly redaction: ReadonlyMap<Signal, RedactionOptions>
  /** Absent: nothing is signed. */
  readonly signing: PolicyOptions | undefined
  /** Tenants that sign at once. */
  readonly tenantsMax: number
}

export interface Processors {
  /** By signal; one without an entry is not redacted. */
  readonly ruleSets: ReadonlyMap<Signal, RuleSet>
  readonly redactionMetrics: RedactionMetrics
  /** `undefined`: nothing is signed. */
  readonly evidence: Evidence | undefined
  readonly isMac: boolean
  /** With `hmac-sha256`: key id → tenant, of the keys that have signed since the start. */
  readonly signedSince: Map<string, string>
  /** Of all rule sets together, for key announcements. */
  readonly dataClasses: readonly string[]
  readonly onKmsFailure: 'refuse' | 'mask'
  readonly tenantSecret: boolean
  readonly idsBound: boolean
  readonly padded: boolean
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
  return {
    ruleSets,
    redactionMetrics: new RedactionMetrics(around.registry),
    evidence,
    isMac: signing?.algorithm === 'hmac-sha256',
    signedSince: new Map(),
    dataClasses: [...new Set([...ruleSets.values()].flatMap((set) => set.dataClasses))],
    // One key serves every signal, so what holds for keys is the stricter of what the pipelines say.
    onKmsFailure: isMaskedInOutage ? 'mask' : 'refuse',
    tenantSecret: redactions.some((each) => each.tenantSecret),
    // Who rewrites ids behind one pipeline would otherwise lose its values.
    idsBound: redactions.every((each) => each.bindIds),
    padded: redactions.some((each) => each.pad),
  }
}

/** The keys as evidence signs with them: what MACs are made of is derived from the signing key. */
export function statementKeys(
  { isMac, signedSince }: Processors,
  keys: ReadonlyMap<string, SigningKey>,
): ReadonlyMap<string, SigningKey> {
  if (!isMac) return keys
  for (const [tenant, { keyId }] of keys) signedSince.set(keyId, tenant)
  return new Map([...keys].map(([tenant, key]) => [tenant, macKeyOf(key)]))
}

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
