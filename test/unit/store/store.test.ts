import { cpSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { type Logger, Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { entryBytes } from '../../../src/store/entry.ts'
import { storeKeyStore } from '../../../src/store/key-store.ts'
import { Store } from '../../../src/store/store.ts'
import type { Table } from '../../../src/store/table.ts'
import { entryOf, openStore, testFolder } from './folder.ts'
import { record } from './record.ts'
import { statementsIn } from './statements.ts'

const codeOf = (run: () => unknown): string | undefined => {
  try {
    run()
  } catch (thrown) {
    return thrown instanceof SidecarError ? thrown.code : String(thrown)
  }
  return undefined
}
const sequences = (found: readonly { sequence: number }[]) => found.map(({ sequence }) => sequence)

describe('the store', () => {
  test('hands entries out in the order of the calls, with the bytes that came in', async () => {
    const store = await openStore(testFolder())
    const appended = await Promise.all(
      [1, 2, 3].map((fill) => store.append(entryOf(10 * fill, 'traces', fill), []).durable),
    )
    expect(appended).toEqual([1, 2, 3])
    const found = store.next('traces:next', 0, 10)
    expect(sequences(found)).toEqual([1, 2, 3])
    expect(found[2]).toMatchObject({ signal: 'traces', itemCount: 3, acceptedAtMs: 1_700_000_000_123 })
    expect([...found[2].body]).toEqual(Array(30).fill(3))
    expect([...found[2].refs]).toEqual([3])
    await store.close()
  })

  test('a start says when the last process did not stop in order, and only then', async () => {
    const folder = testFolder()
    const warnings: string[] = []
    const open = (directory: string) =>
      Store.open({ directory }, [{ signal: 'traces', id: 'next' }], {
        log: {
          ...silentTelemetry().log,
          warn: (...said: unknown[]) => warnings.push(String(said.at(-1))),
        } as Logger,
      })
    const live = join(folder, 'live')
    const first = await open(live)
    await first.append(entryOf(10), []).durable
    cpSync(live, join(folder, 'killed'), { recursive: true })
    await first.close()
    await (await open(live)).close()
    expect(warnings).toEqual([])
    await (await open(join(folder, 'killed'))).close()
    expect(warnings).toEqual([expect.stringContaining('did not stop in order')])
    await (await open(join(folder, 'killed'))).close()
    expect(warnings).toHaveLength(1)
  })

  test('keeps entry and records through a restart, and never gives a sequence out twice', async () => {
    const folder = testFolder()
    const first = await openStore(folder)
    await first.append(entryOf(100_000), [record('s1'), record('\x01tip', 'latest')]).durable
    first.ack('traces:next', first.next('traces:next', 0, 1)[0].sequence)
    await first.close()
    const second = await openStore(folder)
    expect(second.next('traces:next', 0, 10)).toEqual([])
    expect(second.queueBytesUsed).toBe(0)
    expect(statementsIn(folder).map(({ value }) => value.toString())).toEqual(['s1'])
    expect(Buffer.from(second.tip(Buffer.from('\x01tip')) ?? []).toString()).toBe('latest')
    expect(await second.append(entryOf(1), []).durable).toBe(2)
    expect([first.boot, second.boot]).toEqual([1, 2])
    expect(second.instanceId).toBe(first.instanceId)
    await second.close()
  })

  test('reads back from disk what memory no longer holds', async () => {
    const store = await openStore(testFolder(), ['next'], { readCacheBytesMax: 0 })
    await Promise.all([1, 2, 3].map((fill) => store.append(entryOf(50_000, 'traces', fill), []).durable))
    expect(store.next('traces:next', 1, 5).map(({ body }) => body[49_999])).toEqual([2, 3])
    await store.close()
  })

  test('takes records without an entry', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    expect(await store.append(undefined, [record('tombstone')]).durable).toBeUndefined()
    expect(statementsIn(folder)).toHaveLength(1)
    expect(store.queuedItems).toBe(0)
    await store.close()
  })

  test('counts bytes when they are taken and items when they are on disk', async () => {
    const store = await openStore(testFolder())
    const { durable } = store.append(entryOf(1_000), [])
    expect([store.queueBytesUsed, store.queuedItems]).toEqual([entryBytes(1_000, 1), 0])
    await durable
    expect([store.queueBytesUsed, store.queuedItems]).toEqual([entryBytes(1_000, 1), 3])
    await store.close()
  })

  test('refuses at the bound with a wait, takes again when room was made, and always takes records alone', async () => {
    const store = await openStore(testFolder(), ['next'], { queueBytesMax: 2 * entryBytes(1_000, 1) })
    await Promise.all([store.append(entryOf(1_000), []).durable, store.append(entryOf(1_000), []).durable])
    let refusal: unknown
    try {
      store.append(entryOf(0), [])
    } catch (thrown) {
      refusal = thrown
    }
    expect(refusal).toMatchObject({ code: 'QUEUE_FULL', retryAfterMs: 30_000 })
    await store.append(undefined, [record('tombstone')]).durable
    store.ack('traces:next', store.next('traces:next', 0, 1)[0].sequence)
    await store.append(undefined, [record('next commit')]).durable
    await expect.poll(() => store.queueBytesUsed).toBe(entryBytes(1_000, 1))
    expect(await store.append(entryOf(1_000), []).durable).toBe(3)
    expect(codeOf(() => store.append(entryOf(0), []))).toBe('QUEUE_FULL')
    await store.close()
  })

  test('refuses evidence beyond its bound, and still takes what has none', async () => {
    const store = await openStore(testFolder(), ['next'], { evidenceBytesMax: 64 * 1024 })
    const value = 'v'.repeat(1_500)
    let refused: string | undefined
    for (let i = 0; i < 300 && !refused; i++) {
      try {
        await store.append(entryOf(1), [record(`statement ${i}`, value)]).durable
      } catch (thrown) {
        refused = thrown instanceof SidecarError ? thrown.code : 'another'
      }
    }
    expect(refused).toBe('STORE_FAILED')
    await store.append(entryOf(1), []).durable
    await store.close()
  })

  test('after close refuses, and settles what was taken before', async () => {
    const store = await openStore(testFolder())
    const { durable } = store.append(entryOf(10), [])
    const closing = store.close()
    expect(codeOf(() => store.append(entryOf(10), []))).toBe('SHUTTING_DOWN')
    expect(await durable).toBe(1)
    await closing
    await store.close()
  })

  test('makes its folder and files for the owner alone', async () => {
    const folder = join(testFolder(), 'a', 'b')
    const store = await openStore(folder)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    for (const file of ['mark', 'lock', 'owner', 'queue/0000000001.log', 'keys/0000000001.a.log'])
      expect(statSync(join(folder, file)).mode & 0o077, file).toBe(0)
    await store.close()
  })

  test('shows its levels to Prometheus', async () => {
    const registry = new Registry()
    const store = await Store.open({ directory: testFolder() }, [{ signal: 'traces', id: 'next' }], {
      registry,
    })
    await store.append(entryOf(1_000), []).durable
    const text = await registry.metrics()
    expect(text).toContain(`betrace_queue_bytes ${entryBytes(1_000, 1)}`)
    expect(text).toContain('betrace_queue_items 3')
    expect(text).toContain('betrace_store_commit_seconds_count 1')
    await store.close()
  })
})

describe('consumers', () => {
  test('each see every entry, which leaves after the last acknowledgement', async () => {
    const store = await openStore(testFolder(), ['a', 'b'])
    await store.append(entryOf(10), []).durable
    const [entry] = store.next('traces:a', 0, 1)
    expect(sequences(store.next('traces:b', 0, 1))).toEqual([entry.sequence])
    store.ack('traces:a', entry.sequence)
    expect(store.queuedItems).toBe(3)
    store.ack('traces:b', entry.sequence)
    expect(store.queuedItems).toBe(0)
    await expect.poll(() => store.queueBytesUsed).toBe(0)
    await store.close()
  })

  test('keep their place through a restart, also when acknowledged out of order', async () => {
    const folder = testFolder()
    const store = await openStore(folder, ['a', 'b'])
    await Promise.all([1, 2, 3, 4].map(() => store.append(entryOf(10), []).durable))
    store.next('traces:a', 0, 3)
    for (const sequence of [1, 3]) store.ack('traces:a', sequence)
    await store.close()
    const again = await openStore(folder, ['a', 'b'])
    expect(sequences(again.next('traces:a', 0, 9))).toEqual([2, 4])
    expect(sequences(again.next('traces:b', 0, 9))).toEqual([1, 2, 3, 4])
    await again.close()
  })

  test('that are new start at the oldest entry, and that are gone hold nothing back', async () => {
    const folder = testFolder()
    const store = await openStore(folder, ['a', 'gone'])
    await Promise.all([1, 2, 3].map(() => store.append(entryOf(10), []).durable))
    store.next('traces:a', 0, 2)
    store.ack('traces:a', 1)
    store.ack('traces:a', 2)
    await store.close()
    const again = await openStore(folder, ['a', 'new'])
    expect(sequences(again.next('traces:new', 0, 9))).toEqual([1, 2, 3])
    await again.close()
    const alone = await openStore(folder, ['a'])
    expect([alone.queuedItems, sequences(alone.next('traces:a', 0, 9))]).toEqual([3, [3]])
    await alone.close()
  })

  test('of one signal do not see another, and a signal with none keeps its entries', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    await Promise.all([store.append(entryOf(10, 'logs'), []).durable, store.append(entryOf(10), []).durable])
    expect(sequences(store.next('traces:next', 0, 9))).toEqual([2])
    await store.close()
    const withLogs = await Store.open({ directory: folder }, [{ signal: 'logs', id: 'x' }])
    expect(sequences(withLogs.next('logs:x', 0, 9))).toEqual([1])
    await withLogs.close()
  })

  test('hear of entries after the commit', async () => {
    const store = await openStore(testFolder())
    const heard: number[] = []
    const stop = store.onEntries('traces', () =>
      heard.push(...sequences(store.next('traces:next', heard.length, 9))),
    )
    await store.append(entryOf(1), []).durable
    await store.append(entryOf(1, 'logs'), []).durable
    expect(heard).toEqual([1])
    stop()
    await store.append(entryOf(1), []).durable
    expect(heard).toEqual([1])
    await store.close()
  })

  test('let a caller wait for all of them, and tell it of a refusal', async () => {
    const store = await openStore(testFolder(), ['a', 'b'])
    const first = await store.append(entryOf(1), []).durable
    const second = await store.append(entryOf(1), []).durable
    const third = await store.append(entryOf(1), []).durable
    const settled: string[] = []
    const waits = [first, second, third].map((sequence) =>
      store.exported(sequence).then(
        () => settled.push(`${sequence} ok`),
        (thrown: SidecarError) => settled.push(`${sequence} ${thrown.code}`),
      ),
    )
    for (const name of ['traces:a', 'traces:b']) store.next(name, 0, 3)
    store.ack('traces:a', first)
    store.ack('traces:a', second, true)
    await Promise.resolve()
    expect(settled).toEqual([])
    store.ack('traces:b', first)
    store.ack('traces:b', second)
    await expect.poll(() => settled.length).toBe(2)
    await expect(store.exported(second)).rejects.toMatchObject({ code: 'DOWNSTREAM_REFUSED' })
    await store.close()
    await Promise.all(waits)
    expect(settled).toEqual(['1 ok', '2 DOWNSTREAM_REFUSED', '3 SHUTTING_DOWN'])
    await expect(store.exported(third)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  })
})

describe('the key store', () => {
  test('finds records by kind and tenant, whatever the tenant is called', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    const keys = storeKeyStore<'data' | 'signing'>(store)
    for (const tenant of ['__proto__', 'a', 'ab', 'ä', ''])
      await keys.put('data', tenant, 'id', Buffer.from(tenant))
    await keys.put('signing', 'a', 'id', Buffer.from('other'))
    expect([...keys.list('data', 'a')]).toEqual([
      { tenant: 'a', id: 'id', record: new Uint8Array(Buffer.from('a')) },
    ])
    expect([...keys.list('data')].map(({ tenant }) => tenant)).toEqual(['', '__proto__', 'a', 'ab', 'ä'])
    expect(codeOf(() => keys.get('data', 'a\0b', 'id'))).toBe('TENANT_DENIED')
    await store.close()
    const again = await openStore(folder)
    expect(storeKeyStore<'data'>(again).get('data', '__proto__', 'id')).toEqual(
      new Uint8Array(Buffer.from('__proto__')),
    )
    await again.close()
  })

  test('forgets in its files what was removed, beside whatever else is put', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    const files = () => {
      const names = readdirSync(join(folder, 'keys'))
      return names.map((name) => readFileSync(join(folder, 'keys', name)))
    }
    await store.keys.put(Buffer.from('gone'), Buffer.from('a secret of old'))
    await store.keys.put(Buffer.from('stays'), Buffer.from('one that stays'))
    await store.keys.remove(Buffer.from('gone'))
    expect(files().map((bytes) => bytes.includes('a secret of old'))).toEqual([true, true])
    const puts = Array.from({ length: 50 }, (_, i) => store.keys.put(Buffer.from(`k${i}`), Buffer.of(i)))
    await Promise.all([store.scrubKeys(), ...puts, store.keys.put(Buffer.from('late'), Buffer.of(1))])
    expect(files().map((bytes) => bytes.includes('a secret of old'))).toEqual([false, false])
    expect(files().map((bytes) => bytes.includes('one that stays'))).toEqual([true, true])
    await store.close()
    const again = await openStore(folder)
    expect(again.keys.range()).toHaveLength(52)
    await again.close()
  })

  test('keeps its files small, however often a record is replaced', async () => {
    const folder = testFolder()
    const store = await openStore(folder)
    for (let i = 0; i < 1_500; i++) store.keys.put(Buffer.from(`k${i % 3}`), Buffer.from(`value ${i}`))
    await store.keys.put(Buffer.from('last'), Buffer.of(1))
    await store.scrubKeys()
    await store.close()
    const [name] = readdirSync(join(folder, 'keys'))
    expect(statSync(join(folder, 'keys', name!)).size).toBeLessThan(1_000)
    const again = await openStore(folder)
    expect(Buffer.from(again.keys.get(Buffer.from('k2')) ?? []).toString()).toBe('value 1499')
    await again.close()
  })

  test('reads a list piece by piece, as it is walked', async () => {
    const store = await openStore(testFolder())
    let readCount = 0
    const table = store.keys
    const counting: Table = {
      get: (key) => table.get(key),
      put: (key, value) => table.put(key, value),
      remove: (key) => table.remove(key),
      range: (options) => {
        const found = table.range(options)
        readCount += found.length
        return found
      },
    }
    const keys = storeKeyStore<'data'>({ keys: counting })
    const ids = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(4, '0'))
    await Promise.all(ids.map((id) => keys.put('data', 'a', id, Buffer.from(id))))
    await keys.put('data', 'b', 'other', Buffer.of(1))

    expect([...keys.list('data', 'a')].map(({ id }) => id)).toEqual(ids)
    expect(readCount).toBe(1_000)
    readCount = 0
    const [first] = keys.list('data')
    expect(first?.id).toBe('0000')
    expect(readCount).toBeLessThan(100)
    await store.close()
  })
})
