// Which AWS keys may be named where. Full ARNs only: an alias can be pointed at another key behind our back, and a bare
// id means another key in another account or region.
import { SidecarError } from '../../errors.ts'

export interface AwsKey {
  /** What the service is asked with: the full ARN, or for an emulator whatever it takes. */
  readonly id: string
  readonly region: string
}

export interface AwsKeySettings {
  readonly masterKeyId: string
  /** Empty: the region of the master key's ARN. */
  readonly region: string
  readonly endpoint: string | undefined
  readonly replicas: readonly string[]
  readonly tenantKeyMapping: ReadonlyMap<string, string>
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

/** Checks all keys that the configuration names. Throws CONFIG with one line that names the setting. */
export function readAwsKeys(settings: AwsKeySettings): AwsKeys {
  const { endpoint } = settings
  const primary = readPrimary(settings)
  const named = (setting: string, id: string): AwsKey => {
    const key = parseKeyArn(id)
    if (key !== undefined) return key
    if (endpoint === undefined || id === '') throw refusal(setting, notAnArn(id))
    return { id, region: primary.region }
  }
  const replicas = settings.replicas.map((id) => named('kms.replicas', id))
  if (endpoint === undefined && !replicas.every((replica) => areReplicas(primary, replica))) {
    throw refusal(
      'kms.replicas',
      'holds a key that is no replica of kms.aws.master_key_id: a multi-Region key and its replicas have one account and one id, mrk-…',
    )
  }
  const ofTenants = new Map<string, AwsKey>()
  for (const [tenant, id] of settings.tenantKeyMapping) {
    ofTenants.set(tenant, named('kms.tenant_key_mapping', id))
  }
  return { primary, replicas, ofTenants }
}

function readPrimary({ masterKeyId, region, endpoint }: AwsKeySettings): AwsKey {
  const key = parseKeyArn(masterKeyId)
  if (key === undefined) {
    if (endpoint === undefined || masterKeyId === '') {
      throw refusal('kms.aws.master_key_id', notAnArn(masterKeyId))
    }
    if (region === '')
      throw refusal('kms.aws.region', 'is needed when kms.aws.master_key_id is not a full ARN')
    return { id: masterKeyId, region }
  }
  if (region !== '' && region !== key.region) {
    throw refusal('kms.aws.region', `differs from ${key.region}, the region in kms.aws.master_key_id`)
  }
  return key
}

function notAnArn(id: string): string {
  if (id === '') return `is needed; the full ARN of the key, ${EXAMPLE}`
  const what = id.includes('alias/') ? 'an alias' : 'not a full ARN'
  return `is ${what}; give the full ARN of the key, ${EXAMPLE} (aliases and bare ids only with kms.aws.endpoint, for emulators)`
}

function refusal(setting: string, message: string): SidecarError {
  return new SidecarError('CONFIG', `${setting}: ${message}`)
}
