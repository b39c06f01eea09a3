// Azure Key Vault and Managed HSM: opening them.
import { type Clock, systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/telemetry.ts'
import type { CallLimits } from '../attempts.ts'
import type { Kms } from '../kms.ts'
import { CurrentKeys } from './current-key.ts'
import { azureError } from './errors.ts'
import { formatKeyId } from './key-id.ts'
import { AzureKms } from './kms.ts'
import { type AzureSettings, readAzureSettings } from './settings.ts'
import { AzureVault, loadAzureSdk } from './vault.ts'

export interface AzureKmsOptions extends Omit<AzureSettings, 'ambientAuthorityHost'> {
  /** PEM of the authorities that may vouch for vault and Entra ID, instead of the public ones. */
  readonly caFile?: string | undefined
  readonly request: CallLimits
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  /** For jitter only; `Math.random` when absent. */
  readonly random?: () => number
  readonly clock?: Clock
}

/** Loads the client libraries and checks the settings; the first call connects. Rejects CONFIG with one line. */
export async function openAzureKms(options: AzureKmsOptions): Promise<Kms> {
  const { log, env, request, clock = systemClock } = options
  log.info('Initializing KMS provider: azure')
  const settings = { ...options, ambientAuthorityHost: env.AZURE_AUTHORITY_HOST }
  const { vaultUrl, master, ofTenants, trustedVaults, authorityHost } = readAzureSettings(settings)
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
    trustedVaults,
    currentKeys: new CurrentKeys(vault, request.timeoutMs, clock),
    attempts: { limits: request, random: options.random ?? Math.random, errorOf: azureError },
    clock,
  })
}
