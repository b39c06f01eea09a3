import { PassThrough } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createTelemetry, Registry, silentTelemetry } from '../../../../src/base/telemetry.ts'
import { formatAnnouncement } from '../../../../src/formats/announcement.ts'
import { AnnouncementRetention } from '../../../../src/keys/records/announcement-retention.ts'
import { build, HOUR_MS, never, settle } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const kids = (store: MemoryKeyStore): string[] => [...store.list('announcement')].map(({ id }) => id)

/** A fresh data key every hour, so many hours; the ids of their announcements, oldest first. */
async function hours(count: number, announcementsMax: number, store = new MemoryKeyStore()) {
  const built = await build({ store, options: { announcementsMax, encryptionKeyTtlMs: HOUR_MS } })
  await built.keys.openAnnouncements()
  const made: string[] = []
  for (let hour = 0; hour < count; hour++) {
    const tenant = `t${hour % 3}`
    const sealer = await built.keys.loadSealer(tenant, never)
    made.push(sealer.announcementKey.slice('betrace.key.'.length))
    built.keys.flush()
    built.clock.advance(HOUR_MS)
  }
  return { ...built, made }
}

/** A text like an announcement's, of the nth millisecond. */
function text(nth: number): Buffer {
  const announcement = formatAnnouncement({
    provider: 'local',
    masterKeyId: 'local:one',
    context: { tenantId: 't', purpose: 'pii' },
    wrappedKey: Buffer.alloc(61),
    commitment: Buffer.alloc(32),
    createdMs: nth,
    classes: ['email'],
    idsBound: true,
    padded: false,
    tenantSecretId: '',
  })
  return Buffer.from(announcement)
}

/** A retention that has not been opened, over so many announcements. */
async function full(count: number, countMax: number, closing: AbortSignal = never) {
  const store = new MemoryKeyStore()
  for (let nth = 0; nth < count; nth++) await store.put('announcement', 't', `${nth}`, text(nth))
  const logged = new PassThrough()
  const { log } = await createTelemetry({ level: 'info', encoding: 'json', destination: logged })
  const retention = new AnnouncementRetention({ store, log, registry: new Registry(), countMax, closing })
  return { store, retention, log: () => String(logged.read() ?? '') }
}

describe('announcements in the key store', () => {
  test('stay as many as may be, and the newest', async () => {
    const { store, made, value, log } = await hours(95, 20)
    await expect.poll(() => kids(store).length).toBeLessThanOrEqual(20)
    const left = kids(store)
    expect(left.length).toBeGreaterThanOrEqual(18)
    expect(left.toSorted()).toEqual(made.slice(-left.length).toSorted())
    expect(await value('betrace_key_announcements')).toBe(String(left.length))
    expect(await value('betrace_key_announcements_removed_total')).toBe(String(95 - left.length))
    expect(log()).toContain('Oldest key announcements removed')
  })

  test('are counted from what a former process left, which makes room too, with a damaged one first', async () => {
    const { store, made } = await hours(30, 1_000)
    await store.put('announcement', 't0', 'damaged', Buffer.from('{'))
    const { value } = await hours(0, 20, store)
    expect(kids(store).toSorted()).toEqual(made.slice(-18).toSorted())
    expect(await value('betrace_key_announcements')).toBe('18')
  })

  test('that cannot be removed now are tried again with the next key, and nothing else stops', async () => {
    const store = new MemoryKeyStore()
    let isBroken = true
    const remove = store.remove.bind(store)
    store.remove = async (...args) => {
      if (isBroken) throw new Error('disk is full')
      await remove(...args)
    }
    const { keys } = await hours(25, 20, store)
    expect(kids(store)).toHaveLength(25)
    isBroken = false
    await settle()
    await keys.loadSealer('again', never)
    await expect.poll(() => kids(store).length).toBeLessThanOrEqual(20)
  })

  test('that cannot be removed end no process, however many they are', async () => {
    const { store, retention } = await full(500, 100)
    store.remove = async () => Promise.reject(new Error('disk is full'))
    const unhandled: unknown[] = []
    const note = (thrown: unknown): number => unhandled.push(thrown)
    process.on('unhandledRejection', note)
    onTestFinished(() => void process.off('unhandledRejection', note))
    await expect(retention.open()).rejects.toThrow('disk is full')
    await settle()
    expect(unhandled).toEqual([])
  })

  test('that were counted twice are counted right when room is made', async () => {
    const { store, retention } = await full(300, 400)
    const opening = retention.open()
    // These come while the count is under way, and are seen by it as well.
    for (let nth = 300; nth < 390; nth++) {
      await store.put('announcement', 't', `${nth}`, text(nth))
      retention.added(`${nth}`)
    }
    await opening
    for (let nth = 390; nth < 401; nth++) {
      await store.put('announcement', 't', `${nth}`, text(nth))
      retention.added(`${nth}`)
      await settle()
    }
    await expect.poll(() => kids(store).length).toBeLessThanOrEqual(400)
    expect(kids(store)).toHaveLength(360)
  })

  test('are not read any more once the store is about to close', async () => {
    const closing = new AbortController()
    const { store, retention } = await full(1_000, 100, closing.signal)
    const list = store.list.bind(store)
    store.list = function* (...args) {
      for (const record of list(...args)) {
        expect(closing.signal.aborted).toBe(false)
        yield record
      }
    }
    let removedCount = 0
    store.remove = async () => {
      if (++removedCount === 200) closing.abort()
    }
    await retention.open()
    expect(removedCount).toBe(200)
  })

  test('are not said to be removed where a stop came first', async () => {
    const closing = new AbortController()
    const { store, retention, log } = await full(1_000, 100, closing.signal)
    const list = store.list.bind(store)
    let readCount = 0
    store.list = function* (...args) {
      for (const record of list(...args)) {
        if (++readCount === 1_700) closing.abort()
        yield record
      }
    }
    await retention.open()
    expect(kids(store)).toHaveLength(1_000)
    expect(log()).toBe('')
  })

  test('are left alone once the store is about to close', async () => {
    const { store } = await hours(10, 1_000)
    const { log } = silentTelemetry()
    const closing = AbortSignal.abort()
    await new AnnouncementRetention({ store, log, registry: new Registry(), countMax: 1, closing }).open()
    expect(kids(store)).toHaveLength(10)
  })
})
