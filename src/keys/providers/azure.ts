// Azure Key Vault and Managed HSM: the settings, and what they are checked for.
import { type Clock, systemClock } from '../../clock.ts'
import { SidecarError } from '../../errors.ts'
import type { Logger } from '../../telemetry.ts'
import type { Kms } from '../kms.ts'
import type { CallLimits } from './attempts.ts'
import { CurrentKeys } from './azure-current-key.ts'
import { azureError } from './azure-errors.ts'
import { type AzureKeyId, formatKeyId, parseKeyReference, parseVaultUrl } from './azure-key-id.ts'
import { AzureKms } from './azure-kms.ts'
import { type AzureSecretText, AzureVault, loadAzureSdk } from './azure-vault.ts'

export interface AzureKmsOptions {
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
  /** PEM of the authorities that may vouch for vault and Entra ID, instead of the public ones. */
  readonly caFile?: string | undefined
  readonly request: CallLimits
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  /** For jitter only; `Math.random` when absent. */
  readonly random?: () => number
  readonly clock?: Clock
}

/** What the client library takes; it would throw an error of its own for the rest. */
const TENANT_ID = /^[0-9A-Za-z.-]+$/

/** Loads the client libraries and checks the settings; the first call connects. Rejects CONFIG with one line. */
export async function openAzureKms(options: AzureKmsOptions): Promise<Kms> {
  const { log, env, request, clock = systemClock } = options
  log.info('Initializing KMS provider: azure')
  const vaultUrl = requireVaultUrl('azure.vault_uri', options.vaultUri)
  const master = requireKey('azure.key_name', options.keyName, vaultUrl)
  const ofTenants = new Map<string, AzureKeyId>()
  for (const [tenant, name] of options.tenantKeyMapping) {
    ofTenants.set(tenant, requireKey('tenant_key_mapping', name, vaultUrl))
  }
  const former = (options.formerVaultUris ?? []).map((uri) => requireVaultUrl('azure.former_vault_uris', uri))
  const authorityHost = options.authorityHost ?? env.AZURE_AUTHORITY_HOST
  if (authorityHost !== undefined && URL.parse(authorityHost)?.protocol !== 'https:') {
    throw new SidecarError('CONFIG', 'kms.azure.authority_host: must be a URL that starts with https://')
  }
  if (options.tenantId !== undefined && !TENANT_ID.test(options.tenantId)) {
    throw new SidecarError('CONFIG', 'kms.azure.tenant_id: must be the id of a tenant or one of its domains')
  }
  const vault = new AzureVault(await loadAzureSdk(), {
    tenantId: options.tenantId,
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    authorityHost,
    caFile: options.caFile,
    connectTimeoutMs: request.connectTimeoutMs,
    isProxied: ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].some((name) => env[name]),
  })
  log.info(`Using Azure Key Vault - vault: ${vaultUrl}, key: ${formatKeyId(master)}`)
  return new AzureKms({
    vault,
    master,
    ofTenants,
    trustedVaults: new Set([vaultUrl, ...[...ofTenants.values()].map((key) => key.vaultUrl), ...former]),
    currentKeys: new CurrentKeys(vault, request.timeoutMs, clock),
    attempts: { limits: request, random: options.random ?? Math.random, errorOf: azureError },
    clock,
  })
}

function requireVaultUrl(setting: string, text: string): string {
  const vaultUrl = parseVaultUrl(text)
  if (vaultUrl !== undefined) return vaultUrl
  throw new SidecarError('CONFIG', `kms.${setting}: must be https:// and the vault's host name`)
}

function requireKey(setting: string, text: string, vaultUrl: string): AzureKeyId {
  const key = parseKeyReference(text, vaultUrl)
  if (key !== undefined) return key
  throw new SidecarError(
    'CONFIG',
    `kms.${setting}: a key is a name of letters, digits and dashes, or https://<vault>/keys/<name>`,
  )
}
