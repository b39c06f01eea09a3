import { DEFAULT_POLICY } from '../evidence/policy.ts'
import { REDACTION_DEFAULTS, type Rule } from '../redaction/options.ts'
import { PACKS } from '../redaction/packs/packs.ts'
import { parseRules } from '../redaction/rules-parser.ts'
import { componentType } from './read-receivers.ts'
import type { PiiConfig, ProcessorConfig, SigningConfig } from './schema.ts'
import type { Section } from './section.ts'
import { didYouMean } from './suggestion.ts'
import { originBelow, problemAt } from './tree.ts'
import { joinPath } from './yaml-source.ts'

/** `processors:`, by id. */
export function readProcessors(processors: Section): ReadonlyMap<string, ProcessorConfig> {
  const configs = new Map<string, ProcessorConfig>()
  for (const id of processors.keys) {
    const type = componentType(processors, id, ['pii', 'signing'])
    if (type === 'pii') configs.set(id, processors.section(id, readPii))
    else if (type === 'signing') configs.set(id, processors.section(id, readSigning))
    else processors.ignore(id)
  }
  return configs
}

function readPii(pii: Section): PiiConfig {
  const packs = pii.textList('packs', REDACTION_DEFAULTS.packs)
  const known = PACKS.map(({ name }) => name)
  const unknownPack = packs.find((pack) => !known.includes(pack))
  if (unknownPack !== undefined) {
    pii.problem(
      'packs',
      `holds an unknown rule pack; known: ${known.join(', ')}${didYouMean(unknownPack, known)}`,
    )
  }
  const onKmsFailure = pii.choice('on_kms_failure', ['refuse', 'mask'], REDACTION_DEFAULTS.onKmsFailure)
  const unknownFields = pii.choice(
    'unknown_fields',
    ['scan', 'keep', 'remove'],
    REDACTION_DEFAULTS.unknownFields,
  )
  const tenantSecret = pii.boolean('tenant_secret', REDACTION_DEFAULTS.tenantSecret)
  const bindIds = pii.boolean('bind_ids', REDACTION_DEFAULTS.bindIds)
  const pad = pii.boolean('pad', REDACTION_DEFAULTS.pad)
  const trustedPseudonymKeys = pii.textList('trusted_pseudonym_keys', [])
  const rules = readRules(pii)
  if (packs.length === 0 && rules.length === 0) {
    pii.warning('packs', 'has neither packs nor rules: nothing will be sealed')
  }
  const sealing = { onKmsFailure, tenantSecret, bindIds, pad }
  return { type: 'pii', packs, ...sealing, unknownFields, trustedPseudonymKeys, rules }
}

function readRules(pii: Section): readonly Rule[] {
  const { plain, node } = pii.rawList('rules')
  const base = joinPath(pii.path, 'rules')
  const { rules, problems } = parseRules(plain, base)
  for (const { path, message } of problems) {
    const origin = node ? originBelow(node, stepsBelow(path, base)) : pii.origin
    pii.findings.problems.push(problemAt(path, origin, message))
  }
  return rules
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
    algorithm: signing.choice('algorithm', ['ed25519-merkle-v1', 'hmac-sha256'], DEFAULT_POLICY.algorithm),
    proof: readProof(signing),
    resourceAttributes: signing.textList('resource_attributes', DEFAULT_POLICY.resourceAttributes),
    mutable: signing.textList('mutable', DEFAULT_POLICY.mutable),
    trustedKeysFile: signing.text('trusted_keys_file', '') || undefined,
    heartbeatIntervalMs: signing.duration('heartbeat_interval', 0, 0),
  }
}

function readProof(signing: Section): SigningConfig['proof'] {
  const proof = signing.choice('proof', ['compact', 'inline', 'ledger'], DEFAULT_POLICY.proof)
  if (proof !== 'ledger') return proof
  signing.problem('proof', 'must be compact or inline: this version keeps no ledger to look proofs up in')
  return DEFAULT_POLICY.proof
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
