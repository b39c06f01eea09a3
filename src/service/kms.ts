import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import type { SidecarConfig } from '../config/schema.ts'
import { SidecarError } from '../errors.ts'
import { BreakerKms } from '../keys/breaker-kms.ts'
import type { Kms } from '../keys/kms.ts'
import type { Logger, Telemetry } from '../telemetry.ts'

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

/** What the running sidecar calls: the key service behind its circuit breakers. Closing it closes the service. */
export function guardKms(
  kms: Kms,
  config: SidecarConfig,
  around: Telemetry & { readonly clock: Clock },
): BreakerKms {
  const { breaker, request, tenantKeyMapping } = config.kms
  return new BreakerKms({
    kms,
    options: breaker,
    requestMsMax: request.timeoutMs,
    tenantKeyMapping,
    ...around,
  })
}
