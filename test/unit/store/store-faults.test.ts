import { execFileSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Registry } from '../../../src/base/telemetry.ts'
import { Store } from '../../../src/store/store.ts'
import { entryOf, openStore, testFolder } from './folder.ts'
import { record } from './record.ts'
import { statementsIn } from './statements.ts'

const isRoot = process.getuid?.() === 0
const codeOf = (run: () => unknown): unknown => {
  try {
    run()
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown ? thrown.code : thrown
  }
  return undefined
}

describe('a full disk', () => {
  test.skipIf(!isRoot)(
    'fails the append with nothing half written, is reported, and is over by itself when entries have left (needs root, to mount a tmpfs)',
    async () => {
      const folder = testFolder()
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', folder])
      onTestFinished(() => void execFileSync('umount', ['-l', folder]))
      const store = await openStore(folder, ['next'], { segmentBytes: 1_000_000 })
      const taken: number[] = []
      let failure: unknown
      for (let i = 0; i < 100 && !failure; i++) {
        try {
          taken.push(await store.append(entryOf(300_000), [record(`s${i}`, 'v'.repeat(5_000))]).durable)
        } catch (thrown) {
          failure = thrown
        }
      }
      expect(failure).toMatchObject({ code: 'STORE_FAILED' })
      expect(taken.length).toBeGreaterThan(10)
      expect(store.health()).toMatchObject({ ok: false, isStuck: false })
      expect(store.queuedItems).toBe(3 * taken.length)
      expect(statementsIn(folder)).toHaveLength(taken.length)
      const found = store.next('traces:next', 0, 1_000)
      expect(found.map(({ sequence }) => sequence)).toEqual(taken)
      for (const { sequence } of found) store.ack('traces:next', sequence)
      await expect.poll(() => store.health().ok).toBe(true)
      expect(store.queueBytesUsed).toBe(0)
      expect(await store.append(entryOf(300_000), [record('after')]).durable).toBeGreaterThan(taken.length)
      await store.close()
      const again = await openStore(folder)
      expect(again.queuedItems).toBe(3)
      await again.close()
    },
  )
})

describe('a consumer that is far behind', () => {
  test('does not keep the disk for what others have taken', async () => {
    const folder = testFolder()
    const consumers = [
      { signal: 'traces', id: 'next' },
      { signal: 'logs', id: 'next' },
    ] as const
    const open = () =>
      Store.open({ directory: folder, segmentBytes: 50_000, readCacheBytesMax: 0 }, consumers)
    const store = await open()
    for (let i = 0; i < 120; i++) {
      await store.append(entryOf(20_000), [record(`s${i}`)]).durable
      if (i % 10 === 0) await store.append(entryOf(100, 'logs', i), []).durable
      for (const { sequence } of store.next('traces:next', 0, 9)) store.ack('traces:next', sequence)
    }
    const bytes = (): number => {
      const names = readdirSync(join(folder, 'queue'))
      return names.reduce((sum, name) => sum + statSync(join(folder, 'queue', name)).size, 0)
    }
    await expect.poll(bytes).toBeLessThan(4 * 50_000)
    expect(store.next('logs:next', 0, 99).map(({ body }) => body[0])).toEqual(
      Array.from({ length: 12 }, (_, i) => 10 * i),
    )
    await store.close()
    const again = await open()
    expect(again.queuedItems).toBe(36)
    expect(statementsIn(folder)).toHaveLength(120)
    for (const { sequence } of again.next('logs:next', 0, 99)) again.ack('logs:next', sequence)
    await again.append(undefined, [record('one more')]).durable
    await expect.poll(() => readdirSync(join(folder, 'queue'))).toHaveLength(1)
    await again.close()
  })
})

/** Changes bytes of a file in place, as a disk that decays does. */
function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(file, 'r+')
  writeSync(fd, bytes, 0, bytes.length, at)
  closeSync(fd)
}

describe('damage while it runs', () => {
  test('is said, counted and named, the others still leave, and OK is said no more', async () => {
    const folder = testFolder()
    const registry = new Registry()
    const dropped: number[] = []
    const store = await Store.open(
      { directory: folder, readCacheBytesMax: 0 },
      [{ signal: 'traces', id: 'next' }],
      {
        registry,
        onCorrupt: (_signal, items) => dropped.push(items),
      },
    )
    for (const fill of [1, 2, 3]) await store.append(entryOf(5_000, 'traces', fill), []).durable
    const file = join(folder, 'queue', '0000000001.log')
    overwrite(file, readFileSync(file).indexOf(Buffer.alloc(5_000, 2)) + 99, Buffer.of(9))
    expect(store.health().ok).toBe(true)
    expect(store.next('traces:next', 0, 9).map(({ sequence }) => sequence)).toEqual([1, 3])
    expect(dropped).toEqual([3])
    expect(store.health()).toMatchObject({ ok: false, reason: 'the data folder is damaged', isStuck: false })
    expect(codeOf(() => store.append(entryOf(1), []))).toBe('STORE_FAILED')
    for (const sequence of [1, 3]) store.ack('traces:next', sequence)
    expect([store.queuedItems, store.queueBytesUsed]).toEqual([0, 0])
    const text = await registry.metrics()
    expect(text).toContain('betrace_store_corrupt_entries_total 1')
    expect(text).toContain('betrace_store_corrupt_items_total 3')
    expect(text).toContain('betrace_store_damaged 1')
    expect(store.next('traces:next', 0, 9)).toEqual([])
    expect(dropped).toEqual([3])
    await store.close()
    // Nobody has put it aside.
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      cause: { message: 'queue/0000000001: 1 record(s), entries not yet exported: 1 of traces with 3 items' },
    })
  })

  test.each([
    ['removed', (folder: string) => rmSync(folder, { recursive: true })],
    ['moved away', (folder: string) => renameSync(folder, `${folder}-away`)],
    [
      'replaced by a copy of itself',
      (folder: string) => {
        renameSync(folder, `${folder}-away`)
        cpSync(`${folder}-away`, folder, { recursive: true })
      },
    ],
    ['cut', (folder: string) => truncateSync(join(folder, 'queue', '0000000001.log'), 500)],
  ])(
    'of a folder that is %s: OK is said no more, and it is known before anything comes',
    async (_how, change) => {
      const folder = join(testFolder(), 'data')
      const store = await openStore(folder)
      await store.append(entryOf(5_000), [record('s')]).durable
      change(folder)
      expect(store.health()).toMatchObject({ ok: false, isStuck: false })
      await expect(store.append(entryOf(5_000), [record('t')]).durable).rejects.toMatchObject({
        code: 'STORE_FAILED',
      })
      // What it has in memory still leaves.
      expect(store.next('traces:next', 0, 9)).toHaveLength(1)
      await store.close()
    },
  )

  test('of a folder that comes back is over by itself', async () => {
    const folder = join(testFolder(), 'data')
    const store = await openStore(folder)
    renameSync(folder, `${folder}-away`)
    await expect(store.append(entryOf(5_000), []).durable).rejects.toMatchObject({ code: 'STORE_FAILED' })
    renameSync(`${folder}-away`, folder)
    await expect.poll(() => store.health().ok).toBe(true)
    await store.append(entryOf(5_000), []).durable
    await store.close()
    const again = await openStore(folder)
    expect(again.queuedItems).toBe(3)
    await again.close()
  })
})

describe('a folder that has lost what it had', () => {
  async function used(): Promise<string> {
    const folder = testFolder()
    const store = await openStore(folder)
    for (let i = 0; i < 5; i++) await store.append(entryOf(2_000), [record(`s${i}`)]).durable
    await store.keys.put(Buffer.from('k'), Buffer.from('v'))
    await store.close()
    return folder
  }

  test.each([
    ['its queue emptied', (folder: string) => truncateSync(join(folder, 'queue', '0000000001.log'), 0)],
    ['its queue gone', (folder: string) => rmSync(join(folder, 'queue'), { recursive: true })],
    ['its evidence gone', (folder: string) => rmSync(join(folder, 'evidence'), { recursive: true })],
    ['its key records gone', (folder: string) => rmSync(join(folder, 'keys'), { recursive: true })],
    ['its mark gone', (folder: string) => rmSync(join(folder, 'mark'))],
    ['its mark emptied', (folder: string) => truncateSync(join(folder, 'mark'), 0)],
    [
      'all of its files gone but the lock',
      (folder: string) => {
        for (const name of ['mark', 'queue', 'evidence', 'keys'])
          rmSync(join(folder, name), { recursive: true })
      },
    ],
  ])('(%s) does not start as a new one', async (_what, change) => {
    const folder = await used()
    change(folder)
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })

  test('is a new one where the first start ended on the way', async () => {
    for (const left of [
      (folder: string) => writeFileSync(join(folder, 'mark'), ''),
      (folder: string) => mkdirSync(join(folder, 'queue')),
      (folder: string) => writeFileSync(join(folder, 'owner'), 'pid 7\n'),
    ]) {
      const folder = testFolder()
      left(folder)
      const store = await openStore(folder)
      await store.append(entryOf(10), []).durable
      await store.close()
      const again = await openStore(folder)
      expect(again.queuedItems).toBe(3)
      await again.close()
    }
  })

  test('loses no key record when one copy is damaged: it is made anew from the other', async () => {
    const folder = await used()
    const file = join(folder, 'keys', readdirSync(join(folder, 'keys'))[0]!)
    overwrite(file, 130, Buffer.alloc(statSync(file).size - 130))
    for (let i = 0; i < 2; i++) {
      const store = await openStore(folder)
      expect(Buffer.from(store.keys.get(Buffer.from('k')) ?? []).toString()).toBe('v')
      await store.close()
    }
  })
})

describe('a folder that cannot be used', () => {
  test('is one clear error when it is of an earlier version', async () => {
    const folder = testFolder()
    writeFileSync(join(folder, 'data.mdb'), Buffer.alloc(100_000, 0x41))
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining('data.mdb of an earlier version'),
    })
  })

  test('is one clear error when it is of a later version', async () => {
    const folder = testFolder()
    await (await openStore(folder)).close()
    const mark = readFileSync(join(folder, 'mark')).toString('latin1')
    expect(mark).toContain('"version":1')
    const { crc32 } = await import('node:zlib')
    for (const slot of [0, 4096]) {
      const bytes = Buffer.from(mark, 'latin1').subarray(slot)
      const text = bytes
        .subarray(8, 8 + bytes.readUInt32BE(0))
        .toString('latin1')
        .replace('"version":1', '"version":2')
      const head = Buffer.alloc(4)
      head.writeUInt32BE(crc32(text))
      overwrite(join(folder, 'mark'), slot + 4, head)
      overwrite(join(folder, 'mark'), slot + 8, Buffer.from(text, 'latin1'))
    }
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      message: 'the data folder was written by another version of betrace',
    })
  })

  test('is one clear error when a file stands in its place', async () => {
    const file = join(testFolder(), 'file')
    writeFileSync(file, '')
    await expect(openStore(file)).rejects.toMatchObject({ code: 'STORE_FAILED' })
  })

  test('is one clear error when a folder stands where a file should', async () => {
    const folder = testFolder()
    await (await openStore(folder)).close()
    rmSync(join(folder, 'mark'))
    mkdirSync(join(folder, 'mark'))
    await expect(openStore(folder)).rejects.toMatchObject({
      code: expect.stringMatching(/^STORE_(FAILED|CORRUPT)$/),
    })
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
