// The settings of Google Cloud KMS, checked without its client library, and how its keys are named.
import { refuseFirst, type SettingProblem } from '../setting-problem.ts'

export interface GcpSettings {
  readonly projectId: string
  /** Such as `europe-west1` or `global`. */
  readonly location: string
  readonly keyRing: string
  /** The key, purpose ENCRYPT_DECRYPT, of tenants that have none of their own. */
  readonly keyName: string
  /** `host[:port]` or `https://host[:port]`; `http://` is for emulators: no TLS, and no credentials are sent. */
  readonly endpoint?: string | undefined
  /** Tenant → its own key: a name in the same key ring, or `projects/…/cryptoKeys/…`. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
}

export interface GcpEndpoint {
  readonly host: string
  readonly port: number
  /** Without TLS there are no credentials either. */
  readonly isPlaintext: boolean
}

export interface GcpKeys {
  readonly masterKeyId: string
  readonly ofTenants: ReadonlyMap<string, string>
  readonly endpoint: GcpEndpoint
}

const ENDPOINT = 'cloudkms.googleapis.com'
const PART = '[A-Za-z0-9_.:-]{1,128}'
const NAME = new RegExp(`^${PART}$`)
const KEY = `projects/${PART}/locations/${PART}/keyRings/${PART}/cryptoKeys/${PART}`
export const KEY_PATH = new RegExp(`^${KEY}$`)
export const VERSION_PATH = new RegExp(`^${KEY}/cryptoKeyVersions/[0-9]{1,19}$`)

const FULL_NAME = 'projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>'

export function gcpSettingProblems(settings: GcpSettings): readonly SettingProblem[] {
  const problems: SettingProblem[] = []
  const check = (isGood: boolean, path: SettingProblem['path'], message: string): void => {
    if (!isGood) problems.push({ path, message })
  }
  const { projectId, location, keyRing, keyName, endpoint = ENDPOINT } = settings
  const isKey = (name: string): boolean => NAME.test(name) || KEY_PATH.test(name)
  check(NAME.test(projectId), ['gcp', 'project_id'], 'must be the id of a project, such as acme-prod')
  check(NAME.test(location), ['gcp', 'location'], 'must be a location, such as europe-west1 or global')
  check(NAME.test(keyRing), ['gcp', 'key_ring'], 'must be the name of a key ring, without slashes')
  check(isKey(keyName), ['gcp', 'key_name'], `must be the name of a key in the key ring, or ${FULL_NAME}`)
  check(
    parseEndpoint(endpoint) !== undefined,
    ['gcp', 'endpoint'],
    'must be host, host:port or https://host:port',
  )
  for (const [tenant, name] of settings.tenantKeyMapping) {
    const message = `must be the name of a key in the configured key ring, or ${FULL_NAME}`
    check(isKey(name), ['tenant_key_mapping', tenant], message)
  }
  return problems
}

/** Throws CONFIG with one line. */
export function readGcpSettings(settings: GcpSettings): GcpKeys {
  refuseFirst(gcpSettingProblems(settings))
  const { projectId, location, keyRing, keyName, endpoint = ENDPOINT } = settings
  const ring = `projects/${projectId}/locations/${location}/keyRings/${keyRing}`
  const path = (name: string): string => (KEY_PATH.test(name) ? name : `${ring}/cryptoKeys/${name}`)
  const ofTenants = [...settings.tenantKeyMapping].map(([tenant, name]) => [tenant, path(name)] as const)
  return {
    masterKeyId: path(keyName),
    ofTenants: new Map(ofTenants),
    endpoint: parseEndpoint(endpoint)!, // checked with the others
  }
}

function parseEndpoint(text: string): GcpEndpoint | undefined {
  const url = /^https?:\/\//.test(text) ? URL.parse(text) : parseAuthority(text)
  const isBare = url?.pathname === '/' && url.search === '' && url.hash === ''
  if (!url || !isBare || url.username !== '' || url.password !== '') return undefined
  const isPlaintext = url.protocol === 'http:'
  return { host: url.hostname, port: Number(url.port || (isPlaintext ? 80 : 443)), isPlaintext }
}

function parseAuthority(text: string): URL | null {
  return text.includes('/') ? null : URL.parse(`https://${text}`)
}
