import { join } from 'node:path'
import type { SidecarConfig } from '../config/schema.ts'
import { SidecarError } from '../errors.ts'
import type { Kms } from '../keys/kms.ts'
import type { Logger } from '../telemetry.ts'

/** Opens the configured key service, and loads nothing of the others. Rejects CONFIG with one line. */
export async function openKms(
  config: SidecarConfig,
  env: Readonly<Record<string, string | undefined>>,
  log: Logger,
  create = true,
): Promise<Kms> {
  const { kms, storage } = config
  if (kms.provider !== 'local') {
    throw new SidecarError(
      'CONFIG',
      `kms.provider: ${kms.provider} is not built in yet; the one that is: local`,
    )
  }
  const { openLocalKms } = await import('../keys/providers/local.ts')
  return openLocalKms({
    keyFile: kms.local.keyFile ?? join(storage.directory, 'local-kms.key'),
    allowInProduction: kms.local.allowInProduction,
    nodeEnv: env.NODE_ENV,
    tenantKeyMapping: kms.tenantKeyMapping,
    create,
    log,
  })
}
