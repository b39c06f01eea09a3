import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Registry } from '../../../src/base/telemetry.ts'
import { entryKey, Part } from '../../../src/store/entry.ts'
import { Store } from '../../../src/store/store.ts'
import { entryOf, openStore, testFolder } from './folder.ts'
import { record } from './record.ts'

const isRoot = process.getuid?.() === 0

describe('a full disk', () => {
  test.skipIf(!isRoot)(
    'fails the append with nothing half written, is reported, and is over when there is room (needs root, to mount a tmpfs)',
    async () => {
      const folder = testFolder()
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', folder])
      onTestFinished(() => void execFileSync('umount', ['-l', folder]))
      const store = await openStore(folder)
      const taken: number[] = []
      let failure: unknown
      for (let i = 0; i < 100 && !failure; i++) {
        try {
          taken.push(await store.append(entryOf(300_000), [record('statements', `s${i}`)]).durable)
        } catch (thrown) {
          failure = thrown
        }
      }
      expect(failure).toMatchObject({ code: 'STORE_FAILED' })
      expect(store.health()).toMatchObject({ ok: false, isStuck: false })
      expect(store.queuedItems).toBe(3 * taken.length)
      const found = store.next('traces:next', 0, 1_000)
      expect(found.map(({ sequence }) => sequence)).toEqual(taken)
      expect(store.table('statements').range()).toHaveLength(taken.length)
      for (const { sequence } of found) store.ack('traces:next', sequence)
      await expect.poll(() => store.health().ok).toBe(true)
      await expect.poll(() => store.queueBytesUsed).toBe(0)
      // lmdb does not use pages again that the last transaction freed; one commit later it does.
      await store.append(undefined, [record('meta', 'one commit later')]).durable
      expect(await store.append(entryOf(300_000), []).durable).toBeGreaterThan(taken.length)
      await store.close()
    },
  )
})

describe('a damaged entry', () => {
  // The environment is opened once more, past our own code, to change single records.
  async function damage(
    folder: string,
    change: (queue: {
      get(key: Buffer): Buffer | undefined
      put(key: Buffer, value: Buffer): Promise<unknown>
      remove(key: Buffer): Promise<unknown>
    }) => Promise<unknown>,
  ) {
    const root = open<Buffer, Buffer>({
      path: folder,
      overlappingSync: false,
      encoding: 'binary',
      keyEncoding: 'binary',
    })
    await change(root.openDB<Buffer, Buffer>({ name: 'queue', encoding: 'binary', keyEncoding: 'binary' }))
    await root.close()
  }

  const flip = (bytes: Buffer | undefined, at: number): Buffer => {
    if (!bytes) throw new Error('the record must be there')
    const damaged = Buffer.from(bytes)
    damaged[at] ^= 1
    return damaged
  }

  test.each([
    [
      'a flipped bit in the body',
      async (queue) =>
        queue.put(entryKey(Part.BODY, 'traces', 2), flip(queue.get(entryKey(Part.BODY, 'traces', 2)), 99)),
      3,
    ],
    ['a body that is gone', async (queue) => queue.remove(entryKey(Part.BODY, 'traces', 2)), 3],
    [
      'a flipped bit in the header',
      async (queue) =>
        queue.put(entryKey(Part.HEADER, 'traces', 2), flip(queue.get(entryKey(Part.HEADER, 'traces', 2)), 5)),
      0,
    ],
    ['a header cut short', async (queue) => queue.put(entryKey(Part.HEADER, 'traces', 2), Buffer.of(1)), 0],
  ] as [string, Parameters<typeof damage>[1], number][])(
    '(%s) is set aside and counted, and the others go on',
    async (_name, change, items) => {
      const folder = testFolder()
      const first = await openStore(folder)
      await Promise.all([1, 2, 3].map(() => first.append(entryOf(5_000), []).durable))
      await first.close()
      await damage(folder, change)
      const registry = new Registry()
      const store = await Store.open({ directory: folder }, [{ signal: 'traces', id: 'next' }], { registry })
      expect(store.next('traces:next', 0, 9).map(({ sequence }) => sequence)).toEqual([1, 3])
      const text = await registry.metrics()
      expect(text).toContain('betrace_store_corrupt_entries_total 1')
      expect(text).toContain(`betrace_store_corrupt_items_total ${items}`)
      for (const sequence of [1, 3]) store.ack('traces:next', sequence)
      await expect.poll(() => store.queueBytesUsed).toBe(0)
      expect(store.queuedItems).toBe(0)
      await expect.poll(() => store.table('corrupt').range().length).toBeGreaterThan(0)
      await store.close()
      const again = await openStore(folder)
      expect(again.queuedItems).toBe(0)
      await again.close()
    },
  )
})

describe('a folder that cannot be used', () => {
  test('is one clear error when the data file is none', async () => {
    const folder = testFolder()
    writeFileSync(join(folder, 'data.mdb'), Buffer.alloc(100_000, 0x41))
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      message: 'the data file is damaged',
    })
  })

  test('is an error and not the end of the process when the data file was cut short anywhere', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    for (let i = 0; i < 20; i++) await store.append(entryOf(20_000), [record('statements', `s${i}`)]).durable
    await store.close()
    const whole = readFileSync(join(folder, 'data.mdb'))
    const size = statSync(join(folder, 'data.mdb')).size
    for (const bytes of [1, 100, 4_096, 8_192, 12_288, 100_000, Math.floor(size / 2), size - 4_096]) {
      const copy = join(folder, `cut-${bytes}`)
      mkdirSync(copy)
      writeFileSync(join(copy, 'data.mdb'), whole)
      truncateSync(join(copy, 'data.mdb'), bytes)
      let outcome: string
      try {
        const opened = await openStore(copy)
        outcome = `${opened.next('traces:next', 0, 99).length} entries`
        await opened.close()
      } catch (thrown) {
        outcome = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown)
      }
      expect(outcome, `${bytes} bytes left`).toMatch(/^(STORE_CORRUPT|\d+ entries)$/)
    }
  })

  test('is one clear error when a file stands in its place', async () => {
    const file = join(testFolder(), 'file')
    writeFileSync(file, '')
    await expect(openStore(file)).rejects.toMatchObject({ code: 'STORE_FAILED' })
  })

  test.skipIf(!isRoot)(
    'is one clear error when it cannot be written (needs root, to mount a tmpfs)',
    async () => {
      const folder = testFolder()
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', folder])
      onTestFinished(() => void execFileSync('umount', ['-l', folder]))
      await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    },
  )
})
