import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { Logger, Telemetry } from '../base/telemetry.ts'
import type { KmsSettings } from '../config/load.ts'
import type { SidecarConfig } from '../config/schema.ts'
import { BreakerKms } from '../kms/breaker-kms.ts'
import type { Kms, NamedMasterKey } from '../kms/kms.ts'
import { MeteredKms } from '../kms/metered-kms.ts'

const ATTEMPT_PAUSE_MS_MAX = 2_000

/**
 * Opens the configured key service, and loads nothing of the others. `local` makes key files with `create`, but none in the
 * place of one that `namedKeys`, the local master keys of stored records, show to be lost. Rejects CONFIG with one line.
 */
export async function openKms(
  config: KmsSettings,
  env: Readonly<Record<string, string | undefined>>,
  log: Logger,
  create = true,
  namedKeys?: () => Iterable<NamedMasterKey>,
): Promise<Kms> {
  const { kms, storage } = config
  const { request, tenantKeyMapping, replicas } = kms
  switch (kms.provider) {
    case 'local': {
      const { openLocalKms } = await import('../kms/local/open.ts')
      return openLocalKms({
        keyFile: kms.local.keyFile ?? join(storage.directory, 'local-kms.key'),
        allowInProduction: kms.local.allowInProduction,
        nodeEnv: env.NODE_ENV,
        tenantKeyMapping,
        create,
        namedKeys,
        log,
      })
    }
    case 'aws': {
      const { openAwsKms } = await import('../kms/aws/open.ts')
      return openAwsKms({ ...kms.aws, replicas, tenantKeyMapping, request, log })
    }
    case 'vault': {
      const { openVaultKms } = await import('../kms/vault/open.ts')
      return openVaultKms({ ...kms.vault, tenantKeyMapping, request, log })
    }
    case 'gcp': {
      const { openGcpKms } = await import('../kms/gcp/open.ts')
      return openGcpKms({ ...kms.gcp, tenantKeyMapping, request, log })
    }
    case 'azure': {
      const { openAzureKms } = await import('../kms/azure/open.ts')
      return openAzureKms({ ...kms.azure, tenantKeyMapping, request, env, log })
    }
  }
}

/** One call with all its attempts and the pauses between them; what takes longer has failed. */
export function requestMsMax({ timeoutMs, attemptsMax }: SidecarConfig['kms']['request']): number {
  return timeoutMs * attemptsMax + ATTEMPT_PAUSE_MS_MAX * (attemptsMax - 1)
}

/** What the running sidecar calls: the key service behind its circuit breakers. Closing it closes the service. */
export function guardKms(
  kms: Kms,
  config: SidecarConfig,
  around: Telemetry & { readonly clock: Clock },
): BreakerKms {
  const { breaker, request } = config.kms
  return new BreakerKms({
    kms,
    options: breaker,
    requestMsMax: requestMsMax(request),
    answerMsMax: request.timeoutMs,
    ...around,
  })
}

/**
 * The key service itself, counted and bounded in time, for calls that must neither trip a breaker nor meet one.
 * `isUntrusted`: what they are about came from outside, so that its refusal alarms nobody.
 */
export function meterKms(
  kms: Kms,
  config: SidecarConfig,
  around: Telemetry & { readonly clock: Clock },
  isUntrusted: boolean,
): MeteredKms {
  const callMsMax = requestMsMax(config.kms.request)
  return new MeteredKms({ kms, requestMsMax: callMsMax, isUntrusted, ...around })
}
