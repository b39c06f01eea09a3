// Which AWS keys may be named where. Full ARNs only: an alias can be pointed at another key behind our back, and a bare
// id means another key in another account or region.
import { refuseFirst, type SettingProblem } from '../setting-problem.ts'

export interface AwsKey {
  /** What the service is asked with: the full ARN, or for an emulator whatever it takes. */
  readonly id: string
  readonly region: string
}

export interface AwsSettings {
  readonly masterKeyId: string
  /** Empty: the region of the master key's ARN. */
  readonly region: string
  readonly endpoint: string | undefined
  readonly replicas: readonly string[]
  readonly tenantKeyMapping: ReadonlyMap<string, string>
  readonly useFipsEndpoint: boolean
}

export interface AwsKeys {
  readonly primary: AwsKey
  /** In the order in which they are tried. */
  readonly replicas: readonly AwsKey[]
  readonly ofTenants: ReadonlyMap<string, AwsKey>
}

// The region becomes part of a host name, so its shape is strict.
const ARN =
  /^arn:aws[a-z-]{0,20}:kms:([a-z]{2,8}(?:-[a-z]{2,12}){1,3}-\d{1,2}):\d{12}:key\/([A-Za-z0-9-]{1,64})$/
const EXAMPLE = 'arn:aws:kms:<region>:<account>:key/<id>'
const NO_REPLICA =
  'is no replica of kms.aws.master_key_id: a multi-Region key and its replicas have one account and one id, mrk-…'
const MULTI_REGION = 'mrk-'
const ACCOUNT_CHARS = 12

/** `undefined` when the text is not the full ARN of a KMS key. */
export function parseKeyArn(text: string): AwsKey | undefined {
  const region = ARN.exec(text)?.[1]
  return region === undefined ? undefined : { id: text, region }
}

/** Whether two ARNs name the same multi-Region key, so that what one wrapped the other unwraps. */
export function areReplicas(one: AwsKey, other: AwsKey): boolean {
  const id = multiRegionId(one.id)
  return id !== undefined && id === multiRegionId(other.id)
}

/** Account and key id, which the replicas of a multi-Region key share. */
function multiRegionId(arn: string): string | undefined {
  const at = arn.indexOf(`:key/${MULTI_REGION}`)
  return at < 0 ? undefined : arn.slice(at - ACCOUNT_CHARS)
}

/** What is wrong with the keys that the configuration names, and with what stands beside them. */
export function awsSettingProblems(settings: AwsSettings): readonly SettingProblem[] {
  const { endpoint, replicas, tenantKeyMapping, useFipsEndpoint } = settings
  const isWrong = (id: string): boolean =>
    parseKeyArn(id) === undefined && (endpoint === undefined || id === '')
  const problems: SettingProblem[] = [...primaryProblems(settings)]
  for (const [index, id] of replicas.entries()) {
    const path = ['replicas', index]
    if (isWrong(id)) problems.push({ path, message: notAnArn(id) })
    else if (endpoint === undefined && !isReplicaOf(settings.masterKeyId, id))
      problems.push({ path, message: NO_REPLICA })
  }
  for (const [tenant, id] of tenantKeyMapping) {
    if (isWrong(id)) problems.push({ path: ['tenant_key_mapping', tenant], message: notAnArn(id) })
  }
  if (useFipsEndpoint && endpoint !== undefined) {
    problems.push({ path: ['aws', 'use_fips_endpoint'], message: 'cannot be true beside kms.aws.endpoint' })
  }
  return problems
}

/** The keys that the configuration names. Throws CONFIG with one line that names the setting. */
export function readAwsKeys(settings: AwsSettings): AwsKeys {
  refuseFirst(awsSettingProblems(settings))
  const { masterKeyId } = settings
  const primary = parseKeyArn(masterKeyId) ?? { id: masterKeyId, region: settings.region }
  const named = (id: string): AwsKey => parseKeyArn(id) ?? { id, region: primary.region }
  const ofTenants = [...settings.tenantKeyMapping].map(([tenant, id]) => [tenant, named(id)] as const)
  return { primary, replicas: settings.replicas.map(named), ofTenants: new Map(ofTenants) }
}

function primaryProblems({ masterKeyId, region, endpoint }: AwsSettings): readonly SettingProblem[] {
  const key = parseKeyArn(masterKeyId)
  if (key === undefined && (endpoint === undefined || masterKeyId === ''))
    return [{ path: ['aws', 'master_key_id'], message: notAnArn(masterKeyId) }]
  const path = ['aws', 'region']
  if (key === undefined)
    return region === '' ? [{ path, message: 'is needed when kms.aws.master_key_id is not a full ARN' }] : []
  return region === '' || region === key.region
    ? []
    : [{ path, message: `differs from ${key.region}, the region in kms.aws.master_key_id` }]
}

/** True as well when the master key itself is wrong, which is a problem of its own. */
function isReplicaOf(masterKeyId: string, id: string): boolean {
  const [primary, replica] = [parseKeyArn(masterKeyId), parseKeyArn(id)]
  return primary === undefined || replica === undefined || areReplicas(primary, replica)
}

function notAnArn(id: string): string {
  if (id === '') return `is needed; the full ARN of the key, ${EXAMPLE}`
  const what = id.includes('alias/') ? 'an alias' : 'not a full ARN'
  return `is ${what}; give the full ARN of the key, ${EXAMPLE} (aliases and bare ids only with kms.aws.endpoint, for emulators)`
}
