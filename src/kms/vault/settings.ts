// The settings of this provider, checked before anything is asked of a server.
import { refuseFirst, type SettingProblem } from '../setting-problem.ts'
import type { VaultSettings } from './options.ts'
import { isKeyName, isVaultPath, type TransitPath, transitPath } from './path.ts'

export interface ConfiguredKeys {
  readonly address: URL
  readonly fallback: TransitPath
  readonly ofTenants: ReadonlyMap<string, TransitPath>
  /** Mounts that may be asked to unwrap. */
  readonly mounts: ReadonlySet<string>
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/

export function vaultSettingProblems(settings: VaultSettings): readonly SettingProblem[] {
  const { address, mount, keyName, namespace, tenantKeyMapping } = settings
  const problems: SettingProblem[] = []
  const check = (isGood: boolean, setting: string, message: string): void => {
    if (!isGood) problems.push({ path: ['vault', setting], message })
  }
  const checkPath = (text: string | undefined, setting: string, example: string): void =>
    check(!text || isVaultPath(text), setting, `must be a path such as ${example}, without outer slashes`)
  const url = URL.parse(address)
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:'
  check(isHttp, 'address', 'must be a URL that starts with http:// or https://')
  const isBare = !url || [url.username, url.password, url.search, url.hash].every((part) => part === '')
  check(!isHttp || isBare, 'address', 'must not hold user, password, query or fragment')
  check(isVaultPath(mount), 'mount', 'must be a path such as transit, without outer slashes')
  check(isKeyName(keyName), 'key_name', 'must be 1 to 128 letters, digits, dots, dashes or underscores')
  checkPath(namespace, 'namespace', 'team/payments')
  checkPath(settings.appRoleMount, 'app_role_mount', 'approle')
  checkPath(settings.kubernetesMount, 'kubernetes_mount', 'kubernetes')
  for (const [index, former] of (settings.formerMounts ?? []).entries()) {
    if (isVaultPath(former)) continue
    const message = 'must be a path such as transit, without outer slashes'
    problems.push({ path: ['vault', 'former_mounts', index], message })
  }
  for (const [tenant, text] of tenantKeyMapping) {
    if (isVaultPath(text)) continue
    const message = 'must be the name of a Transit key, as key or as mount/key, such as acme or transit/acme'
    problems.push({ path: ['tenant_key_mapping', tenant], message })
  }
  return [...problems, ...credentialProblems(settings)]
}

function credentialProblems(settings: VaultSettings): readonly SettingProblem[] {
  const { token, tokenFile, roleId, kubernetesRole, clientCertFile, clientKeyFile } = settings
  const problems: SettingProblem[] = []
  if (!token && !tokenFile && !roleId && !kubernetesRole) {
    const message = 'is needed, or one of token_file, role_id with secret_id, kubernetes_role'
    problems.push({ path: ['vault', 'token'], message })
  }
  if (!clientCertFile !== !clientKeyFile) {
    const missing = clientKeyFile ? 'client_cert_file' : 'client_key_file'
    const message = 'is needed beside the other one of client_cert_file and client_key_file'
    problems.push({ path: ['vault', missing], message })
  }
  return problems
}

/** Whether tokens and keys would cross a network unencrypted. */
export function isOpenToOthers(address: URL): boolean {
  return address.protocol === 'http:' && !LOOPBACK.test(address.hostname)
}

/** Throws CONFIG with one line. */
export function configuredKeys(settings: VaultSettings): ConfiguredKeys {
  refuseFirst(vaultSettingProblems(settings))
  const { address, mount, namespace, keyName, tenantKeyMapping, formerMounts } = settings
  const mounts = new Set([mount, ...(formerMounts ?? [])])
  const ofTenants = new Map<string, TransitPath>()
  for (const [tenant, text] of tenantKeyMapping) {
    const end = text.lastIndexOf('/')
    const ofMount = end === -1 ? mount : text.slice(0, end)
    mounts.add(ofMount)
    ofTenants.set(tenant, transitPath(namespace, ofMount, text.slice(end + 1)))
  }
  const fallback = transitPath(namespace, mount, keyName)
  return { address: new URL(address), fallback, ofTenants, mounts }
}
