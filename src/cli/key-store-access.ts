// The key records of the configured data folder, for commands that only read.
import { SidecarError } from '../base/errors.ts'
import type { KeyRecordKind, KeyStore } from '../keys/records/keystore.ts'
import { hasStoredData, openReadOnlyKeyStore } from '../store/read-only-key-store.ts'

export interface OpenKeyStore {
  readonly store: KeyStore
  close(): Promise<void>
}

/** Rejects CONFIG when there is no data in the folder. */
export async function openKeyStore(directory: string): Promise<OpenKeyStore> {
  requireData(directory)
  return openReadOnlyKeyStore<KeyRecordKind>(directory)
}

/** Throws CONFIG when there is no data in the folder. */
export function requireData(directory: string): void {
  if (!hasStoredData(directory))
    throw new SidecarError('CONFIG', `storage.directory: ${directory}: there is no data in it`)
}
