// How the key commands reach records and key service. Who writes takes the folder's lock, so it never writes beside a
// running sidecar, whose caches would not notice.
import { type Clock, systemClock } from '../../base/clock.ts'
import { SidecarError } from '../../base/errors.ts'
import { silentTelemetry } from '../../base/telemetry.ts'
import type { KmsSettings } from '../../config/load.ts'
import type { SidecarConfig } from '../../config/schema.ts'
import type { ErasableKeyStore } from '../../keys/operations/shred.ts'
import type { KeyRecordKind } from '../../keys/records/keystore.ts'
import type { Kms } from '../../kms/kms.ts'
import { MeteredKms } from '../../kms/metered-kms.ts'
import { loadFormerKms } from '../../service/former-kms.ts'
import { openKms, requestMsMax } from '../../service/kms.ts'
import { openErasableKeyStore } from '../../store/erasable-key-store.ts'
import { loadFromArguments, reportFindings } from '../config-options.ts'
import { openKeyStore, requireData } from '../key-store-access.ts'
import type { CommandIo } from '../terminal.ts'

export interface WritableRecords {
  readonly config: SidecarConfig
  readonly store: ErasableKeyStore
  readonly clock: Clock
  close(): Promise<void>
}

export interface WritableKeys extends WritableRecords {
  readonly kms: Kms
}

/** The configuration that the command line names. Rejects CONFIG after its problems were printed. */
export async function loadKeysConfig(configArgv: readonly string[], io: CommandIo): Promise<SidecarConfig> {
  const loaded = await loadFromArguments(configArgv, io)
  if (loaded.config !== undefined) return loaded.config
  reportFindings(loaded, io)
  throw new SidecarError('CONFIG', 'the configuration has problems')
}

/** The configured key service, each call bounded in time. With `create`, a local key file that is not there is made. */
export async function openConfiguredKms(config: KmsSettings, io: CommandIo, create = false): Promise<Kms> {
  const { log, registry } = silentTelemetry()
  // Working on keys that exist endangers nothing new, so the local service need not be refused in production.
  const kms = await openKms(config, { ...io.env, NODE_ENV: undefined }, log, create)
  return new MeteredKms({
    kms,
    registry,
    log,
    clock: systemClock,
    requestMsMax: requestMsMax(config.kms.request),
  })
}

/** The key service of an earlier configuration, see `loadFormerKms`; `undefined` for no file. Rejects CONFIG. */
export async function openFormerKms(paths: readonly string[], io: CommandIo): Promise<Kms | undefined> {
  if (paths.length === 0) return undefined
  const loaded = await loadFormerKms(paths, io.env, io.cwd)
  if (loaded.config !== undefined) return openConfiguredKms(loaded.config, io)
  reportFindings(loaded, io)
  throw new SidecarError('CONFIG', '--from: the configuration has problems')
}

/** Records for writing, without the key service, which may be gone. Rejects CONFIG; STORE_LOCKED while a sidecar runs on the folder. */
export async function openWritableRecords(
  configArgv: readonly string[],
  io: CommandIo,
): Promise<WritableRecords> {
  const config = await loadKeysConfig(configArgv, io)
  const { directory } = config.storage
  requireData(directory)
  const { store, close } = await openErasableKeyStore<KeyRecordKind>(directory)
  return { config, store, clock: systemClock, close }
}

/** Key service and records, for writing. Rejects as `openWritableRecords` does. */
export async function openWritableKeys(
  configArgv: readonly string[],
  io: CommandIo,
  create: boolean,
): Promise<WritableKeys> {
  const records = await openWritableRecords(configArgv, io)
  try {
    const kms = await openConfiguredKms(records.config, io, create)
    const close = async (): Promise<void> => {
      await records.close()
      await kms.close()
    }
    return { ...records, kms, close }
  } catch (thrown) {
    await records.close()
    throw thrown
  }
}

/** Records and key service, for reading beside a running sidecar. */
export async function openReadableKeys(
  configArgv: readonly string[],
  io: CommandIo,
): Promise<Omit<WritableKeys, 'store' | 'clock'> & Awaited<ReturnType<typeof openKeyStore>>> {
  const config = await loadKeysConfig(configArgv, io)
  const records = await openKeyStore(config.storage.directory)
  try {
    const kms = await openConfiguredKms(config, io)
    const close = async (): Promise<void> => {
      await records.close()
      await kms.close()
    }
    return { config, kms, store: records.store, close }
  } catch (thrown) {
    await records.close()
    throw thrown
  }
}
