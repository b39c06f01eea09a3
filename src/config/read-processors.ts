import { componentType } from './read-receivers.ts'
import type { PiiConfig, ProcessorConfig, SigningConfig } from './schema.ts'
import type { Section } from './section.ts'
import { didYouMean } from './suggestion.ts'
import { originBelow, problemAt } from './tree.ts'
import { joinPath } from './yaml-source.ts'

/** Something wrong in rules, found by the module that owns them. */
export interface RuleProblem {
  /** Full path in the form of the one given, for example `processors.pii.rules[2].match.key`. */
  readonly path: string
  readonly message: string
}

export interface RuleChecks {
  /** `raw` is the list as written; `path` is where it stands. Absent: rules are taken as they are. */
  readonly checkRules?: ((raw: unknown, path: string) => readonly RuleProblem[]) | undefined
  /** Names of the rule packs in this build; absent: any name is taken. */
  readonly packs?: readonly string[] | undefined
}

/** `processors:`, by id. */
export function readProcessors(
  processors: Section,
  checks: RuleChecks,
): ReadonlyMap<string, ProcessorConfig> {
  const configs = new Map<string, ProcessorConfig>()
  for (const id of processors.keys) {
    const type = componentType(processors, id, ['pii', 'signing'])
    if (type === 'pii')
      configs.set(
        id,
        processors.section(id, (pii) => readPii(pii, checks)),
      )
    else if (type === 'signing') configs.set(id, processors.section(id, readSigning))
    else processors.ignore(id)
  }
  return configs
}

function readPii(pii: Section, checks: RuleChecks): PiiConfig {
  const packs = pii.textList('packs', ['default'])
  const known = checks.packs
  const unknownPack = known && packs.find((pack) => !known.includes(pack))
  if (unknownPack !== undefined) {
    pii.problem(
      'packs',
      `holds an unknown rule pack; known: ${known!.join(', ')}${didYouMean(unknownPack, known!)}`,
    )
  }
  const onKmsFailure = pii.choice('on_kms_failure', ['refuse', 'mask'], 'refuse')
  const tenantSecret = pii.boolean('tenant_secret', false)
  const trustedPseudonymKeys = pii.textList('trusted_pseudonym_keys', [])
  const rules = pii.rawList('rules')
  const rulesPath = joinPath(pii.path, 'rules')
  for (const { path, message } of checks.checkRules?.(rules.plain, rulesPath) ?? []) {
    const origin = rules.node ? originBelow(rules.node, stepsBelow(path, rulesPath)) : pii.origin
    pii.findings.problems.push(problemAt(path, origin, message))
  }
  if (packs.length === 0 && rules.plain.length === 0) {
    pii.warning('packs', 'has neither packs nor rules: nothing will be sealed')
  }
  return { type: 'pii', packs, onKmsFailure, tenantSecret, trustedPseudonymKeys, rules: rules.plain }
}

// `[2].match.key` → 2, match, key.
function stepsBelow(path: string, base: string): string[] {
  if (!path.startsWith(base)) return []
  return path
    .slice(base.length)
    .split(/[.[\]]+/)
    .filter((step) => step !== '')
}

const SELECTIONS = ['compliance', 'all'] as const

function readSigning(signing: Section): SigningConfig {
  return {
    type: 'signing',
    select: readSelect(signing),
    algorithm: signing.choice('algorithm', ['ed25519-merkle-v1', 'hmac-sha256'], 'ed25519-merkle-v1'),
    proof: signing.choice('proof', ['inline', 'ledger'], 'inline'),
    resourceAttributes: signing.textList('resource_attributes', [
      'service.name',
      'service.namespace',
      'service.instance.id',
    ]),
    mutable: signing.textList('mutable', []),
    trustedKeysFile: signing.text('trusted_keys_file', '') || undefined,
    heartbeatIntervalMs: signing.duration('heartbeat_interval', '0s', 0),
  }
}

function readSelect(signing: Section): SigningConfig['select'] {
  if (signing.isList('select')) {
    const globs = signing.textList('select', [])
    if (globs.length === 0) signing.problem('select', 'must not be an empty list, which would sign nothing')
    return globs
  }
  const text = signing.text('select', 'compliance')
  const selection = SELECTIONS.find((name) => name === text)
  if (selection) return selection
  signing.problem(
    'select',
    `must be compliance, all, or a list of attribute globs${didYouMean(text, SELECTIONS)}`,
  )
  return 'compliance'
}
