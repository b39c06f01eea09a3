// A file of the queue written anew with some of its entries. It takes the old one's name when all of it is on disk, so a
// death on the way leaves the old one.
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from '../base/directory.ts'
import { SidecarError } from '../base/errors.ts'
import { AppendFile } from './append-file.ts'
import { entryBytes, type QueueEntry } from './entry.ts'
import { type Extent, NO_EXTENT } from './extent.ts'
import type { FileHead } from './file-head.ts'
import { JournalWrite } from './journal-write.ts'
import type { Rewritten } from './segment.ts'
import type { KeyedValue } from './table.ts'

type Place = Rewritten['places'][number]

const WRITE_BYTES = 4 * 1024 * 1024

/** Rejects STORE_CORRUPT when an entry is `undefined`, and then the old file stays. Their statements must be filed. */
export async function rewriteSegment(
  path: string,
  name: Pick<FileHead, 'log' | 'file' | 'secret'>,
  before: Extent = NO_EXTENT,
  entries: Iterable<QueueEntry | undefined>,
  cursors: readonly KeyedValue[] = [],
): Promise<Rewritten> {
  const temporary = `${path}.new`
  const head = { ...name, whole: undefined, before }
  const file = await AppendFile.create(temporary, head)
  try {
    const places = await writeEntries(file, entries, cursors)
    await file.seal(head)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
    return { extent: file.extent, places }
  } catch (thrown) {
    await rm(temporary, { force: true })
    throw thrown
  } finally {
    file.close()
  }
}

async function writeEntries(
  file: AppendFile,
  entries: Iterable<QueueEntry | undefined>,
  cursors: readonly KeyedValue[],
): Promise<Rewritten['places']> {
  const places: Place[] = []
  let write = new JournalWrite(file.tag, file.extent, 0)
  if (cursors.length > 0) write.addCursors(cursors)
  const flush = async (): Promise<void> => {
    await file.append(write.parts)
    file.advance(write.extent)
    write = new JournalWrite(file.tag, file.extent, write.sequence)
  }
  for (const entry of entries) {
    if (!entry) throw new SidecarError('STORE_CORRUPT', 'a queue entry cannot be read')
    const { signal, sequence, itemCount, body, refs } = entry
    const bytes = entryBytes(body.length, refs.length)
    places.push({ signal, sequence, offset: write.extent.endAt, itemCount, bytes })
    write.add({ entry, statements: [] })
    if (write.extent.endAt - file.extent.endAt > WRITE_BYTES) await flush()
  }
  if (write.extent.records > file.extent.records) await flush()
  return places
}
