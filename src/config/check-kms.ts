// What the chosen key service makes of its settings: the checks of its own start, which load none of its clients, so that
// what is valid here is not refused there.
import { awsSettingProblems } from '../kms/aws/arn.ts'
import { azureSettingProblems } from '../kms/azure/settings.ts'
import { gcpSettingProblems } from '../kms/gcp/settings.ts'
import { localSettingProblems } from '../kms/local/settings.ts'
import type { SettingProblem } from '../kms/setting-problem.ts'
import { vaultSettingProblems } from '../kms/vault/settings.ts'
import type { Environment } from './environment.ts'
import type { KmsConfig, KmsProviderName } from './schema.ts'

export function kmsSettingProblems(config: KmsConfig, env: Environment): readonly SettingProblem[] {
  const { tenantKeyMapping, replicas } = config
  switch (config.provider) {
    case 'local':
      return localSettingProblems(config)
    case 'aws':
      return awsSettingProblems({ ...config.aws, replicas, tenantKeyMapping })
    case 'vault':
      return vaultSettingProblems({ ...config.vault, tenantKeyMapping })
    case 'gcp':
      return gcpSettingProblems({ ...config.gcp, tenantKeyMapping })
    case 'azure': {
      const ambientAuthorityHost = env.AZURE_AUTHORITY_HOST
      return azureSettingProblems({ ...config.azure, tenantKeyMapping, ambientAuthorityHost })
    }
  }
}

/** Settings without which the chosen provider cannot work, below `kms`. */
export function missingKmsSettings({
  provider,
  aws,
  vault,
  gcp,
  azure,
}: KmsConfig): readonly (readonly string[])[] {
  const needed: Record<KmsProviderName, readonly (readonly [string, string])[]> = {
    local: [],
    aws: [
      ['aws.master_key_id', aws.masterKeyId],
      ['aws.region', aws.region],
    ],
    vault: [
      ['vault.address', vault.address],
      ['vault.key_name', vault.keyName],
    ],
    gcp: [
      ['gcp.project_id', gcp.projectId],
      ['gcp.location', gcp.location],
      ['gcp.key_ring', gcp.keyRing],
      ['gcp.key_name', gcp.keyName],
    ],
    azure: [
      ['azure.vault_uri', azure.vaultUri],
      ['azure.key_name', azure.keyName],
    ],
  }
  return needed[provider].flatMap(([name, value]) => (value === '' ? [name.split('.')] : []))
}
