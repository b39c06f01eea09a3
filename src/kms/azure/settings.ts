// The settings of Azure Key Vault and Managed HSM, checked without their client libraries.

import { refuseFirst, type SettingProblem } from '../setting-problem.ts'
import { type AzureKeyId, parseKeyReference, parseVaultUrl } from './key-id.ts'

/** A value that must not show up in a log; `config/` has the class. */
export interface AzureSecretText {
  reveal(): string
}

export interface AzureSettings {
  /** `https://<name>.vault.azure.net`, or of a Managed HSM. */
  readonly vaultUri: string
  /** The key, RSA or on an HSM AES, of tenants that have none of their own. */
  readonly keyName: string
  /** With `clientId` and `clientSecret`: a service principal. Otherwise `DefaultAzureCredential`. */
  readonly tenantId?: string | undefined
  /** Without a secret: of the managed or workload identity to use. */
  readonly clientId?: string | undefined
  readonly clientSecret?: AzureSecretText | undefined
  /** Tenant → its own key: a name in the same vault, or `https://<vault>/keys/<name>[/<version>]`. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
  /** Vaults that wrapped keys of the past name. Only these and those in use ever see a token of ours. */
  readonly formerVaultUris?: readonly string[] | undefined
  /** Of Entra ID, https. `undefined`: AZURE_AUTHORITY_HOST, else the public cloud's. */
  readonly authorityHost?: string | undefined
  /** AZURE_AUTHORITY_HOST. */
  readonly ambientAuthorityHost: string | undefined
}

export interface AzureKeys {
  readonly vaultUrl: string
  readonly master: AzureKeyId
  readonly ofTenants: ReadonlyMap<string, AzureKeyId>
  readonly trustedVaults: ReadonlySet<string>
  readonly authorityHost: string | undefined
}

/** What the client library takes; it would throw an error of its own for the rest. */
const TENANT_ID = /^[0-9A-Za-z.-]+$/
const VAULT = 'must be https:// and the vault’s host name, such as https://acme.vault.azure.net'
const KEY = 'must be the name of a key, of letters, digits and dashes, or https://<vault>/keys/<name>'

export function azureSettingProblems(settings: AzureSettings): readonly SettingProblem[] {
  const problems: SettingProblem[] = []
  const check = (isGood: boolean, path: SettingProblem['path'], message: string): void => {
    if (!isGood) problems.push({ path, message })
  }
  const { vaultUri, keyName, tenantId, clientId, clientSecret } = settings
  check(parseVaultUrl(vaultUri) !== undefined, ['azure', 'vault_uri'], VAULT)
  // Of a name alone the vault does not matter.
  const isKey = (text: string): boolean => parseKeyReference(text, '') !== undefined
  check(isKey(keyName), ['azure', 'key_name'], KEY)
  for (const [tenant, text] of settings.tenantKeyMapping)
    check(isKey(text), ['tenant_key_mapping', tenant], KEY)
  for (const [index, uri] of (settings.formerVaultUris ?? []).entries())
    check(parseVaultUrl(uri) !== undefined, ['azure', 'former_vault_uris', index], VAULT)
  const authority = authorityOf(settings)
  check(
    authority === undefined || URL.parse(authority)?.protocol === 'https:',
    ['azure', 'authority_host'],
    'must be a URL that starts with https://, here or in AZURE_AUTHORITY_HOST',
  )
  check(
    tenantId === undefined || TENANT_ID.test(tenantId),
    ['azure', 'tenant_id'],
    'must be the id of a tenant or one of its domains',
  )
  check(
    clientSecret === undefined || (tenantId !== undefined && clientId !== undefined),
    ['azure', 'client_secret'],
    'needs tenant_id and client_id beside it',
  )
  return problems
}

/** Throws CONFIG with one line. */
export function readAzureSettings(settings: AzureSettings): AzureKeys {
  refuseFirst(azureSettingProblems(settings))
  const vaultUrl = parseVaultUrl(settings.vaultUri)!
  const key = (text: string): AzureKeyId => parseKeyReference(text, vaultUrl)! // all are checked above
  const ofTenants = [...settings.tenantKeyMapping].map(([tenant, text]) => [tenant, key(text)] as const)
  const former = (settings.formerVaultUris ?? []).map((uri) => parseVaultUrl(uri)!)
  return {
    vaultUrl,
    master: key(settings.keyName),
    ofTenants: new Map(ofTenants),
    trustedVaults: new Set([vaultUrl, ...ofTenants.map(([, { vaultUrl }]) => vaultUrl), ...former]),
    authorityHost: authorityOf(settings),
  }
}

function authorityOf({ authorityHost, ambientAuthorityHost }: AzureSettings): string | undefined {
  return authorityHost ?? (ambientAuthorityHost || undefined)
}
