// The key records of a data folder, for commands that only read. A reader of its own beside the sidecar that runs on the
// folder: no lock is taken, no boot counted, nothing written.
import { SidecarError } from '../base/errors.ts'
import { damageError } from './damage.ts'
import { hasStore, markPath, refuseFormerFormat } from './data-folder.ts'
import { type OpenedKeys, openKeyIndex } from './key-index.ts'
import { type StoredKeys, storeKeyStore } from './key-store.ts'
import { readMark } from './mark.ts'

export interface OpenKeyStore<Kind extends string> {
  readonly store: StoredKeys<Kind>
  close(): Promise<void>
}

/** The running sidecar writes the files anew at times, between our looks at the mark and at them. */
const ATTEMPTS = 3

/** Whether there is a store in the folder. */
export function hasStoredData(directory: string): boolean {
  refuseFormerFormat(directory)
  return hasStore(directory)
}

/** Throws STORE_CORRUPT when key records are missing. `hasStoredData` was true. */
export function openReadOnlyKeyStore<Kind extends string>(directory: string): OpenKeyStore<Kind> {
  const { index, losses } = readKeys(directory)
  if (losses.length > 0) {
    index.close()
    throw damageError(losses)
  }
  const refuse = async (): Promise<never> => {
    throw new SidecarError('INTERNAL', 'a command does not write key records')
  }
  const keys = {
    get: index.get.bind(index),
    range: index.range.bind(index),
    put: refuse,
    remove: refuse,
  }
  return { store: storeKeyStore<Kind>({ keys }), close: async () => index.close() }
}

function readKeys(directory: string): OpenedKeys {
  for (let attempt = 1; ; attempt++) {
    const state = readMark(markPath(directory))
    if (!state)
      throw new SidecarError(
        'STORE_CORRUPT',
        'the mark of the data folder is gone or damaged; betrace store salvage goes on with what is left',
      )
    const { file, extent } = state.keys
    const opened = openKeyIndex({ directory, secret: Buffer.from(state.secret, 'hex'), file }, extent)
    const isSettled = readMark(markPath(directory))?.keys.file === file
    if ((opened.losses.length === 0 && isSettled) || attempt === ATTEMPTS) return opened
    opened.index.close()
  }
}
