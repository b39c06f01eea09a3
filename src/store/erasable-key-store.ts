// The key records of a data folder, for commands that change them. It takes the folder's lock, so it never writes beside a
// running sidecar, whose caches would not notice.
import { SidecarError } from '../base/errors.ts'
import { damageError } from './damage.ts'
import { markPath } from './data-folder.ts'
import { KeyLog } from './key-log.ts'
import { type StoredKeys, storeKeyStore } from './key-store.ts'
import { lockDirectory } from './lock.ts'
import { Mark } from './mark.ts'

export interface ErasableKeys<Kind extends string> {
  /** `scrub` leaves no trace of what was replaced or removed in the files. */
  readonly store: StoredKeys<Kind> & { scrub(): Promise<void> }
  close(): Promise<void>
}

/** Rejects STORE_LOCKED while a sidecar runs on the folder, STORE_CORRUPT when records are missing. `hasStoredData` was true. */
export async function openErasableKeyStore<Kind extends string>(
  directory: string,
): Promise<ErasableKeys<Kind>> {
  const lock = lockDirectory(directory)
  try {
    const mark = Mark.open(markPath(directory))
    if (!mark)
      throw new SidecarError(
        'STORE_CORRUPT',
        'the mark of the data folder is gone or damaged; betrace store salvage goes on with what is left',
      )
    const { log, losses } = await KeyLog.open(directory, mark)
    const close = async (): Promise<void> => {
      await log.close()
      mark.close()
      lock.release()
    }
    if (losses.length === 0)
      return { store: { ...storeKeyStore<Kind>({ keys: log }), scrub: () => log.scrub() }, close }
    await close()
    throw damageError(losses)
  } catch (thrown) {
    lock.release()
    throw thrown
  }
}
