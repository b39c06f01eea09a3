// How `betrace reveal` reaches the key service: by the sidecar's configuration, or by a local key file alone. Nothing is
// ever made here: a wrong path is an error, not a new key.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../clock.ts'
import { SidecarError } from '../errors.ts'
import { openLocalKms } from '../keys/providers/local.ts'
import type { RevealParts } from '../keys/reveal.ts'
import { rewrappedKey } from '../keys/rewrap.ts'
import { openSecretOf } from '../keys/tenant-secret.ts'
import { openKms } from '../service/kms.ts'
import { silentTelemetry } from '../telemetry.ts'
import { BUILD_ABILITIES } from './build-abilities.ts'
import { loadFromArguments, reportFindings } from './config-options.ts'
import { openKeyStore } from './key-store-access.ts'
import type { CommandIo } from './terminal.ts'

export interface RevealAccess extends RevealParts {
  close(): Promise<void>
}

export interface AccessArguments {
  readonly keyFile: string | undefined
  /** `--config`, `--set` and `--properties`, as they were given. */
  readonly configArgv: readonly string[]
}

/** Rejects CONFIG or USAGE with one line. */
export async function revealAccess(args: AccessArguments, io: CommandIo): Promise<RevealAccess> {
  const { log } = silentTelemetry()
  if (args.keyFile !== undefined) {
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
  const loaded = await loadFromArguments(args.configArgv, io, BUILD_ABILITIES)
  const { config } = loaded
  if (config === undefined) {
    reportFindings(loaded, io)
    throw new SidecarError('CONFIG', 'the configuration has problems')
  }
  const kms = await openKms(config, {}, log, false)
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
      if (!existsSync(join(config.storage.directory, 'data.mdb'))) return undefined
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
