import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { NewEntry } from '../../../src/store/entry.ts'
import { Store } from '../../../src/store/store.ts'
import type { Signal } from '../../../src/wire/otlp.ts'

/** A folder of the running test's own, gone when it ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-store-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An entry of `bytes` equal bytes. */
export function entryOf(bytes: number, signal: Signal = 'traces', fill = 7): NewEntry {
  return {
    signal,
    itemCount: 3,
    acceptedAtMs: 1_700_000_000_123,
    body: Buffer.alloc(bytes, fill),
    refs: Buffer.of(fill),
  }
}

/** A store with one consumer of traces, `traces:next`, unless others are named. */
export function openStore(
  directory: string,
  ids: readonly string[] = ['next'],
  options: {
    queueBytesMax?: number
    readCacheBytesMax?: number
    evidenceBytesMax?: number
    segmentBytes?: number
  } = {},
): Promise<Store> {
  return Store.open(
    { directory, ...options },
    ids.map((id) => ({ signal: 'traces', id })),
  )
}
