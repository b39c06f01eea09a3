// How the key commands reach records and key service. Who writes takes the folder's lock, so it never writes beside a
// running sidecar, whose caches would not notice.
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'
import { type Clock, systemClock } from '../../base/clock.ts'
import { syncDirectory } from '../../base/directory.ts'
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
import { type Environment, openEnvironment } from '../../store/environment.ts'
import { storeKeyStore } from '../../store/key-store.ts'
import { lockDirectory } from '../../store/lock.ts'
import { mapBytes, STORE_DEFAULTS } from '../../store/options.ts'
import { openTable } from '../../store/table.ts'
import { loadFromArguments, reportFindings } from '../config-options.ts'
import { openKeyStore } from '../key-store-access.ts'
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
  if (!existsSync(join(directory, DATA_FILE)))
    throw new SidecarError('CONFIG', 'storage.directory: there is no data in it')
  const lock = lockDirectory(directory)
  try {
    const store = new FolderKeyStore(directory, config)
    return {
      config,
      store,
      clock: systemClock,
      close: async () => {
        await store.close()
        lock.release()
      },
    }
  } catch (thrown) {
    lock.release()
    throw thrown
  }
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

const DATA_FILE = 'data.mdb'
const COPY_FOLDER = 'scrub'
const OLD_FILE = 'data.mdb.old'
const ZEROS = Buffer.alloc(1024 * 1024)

class FolderKeyStore implements ErasableKeyStore {
  readonly #directory: string
  readonly #mapBytes: number
  #environment: Environment

  constructor(directory: string, config: SidecarConfig) {
    this.#directory = directory
    this.#mapBytes = mapBytes({ ...STORE_DEFAULTS, ...config.storage })
    this.#environment = openEnvironment(directory, this.#mapBytes)
  }

  get(kind: KeyRecordKind, tenant: string, id: string): Uint8Array | undefined {
    return this.#records().get(kind, tenant, id)
  }

  list(kind: KeyRecordKind, tenant?: string): ReturnType<ErasableKeyStore['list']> {
    return this.#records().list(kind, tenant)
  }

  put(kind: KeyRecordKind, tenant: string, id: string, record: Uint8Array): Promise<void> {
    return this.#records().put(kind, tenant, id, record)
  }

  remove(kind: KeyRecordKind, tenant: string, id: string): Promise<void> {
    return this.#records().remove(kind, tenant, id)
  }

  /**
   * lmdb leaves what was removed on its free pages. So the file is copied without them and takes the old one's place, and
   * the old one is overwritten before it goes. A death on the way leaves one whole data file, and the next call ends it.
   */
  async scrub(): Promise<void> {
    await this.#environment.close()
    const copyFolder = join(this.#directory, COPY_FOLDER)
    const [data, old] = [join(this.#directory, DATA_FILE), join(this.#directory, OLD_FILE)]
    if (existsSync(old)) overwriteAndUnlink(old)
    rmSync(copyFolder, { recursive: true, force: true })
    mkdirSync(copyFolder, { mode: 0o700 })
    const root = open({ path: this.#directory, readOnly: true, maxDbs: 8 })
    await root.backup(copyFolder, true)
    await root.close()
    const copy = join(copyFolder, DATA_FILE)
    syncFile(copy)
    linkSync(data, old)
    renameSync(copy, data)
    await syncDirectory(this.#directory)
    overwriteAndUnlink(old)
    rmSync(copyFolder, { recursive: true, force: true })
    await syncDirectory(this.#directory)
    this.#environment = openEnvironment(this.#directory, this.#mapBytes)
  }

  close(): Promise<void> {
    return this.#environment.close()
  }

  #records(): ReturnType<typeof storeKeyStore<KeyRecordKind>> {
    const environment = this.#environment
    return storeKeyStore<KeyRecordKind>({
      table: (name) => openTable(environment, name, (write) => environment.commit([write])),
    })
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r+')
  fsyncSync(fd)
  closeSync(fd)
}

function overwriteAndUnlink(path: string): void {
  const fd = openSync(path, 'r+')
  const { size } = fstatSync(fd)
  for (let at = 0; at < size; at += ZEROS.length)
    writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, size - at), at)
  fsyncSync(fd)
  closeSync(fd)
  unlinkSync(path)
}
