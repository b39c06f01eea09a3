import { describe, expect, test } from 'vitest'
import { AnnouncementShelf } from '../../../src/keys/announcement-shelf.ts'
import { Registry, silentTelemetry } from '../../../src/telemetry.ts'
import { build, HOUR_MS, never, settle } from './keys-fixture.ts'
import { MemoryKeyStore } from './memory-keystore.ts'

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

  test('are left alone once the store is about to close', async () => {
    const { store } = await hours(10, 1_000)
    const { log } = silentTelemetry()
    const closing = AbortSignal.abort()
    await new AnnouncementShelf({ store, log, registry: new Registry(), countMax: 1, closing }).open()
    expect(kids(store)).toHaveLength(10)
  })
})
