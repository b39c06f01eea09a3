import { dirname, join } from 'node:path'
import type { SidecarConfig } from '../../config/schema.ts'

/** The provider's commands that destroy a tenant's own master key. We cannot see that it was done, and do not say so. */
export function masterKeyDeletion({ kms, storage }: SidecarConfig, key: string): string[] {
  switch (kms.provider) {
    case 'aws':
      return [`aws kms schedule-key-deletion --key-id ${key} --pending-window-in-days 7`]
    case 'vault':
      return [
        `bao write ${kms.vault.mount}/keys/${key}/config deletion_allowed=true`,
        `bao delete ${kms.vault.mount}/keys/${key}`,
      ]
    case 'gcp': {
      const place = `--keyring ${kms.gcp.keyRing} --location ${kms.gcp.location} --project ${kms.gcp.projectId}`
      return [
        `gcloud kms keys versions list --key ${key} ${place}`,
        `gcloud kms keys versions destroy VERSION --key ${key} ${place}`,
      ]
    }
    case 'azure': {
      const vault = URL.canParse(kms.azure.vaultUri)
        ? new URL(kms.azure.vaultUri).hostname.split('.')[0]
        : 'VAULT'
      return [
        `az keyvault key delete --vault-name ${vault} --name ${key}`,
        `az keyvault key purge --vault-name ${vault} --name ${key}`,
      ]
    }
    case 'local': {
      const folder = kms.local.keyFile === undefined ? storage.directory : dirname(kms.local.keyFile)
      return [`shred -u ${join(folder, `local-kms-${key}.key`)}`]
    }
  }
}
