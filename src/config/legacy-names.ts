// The property and environment names that operators' documents of earlier BeTrace versions print. A variable's name is
// its property's, as it stands (so a ConfigMap or a Secret brings it) or in capitals with every other character an
// underscore, as MicroProfile Config has it; where both are set, the first.

import type { Environment } from './environment.ts'
import type { Findings } from './section.ts'
import { didYouMean, nearest } from './suggestion.ts'
import { mergeTrees, type Origin, type Problem, problemAt, type Tree, treeAt, untyped } from './tree.ts'

/** In Java properties a comment has a line of its own; behind a value it silently becomes part of that. */
export const HASH_IS_VALUE = 'a # after a value is part of it; put comments on lines of their own'

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
    const hint = hasComment(text) ? `; ${HASH_IS_VALUE}` : ''
    problems.push(problemAt(name, origin, `must be a whole number of ${unit}${hint}`))
    return undefined
  }
  return treeAt(seed.path, untyped(seed.unit === undefined ? text : `${text}${seed.unit}`, origin))
}

export function hasComment(value: string): boolean {
  return /\s#/.test(value)
}

const NAMESPACES = ['betrace.', 'kms.', 'aws.kms.', 'vault.', 'gcp.kms.', 'azure.keyvault.']

/** What is said of a name that no setting has, or `undefined` when it looks like another program's. */
export function mistakenName(name: string): string | undefined {
  const isOfProfile = /^%[^.]+\./.test(name)
  const bare = name.replace(/^%[^.]+\./, '')
  const isOurs = NAMESPACES.some((namespace) => bare.startsWith(namespace))
  // An ending alone is no mistake: spring.cloud.vault.token is Spring's, and whose cache.max-size is, nobody knows.
  const meant = nearest(bare, SEED_NAMES.keys()) ?? (isOurs ? longerOrShorter(bare) : undefined)
  if (!isOurs && meant === undefined) return undefined
  if (isOfProfile) return 'is for one profile, and this program has none; write the name without it'
  return `is not a property that this program reads${meant === undefined ? '' : didYouMean(meant, [meant])}`
}

/** `kms.provider` for `betrace.kms.provider`, `betrace.aws.kms.region` for `aws.kms.region`. */
function longerOrShorter(name: string): string | undefined {
  return [...SEED_NAMES.keys()].find((known) => known.endsWith(`.${name}`) || name.endsWith(`.${known}`))
}

/** Everything that the environment sets, as one tree. Variables that are empty count as unset. */
export function readEnvironmentNames(env: Environment, { problems, warnings }: Findings): Tree | undefined {
  const inCapitals = [...SEED_NAMES].map(([property, seed]) => [environmentName(property), seed] as const)
  let tree: Tree | undefined
  for (const [name, seed] of [...inCapitals, ...ENVIRONMENT_ONLY, ...SEED_NAMES]) {
    const text = Object.hasOwn(env, name) ? env[name] : undefined
    if (text === undefined || text === '') continue
    const setting = settingOf(seed, name, text, variable(name), problems)
    if (setting) tree = tree ? mergeTrees(tree, setting) : setting
  }
  for (const name of Object.keys(env)) {
    // The environment is everybody's, so a name that is only like ours stops nothing.
    const mistake = name.includes('.') && !SEED_NAMES.has(name) ? mistakenName(name) : undefined
    if (mistake !== undefined) warnings.push(problemAt(name, variable(name), mistake))
  }
  return tree
}

const variable = (name: string): Origin => ({ file: `environment variable ${name}`, line: 0, column: 0 })
