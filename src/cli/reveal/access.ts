// How `betrace reveal` reaches the key service: by the sidecar's configuration, or by a local key file alone. Nothing is
// ever made here: a wrong path is an error, not a new key.

import { systemClock } from '../../base/clock.ts'
import { silentTelemetry } from '../../base/telemetry.ts'
import { openSecretOf } from '../../keys/data/tenant-secret.ts'
import type { RevealSettings } from '../../keys/operations/reveal.ts'
import { rewrappedKey } from '../../keys/operations/rewrap.ts'
import { openLocalKms } from '../../kms/local/open.ts'
import { hasStoredData } from '../../store/read-only-key-store.ts'
import { openKeyStore } from '../key-store-access.ts'
import { loadKeysConfig, openConfiguredKms } from '../keys/access.ts'
import type { CommandIo } from '../terminal.ts'

export interface RevealAccess extends RevealSettings {
  close(): Promise<void>
}

export interface AccessArguments {
  readonly keyFile: string | undefined
  /** `--config`, `--set` and `--properties`, as they were given. */
  readonly configArgv: readonly string[]
}

/** Rejects CONFIG or USAGE with one line. */
export async function revealAccess(args: AccessArguments, io: CommandIo): Promise<RevealAccess> {
  if (args.keyFile !== undefined) {
    const { log } = silentTelemetry()
    const kms = await openLocalKms({
      keyFile: args.keyFile,
      allowInProduction: true, // opening what is sealed already endangers nothing new
      nodeEnv: undefined,
      tenantKeyMapping: new Map(),
      create: false,
      log,
    })
    return { kms, close: () => kms.close() }
  }
  const config = await loadKeysConfig(args.configArgv, io)
  const kms = await openConfiguredKms(config, io)
  return {
    kms,
    // The store is only opened when a value needs it: a running sidecar holds it.
    tenantSecret: async (tenant, id, signal, kid) => {
      const { store, close } = await openKeyStore(config.storage.directory)
      try {
        return await openSecretOf({ kms, store, clock: systemClock }, tenant, id, signal, kid)
      } finally {
        await close()
      }
    },
    // A later wrapping is a help, never a need: values open without the folder.
    rewrapped: async (tenant, kid) => {
      if (!hasStoredData(config.storage.directory)) return undefined
      const { store, close } = await openKeyStore(config.storage.directory)
      try {
        return rewrappedKey(store, tenant, kid)
      } finally {
        await close()
      }
    },
    close: () => kms.close(),
  }
}
