import { asSidecarError } from '../base/errors.ts'
import { isTenantId } from '../formats/tenant-id.ts'
import { KEYS_DEFAULTS } from '../keys/keys-options.ts'
import { parseCheckCron } from '../keys/rotation/check-schedule.ts'
import { ROTATION_DEFAULTS } from '../keys/rotation/rotation.ts'
import { KMS_REQUEST_DEFAULTS } from '../kms/attempts.ts'
import { BREAKER_DEFAULTS } from '../kms/breaker-options.ts'
import { kmsSettingProblems, missingKmsSettings } from './check-kms.ts'
import type { Environment } from './environment.ts'
import type {
  AwsKmsConfig,
  AzureKmsConfig,
  BreakerConfig,
  GcpKmsConfig,
  KmsCacheConfig,
  KmsConfig,
  KmsProviderName,
  KmsRequestConfig,
  LocalKmsConfig,
  RotationConfig,
  VaultKmsConfig,
} from './schema.ts'
import type { Section } from './section.ts'
import { joinPath } from './yaml-source.ts'

export const KMS_PROVIDERS = [
  'local',
  'aws',
  'vault',
  'gcp',
  'azure',
] as const satisfies readonly KmsProviderName[]

/** `kms:`. */
export function readKms(kms: Section, env: Environment): KmsConfig {
  const provider = kms.choice('provider', KMS_PROVIDERS, 'local')
  const tenantKeyMapping = kms.textMap('tenant_key_mapping')
  if (![...tenantKeyMapping.keys()].every(isTenantId))
    kms.problem('tenant_key_mapping', 'holds a key that is no tenant id')
  const config: KmsConfig = {
    provider,
    local: kms.section('local', readLocal),
    aws: kms.section('aws', (aws) => readAws(aws, env.AWS_REGION ?? env.AWS_DEFAULT_REGION)),
    vault: kms.section('vault', readVault),
    gcp: kms.section('gcp', readGcp),
    azure: kms.section('azure', readAzure),
    tenantKeyMapping,
    replicas: kms.textList('replicas', []),
    pseudonymKeyFile: kms.optionalText('pseudonym_key_file'),
    rewrapFrom: kms.textList('rewrap_from', []),
    request: kms.section('request', readRequest),
    cache: kms.section('cache', readCache),
    rotation: kms.section('rotation', readRotation),
    breaker: kms.section('breaker', readBreaker),
  }
  // One line for each setting: of what is missing or no URL, the provider would say it again.
  const known = new Set(kms.findings.problems.map(({ path }) => path))
  const report = (path: readonly (string | number)[], message: string): void => {
    const name = path.reduce<string>(joinPath, kms.path)
    if (!known.has(name)) kms.problemBelow(path, message)
    known.add(name)
  }
  for (const setting of missingKmsSettings(config)) {
    const message = `is needed when kms.provider is ${provider}; valid providers: ${KMS_PROVIDERS.join(', ')}`
    report(setting, message)
  }
  for (const { path, message } of kmsSettingProblems(config, env)) report(path, message)
  return config
}

function readLocal(local: Section): LocalKmsConfig {
  return {
    keyFile: local.optionalText('key_file'),
    allowInProduction: local.boolean('allow_in_production', false),
  }
}

// The region of whatever claims to be an ARN; the provider says what it thinks of the rest.
const ARN_REGION = /^arn:[^:]*:kms:([a-z0-9-]+):/

function readAws(aws: Section, ambientRegion: string | undefined): AwsKmsConfig {
  const masterKeyId = aws.text('master_key_id', '')
  const region = aws.text('region', ARN_REGION.exec(masterKeyId)?.[1] ?? ambientRegion ?? '')
  return {
    masterKeyId,
    region,
    endpoint: optionalUrl(aws, 'endpoint'),
    useFipsEndpoint: aws.boolean('use_fips_endpoint', false),
  }
}

function readVault(vault: Section): VaultKmsConfig {
  const config: VaultKmsConfig = {
    address: optionalUrl(vault, 'address') ?? '',
    mount: vault.text('mount', 'transit'),
    keyName: vault.text('key_name', ''),
    namespace: vault.optionalText('namespace'),
    token: vault.secret('token'),
    roleId: vault.optionalText('role_id'),
    secretId: vault.secret('secret_id'),
    kubernetesRole: vault.optionalText('kubernetes_role'),
    caFile: vault.optionalText('ca_file'),
    clientCertFile: vault.optionalText('client_cert_file'),
    clientKeyFile: vault.optionalText('client_key_file'),
    tokenFile: vault.optionalText('token_file'),
    appRoleMount: vault.text('app_role_mount', 'approle'),
    kubernetesMount: vault.text('kubernetes_mount', 'kubernetes'),
    kubernetesTokenFile: vault.optionalText('kubernetes_token_file'),
    formerMounts: vault.textList('former_mounts', []),
  }
  if (config.secretId && config.roleId === undefined) vault.problem('role_id', 'is needed beside secret_id')
  return config
}

function readGcp(gcp: Section): GcpKmsConfig {
  return {
    projectId: gcp.text('project_id', ''),
    location: gcp.text('location', ''),
    keyRing: gcp.text('key_ring', ''),
    keyName: gcp.text('key_name', ''),
    endpoint: gcp.optionalText('endpoint'),
    caFile: gcp.optionalText('ca_file'),
  }
}

function readAzure(azure: Section): AzureKmsConfig {
  return {
    vaultUri: optionalUrl(azure, 'vault_uri') ?? '',
    keyName: azure.text('key_name', ''),
    tenantId: azure.optionalText('tenant_id'),
    clientId: azure.optionalText('client_id'),
    clientSecret: azure.secret('client_secret'),
    authorityHost: optionalUrl(azure, 'authority_host'),
    caFile: azure.optionalText('ca_file'),
    formerVaultUris: azure.textList('former_vault_uris', []),
  }
}

function readRequest(request: Section): KmsRequestConfig {
  return {
    connectTimeoutMs: request.duration('connect_timeout', KMS_REQUEST_DEFAULTS.connectTimeoutMs),
    timeoutMs: request.duration('timeout', KMS_REQUEST_DEFAULTS.timeoutMs),
    attemptsMax: request.integer('max_attempts', KMS_REQUEST_DEFAULTS.attemptsMax, 1, 20),
  }
}

function readCache(cache: Section): KmsCacheConfig {
  return {
    privateKeyTtlMs: cache.duration('private_key_ttl', KEYS_DEFAULTS.privateKeyTtlMs, 1_000),
    publicKeyTtlMs: cache.duration('public_key_ttl', KEYS_DEFAULTS.publicKeyTtlMs, 1_000),
    encryptionKeyTtlMs: cache.duration('encryption_key_ttl', KEYS_DEFAULTS.encryptionKeyTtlMs, 1_000),
    sizeMax: cache.integer('max_size', KEYS_DEFAULTS.sizeMax, 1, 10_000_000),
    staleGraceMs: cache.duration('stale_grace', KEYS_DEFAULTS.staleGraceMs, 0),
  }
}

const DAY_MS = 86_400_000

// Quartz: seconds first, six or seven fields, and one of the two day fields is `?`.
const CRON_FIELD = /^[0-9A-Za-z*?/,#-]+$/

function readRotation(rotation: Section): RotationConfig {
  const checkCron = rotation.text('check_cron', ROTATION_DEFAULTS.checkCron)
  const fields = checkCron.trim().split(/\s+/)
  if (fields.length < 6 || fields.length > 7 || !fields.every((field) => CRON_FIELD.test(field))) {
    rotation.problem('check_cron', 'must have six or seven fields, seconds first, such as 0 0 2 * * ?')
  } else {
    const mistake = cronMistake(checkCron)
    if (mistake !== undefined) rotation.problem('check_cron', mistake)
  }
  return {
    enabled: rotation.boolean('enabled', ROTATION_DEFAULTS.enabled),
    checkCron,
    ageDaysMax: rotation.integer('max_age_days', KEYS_DEFAULTS.signingKeyAgeMsMax / DAY_MS, 1, 3_650),
  }
}

function cronMistake(checkCron: string): string | undefined {
  try {
    parseCheckCron(checkCron)
    return undefined
  } catch (thrown) {
    return asSidecarError(thrown).message.replace(/^[a-z_.]+: /, '')
  }
}

function readBreaker(breaker: Section): BreakerConfig {
  return {
    requestsMin: breaker.integer('min_requests', BREAKER_DEFAULTS.requestsMin, 1, 1_000_000),
    failurePercent: breaker.integer('failure_percent', BREAKER_DEFAULTS.failurePercent, 1, 100),
    openMs: breaker.duration('open_duration', BREAKER_DEFAULTS.openMs, 100),
    successesToClose: breaker.integer('successes_to_close', BREAKER_DEFAULTS.successesToClose, 1, 1_000),
  }
}

/** An http or https URL without credentials, which would show wherever a URL shows. */
function optionalUrl(section: Section, key: string): string | undefined {
  const text = section.optionalText(key)
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    section.problem(key, 'must be a URL that starts with http:// or https://')
  } else if (url.username !== '' || url.password !== '') {
    section.problem(key, 'must not hold user or password')
  }
  return text
}
