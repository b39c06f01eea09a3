// The settings of this provider, checked before anything is asked of a server. Each throws CONFIG with one line.
import { SidecarError } from '../../errors.ts'
import { type VaultKmsOptions, vaultSetting } from './vault-options.ts'
import { isKeyName, isVaultPath, type TransitPath, transitPath } from './vault-path.ts'

export interface ConfiguredKeys {
  readonly fallback: TransitPath
  readonly ofTenants: ReadonlyMap<string, TransitPath>
  /** Mounts that may be asked to unwrap. */
  readonly mounts: ReadonlySet<string>
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/

export function parseAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw vaultSetting('address', 'must be a URL that starts with http:// or https://')
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw vaultSetting('address', 'must not hold user, password, query or fragment')
  return url
}

/** Whether tokens and keys would cross a network unencrypted. */
export function isOpenToOthers(address: URL): boolean {
  return address.protocol === 'http:' && !LOOPBACK.test(address.hostname)
}

export function configuredKeys(options: VaultKmsOptions): ConfiguredKeys {
  const { mount, namespace, keyName, tenantKeyMapping, formerMounts } = options
  if (!isVaultPath(mount))
    throw vaultSetting('mount', 'must be a path such as transit, without outer slashes')
  if (!isKeyName(keyName))
    throw vaultSetting('key_name', 'must be 1 to 128 letters, digits, dots, dashes or underscores')
  if (namespace !== undefined && namespace !== '' && !isVaultPath(namespace))
    throw vaultSetting('namespace', 'must be a path such as team/payments, without outer slashes')
  const mounts = new Set([mount, ...(formerMounts ?? [])])
  if (![...mounts].every(isVaultPath))
    throw vaultSetting('former_mounts', 'must be paths such as transit, without outer slashes')
  const ofTenants = new Map<string, TransitPath>()
  for (const [tenant, text] of tenantKeyMapping) {
    if (!isVaultPath(text))
      throw new SidecarError(
        'CONFIG',
        'kms.tenant_key_mapping: a Transit key is named as key, or as mount/key',
      )
    const end = text.lastIndexOf('/')
    const ofMount = end === -1 ? mount : text.slice(0, end)
    mounts.add(ofMount)
    ofTenants.set(tenant, transitPath(namespace, ofMount, text.slice(end + 1)))
  }
  return { fallback: transitPath(namespace, mount, keyName), ofTenants, mounts }
}
