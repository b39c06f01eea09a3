import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { openLocalKms } from '../../../src/kms/local/open.ts'
import { type CaseName, everyCaseProven, type KmsTarget, kmsConformance } from './conformance.ts'

const NO_NETWORK = 'it is in the process: no network, no server'
const NO_STATES = 'its keys are files, which have no states'
const CANNOT: Partial<Record<CaseName, string>> = {
  key_unknown: 'it makes the key that it is opened with',
  key_disabled: NO_STATES,
  key_pending_deletion: NO_STATES,
  rotated: 'it has no rotation of master keys',
  permission_denied: 'the mode of the key file is checked when it is opened',
  sign_ed25519: 'it has no asymmetric keys',
  sign_p256: 'it has no asymmetric keys',
  slow: NO_NETWORK,
  throttled: NO_NETWORK,
  throttled_briefly: NO_NETWORK,
  broken: NO_NETWORK,
  broken_briefly: NO_NETWORK,
  hung: NO_NETWORK,
  hung_in_answer: NO_NETWORK,
  aborted: NO_NETWORK,
  refused: NO_NETWORK,
  reset: NO_NETWORK,
  half_answer: NO_NETWORK,
  tls_untrusted: NO_NETWORK,
  tls_plain: NO_NETWORK,
  tls_silent: NO_NETWORK,
  clock_skew: NO_NETWORK,
}

function localTarget(): KmsTarget {
  let folder = ''
  let made = 0
  return {
    provider: 'local',
    cannot: CANNOT,
    start: async () => {
      folder = mkdtempSync(join(tmpdir(), 'betrace-kms-local-'))
    },
    stop: async () => rmSync(folder, { recursive: true, force: true }),
    open: ({ tenantKeys }) =>
      openLocalKms({
        keyFile: join(folder, 'local-kms.key'),
        allowInProduction: false,
        nodeEnv: undefined,
        tenantKeyMapping: tenantKeys ?? new Map(),
        create: true,
        log: silentTelemetry().log,
      }),
    createKey: async () => `key-${made++}`,
    unknownKey: () => 'local:AAAAAAAAAAAAAAAA',
    secrets: () => [],
  }
}

kmsConformance('local', localTarget())
everyCaseProven('local', CANNOT)
