// The property and environment names that operators' documents of earlier BeTrace versions print. A variable's name is
// its property's in capitals with every other character an underscore, as MicroProfile Config has it.

import type { Environment } from './environment.ts'
import { didYouMean } from './suggestion.ts'
import { mergeTrees, type Origin, type Problem, problemAt, type Tree, treeAt, untyped } from './tree.ts'

interface SeedName {
  readonly path: readonly string[]
  /** Unit that the property's name carries; the value is a bare number then. */
  readonly unit?: 'm' | 'h'
}

const at = (path: string, unit?: 'm' | 'h'): SeedName =>
  unit === undefined ? { path: path.split('.') } : { path: path.split('.'), unit }

/** Property name → our setting. */
export const SEED_NAMES: ReadonlyMap<string, SeedName> = new Map([
  ['betrace.kms.provider', at('kms.provider')],
  ['aws.kms.master-key-id', at('kms.aws.master_key_id')],
  ['aws.kms.region', at('kms.aws.region')],
  ['aws.kms.endpoint', at('kms.aws.endpoint')],
  ['kms.cache.private-key-ttl-minutes', at('kms.cache.private_key_ttl', 'm')],
  ['kms.cache.public-key-ttl-hours', at('kms.cache.public_key_ttl', 'h')],
  ['kms.cache.encryption-key-ttl-minutes', at('kms.cache.encryption_key_ttl', 'm')],
  ['kms.cache.max-size', at('kms.cache.max_size')],
  ['kms.rotation.enabled', at('kms.rotation.enabled')],
  ['kms.rotation.check-cron', at('kms.rotation.check_cron')],
  ['kms.rotation.max-age-days', at('kms.rotation.max_age_days')],
  ['vault.addr', at('kms.vault.address')],
  ['vault.token', at('kms.vault.token')],
  ['vault.transit.mount', at('kms.vault.mount')],
  ['vault.transit.key-name', at('kms.vault.key_name')],
  ['vault.role-id', at('kms.vault.role_id')],
  ['vault.secret-id', at('kms.vault.secret_id')],
  ['vault.k8s.role', at('kms.vault.kubernetes_role')],
  ['gcp.kms.project-id', at('kms.gcp.project_id')],
  ['gcp.kms.location', at('kms.gcp.location')],
  ['gcp.kms.keyring', at('kms.gcp.key_ring')],
  ['gcp.kms.key-name', at('kms.gcp.key_name')],
  ['azure.keyvault.uri', at('kms.azure.vault_uri')],
  ['azure.keyvault.key-name', at('kms.azure.key_name')],
  ['azure.keyvault.tenant-id', at('kms.azure.tenant_id')],
  ['azure.keyvault.client-id', at('kms.azure.client_id')],
  ['azure.keyvault.client-secret', at('kms.azure.client_secret')],
])

const ENVIRONMENT_ONLY: ReadonlyMap<string, SeedName> = new Map([['ADMIN_TOKEN', at('service.admin.token')]])

/** `kms.cache.max-size` → `KMS_CACHE_MAX_SIZE`. */
export function environmentName(property: string): string {
  return property.replace(/[^A-Za-z0-9]/g, '_').toUpperCase()
}

/** Our setting for one property, or `'unknown'` when the name is none of the seeds'. */
export function readSeedName(
  property: string,
  text: string,
  origin: Origin,
  problems: Problem[],
): Tree | undefined | 'unknown' {
  const seed = SEED_NAMES.get(property)
  return seed ? settingOf(seed, property, text.trim(), origin, problems) : 'unknown'
}

function settingOf(
  seed: SeedName,
  name: string,
  text: string,
  origin: Origin,
  problems: Problem[],
): Tree | undefined {
  if (seed.unit !== undefined && !/^\d{1,7}$/.test(text)) {
    const unit = seed.unit === 'm' ? 'minutes' : 'hours'
    problems.push(problemAt(name, origin, `must be a whole number of ${unit}`))
    return undefined
  }
  return treeAt(seed.path, untyped(seed.unit === undefined ? text : `${text}${seed.unit}`, origin))
}

/** Everything that the environment sets, as one tree. Variables that are empty count as unset. */
export function readEnvironmentNames(env: Environment, problems: Problem[]): Tree | undefined {
  const named = [...SEED_NAMES].map(([property, seed]) => [environmentName(property), seed] as const)
  let tree: Tree | undefined
  for (const [name, seed] of [...named, ...ENVIRONMENT_ONLY]) {
    const text = Object.hasOwn(env, name) ? env[name] : undefined
    if (text === undefined || text === '') continue
    const origin: Origin = { file: `environment variable ${name}`, line: 0, column: 0 }
    const setting = settingOf(seed, name, text, origin, problems)
    if (setting) tree = tree ? mergeTrees(tree, setting) : setting
  }
  return tree
}

/** A Java properties file of the seeds' names. Other names are problems: a setting that nobody reads is a mistake. */
export function readProperties(text: string, file: string, problems: Problem[]): Tree | undefined {
  let tree: Tree | undefined
  for (const { content, line } of logicalLines(text)) {
    const origin: Origin = { file, line, column: 1 }
    const match = /^((?:\\.|[^\\=:\s])+)\s*[=:\s]\s*(.*)$/s.exec(content) ?? [content, content, '']
    const name = unescapeProperty(match[1]!)
    const value = unescapeProperty(match[2]!)
    if (value === '') continue
    const setting = readSeedName(name, value, origin, problems)
    if (setting === 'unknown') {
      const hint = didYouMean(name, SEED_NAMES.keys())
      problems.push(problemAt(name, origin, `is not a property that this program reads${hint}`))
    } else if (setting) {
      tree = tree ? mergeTrees(tree, setting) : setting
    }
  }
  return tree
}

// A line that ends in an odd number of backslashes goes on in the next one, whose leading blanks do not count.
function* logicalLines(text: string): Generator<{ content: string; line: number }> {
  const lines = text.split(/\r\n|\n|\r/)
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1
    let content = lines[index]!.trimStart()
    if (content === '' || content.startsWith('#') || content.startsWith('!')) continue
    while (/(?:^|[^\\])(?:\\\\)*\\$/.test(content) && index + 1 < lines.length) {
      content = content.slice(0, -1) + lines[++index]!.trimStart()
    }
    yield { content, line }
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['t', '\t'],
  ['n', '\n'],
  ['r', '\r'],
  ['f', '\f'],
])

function unescapeProperty(text: string): string {
  return text.replace(
    /\\(?:u([0-9A-Fa-f]{4})|(.))/g,
    (_, hex: string | undefined, letter: string | undefined) =>
      hex === undefined ? (ESCAPES.get(letter!) ?? letter!) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
