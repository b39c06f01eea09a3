// The key records of a data folder, for commands that only read. A reader of its own beside the sidecar that runs on the
// folder: no lock is taken, no boot counted, nothing written.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'
import { SidecarError } from '../base/errors.ts'
import type { KeyRecordKind, KeyStore } from '../keys/records/keystore.ts'
import { storeKeyStore } from '../store/key-store.ts'
import type { Table } from '../store/table.ts'

export interface OpenKeyStore {
  readonly store: KeyStore
  close(): Promise<void>
}

const refuse = async (): Promise<never> => {
  throw new SidecarError('INTERNAL', 'a command does not write key records')
}

/** Rejects CONFIG when there is no data in the folder. */
export async function openKeyStore(directory: string): Promise<OpenKeyStore> {
  if (!existsSync(join(directory, 'data.mdb'))) {
    throw new SidecarError('CONFIG', 'storage.directory: there is no data in it')
  }
  const encodings = { encoding: 'binary', keyEncoding: 'binary' } as const
  const root = open<Uint8Array, Uint8Array>({ path: directory, readOnly: true, maxDbs: 8, ...encodings })
  const keys = root.openDB<Uint8Array, Uint8Array>({ name: 'keys', ...encodings })
  const table: Table = {
    get: (key) => {
      const value = keys.get(key)
      return value && new Uint8Array(value)
    },
    range: (options = {}) =>
      [...keys.getRange(options)].map(({ key, value }) => ({
        key: new Uint8Array(key),
        value: new Uint8Array(value),
      })),
    put: refuse,
    remove: refuse,
  }
  // Of the store, key records need its table alone; what the records' keys look like stays in one place.
  const store = storeKeyStore<KeyRecordKind>({ table: () => table })
  return { store, close: () => root.close() }
}
