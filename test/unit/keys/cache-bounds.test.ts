// The caches of a whole `Keys` at their bounds: more tenants than entries, and what is said of it.
import { describe, expect, test } from 'vitest'
import { OpeningKey } from '../../../src/keys/data/opening-key.ts'
import { type Kms, KmsError } from '../../../src/kms/kms.ts'
import { attributePlace, OUTSIDE } from '../formats/places.ts'
import { DoorKms } from '../kms/key-service.ts'
import { build, HOUR_MS, item, never, settle } from './keys-fixture.ts'
import { MemoryKeyStore } from './memory-keystore.ts'

const tenantName = (index: number): string => `tenant-${index}`

describe('two thousand tenants in a cache of one thousand', () => {
  test('all get keys that work, round after round, and the ratio says that none was a hit', async () => {
    const { keys, kms, value } = await build({ options: { sizeMax: 1_000 } })
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 2_000; index++) {
        const tenant = tenantName(index)
        const sealer = keys.sealer(tenant) ?? (await keys.loadSealer(tenant, never))
        if (index % 400 !== 0) continue
        const opener = await OpeningKey.unwrap(kms, sealer.announcement, undefined, never)
        expect(opener.open(sealer.sealAll([item])[0]!, attributePlace('user'), OUTSIDE).dataClass).toBe(
          'name',
        )
        expect(opener.announcement.context.tenantId).toBe(tenant)
      }
    }
    const { encryption } = keys.status().caches
    // In turn, the least recently used is always the next one wanted: no cache of half the size can hit once.
    expect(encryption).toMatchObject({ size: 1_000, hits: 0, misses: 4_000, hitRatio: 0 })
    expect(encryption.capacityEvictions).toBe(3_000)
    expect(kms.count('generate_data_key')).toBe(4_000)
    expect(await value('kms_cache_evictions_total{key_type="encryption",cause="capacity"}')).toBe('3000')
    expect(await value('kms_cache_size{key_type="encryption"}')).toBe('1000')
  })

  test('where few tenants send most, the ratio is what a count beside it gives', async () => {
    const { keys, value } = await build({ options: { sizeMax: 1_000 } })
    let [asked, waited] = [0, 0]
    for (let step = 0; step < 20_000; step++) {
      // Nine of ten requests are of the first hundred tenants.
      const index = step % 10 === 0 ? (step * 7) % 2_000 : step % 100
      asked++
      if (keys.signingKey(tenantName(index)) !== undefined) continue
      waited++
      await keys.loadSigningKey(tenantName(index), never)
    }
    const { hits, misses, hitRatio } = keys.status().caches.signing
    expect({ hits, misses }).toEqual({ hits: asked - waited, misses: waited })
    expect(hitRatio).toBeCloseTo(1 - waited / asked, 12)
    expect(hitRatio).toBeGreaterThan(0.89)
    expect(await value('kms_cache_miss_total{key_type="signing"}')).toBe(String(waited))
  })

  test('a signing key that was evicted comes back as itself', async () => {
    const { keys } = await build({ options: { sizeMax: 10 } })
    const ids = new Map<string, string>()
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 30; index++) {
        const tenant = tenantName(index)
        const { keyId } = await keys.loadSigningKey(tenant, never)
        expect(keyId).toBe(ids.get(tenant) ?? keyId)
        ids.set(tenant, keyId)
      }
    }
    for (const tenant of ids.keys()) expect(keys.publicKeys(tenant)).toHaveLength(1)
    expect(keys.status().caches.public.size).toBeLessThanOrEqual(10)
  })

  test('who waits for a key is given it, also when it is evicted before anybody looks', async () => {
    const { keys } = await build({ options: { sizeMax: 5 } })
    const sealers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => keys.loadSealer(tenantName(index), never)),
    )
    expect(new Set(sealers.map(({ announcementKey }) => announcementKey)).size).toBe(50)
    for (const sealer of sealers) expect(sealer.sealAll([item])).toHaveLength(1)
    expect(keys.status().caches.encryption.size).toBe(5)
  })
})

describe('flushing', () => {
  test('one tenant, or all, is counted for every kind of key, the public ones too', async () => {
    const { keys, value } = await build()
    for (const tenant of ['acme', 'other']) {
      await keys.loadSealer(tenant, never)
      await keys.loadSigningKey(tenant, never)
      await keys.loadPseudonymizer(tenant, never)
      keys.publicKeys(tenant)
    }
    const flushed = (type: string): Promise<string> =>
      value(`kms_cache_evictions_total{key_type="${type}",cause="flushed"}`)
    keys.flush('acme')
    for (const type of ['signing', 'public', 'encryption', 'pseudonym']) expect(await flushed(type)).toBe('1')
    expect(keys.sealer('other')).toBeDefined()
    keys.flush()
    for (const type of ['signing', 'public', 'encryption', 'pseudonym']) expect(await flushed(type)).toBe('2')
    expect(keys.sealer('other')).toBeUndefined()
  })

  test('forgets failures, so that who repaired the cause need not wait', async () => {
    const { keys, kms } = await build()
    kms.fail('key_disabled')
    await expect(keys.loadSigningKey('acme', never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    kms.failure = undefined
    await expect(keys.loadSigningKey('acme', never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    keys.flush('acme')
    expect(await keys.loadSigningKey('acme', never)).toBeDefined()
  })
})

test('the plaintext of every long-lived key is zeroed once its handle is made', async () => {
  const door = await DoorKms.open()
  const handed: Uint8Array[] = []
  const watched: Kms = {
    provider: door.provider,
    masterKeyId: door.masterKeyId,
    generateDataKey: async (...args) => {
      const key = await door.generateDataKey(...args)
      handed.push(key.plaintext)
      return key
    },
    wrap: (plaintext, ...rest) => {
      handed.push(plaintext)
      return door.wrap(plaintext, ...rest)
    },
    unwrap: async (...args) => {
      const bytes = await door.unwrap(...args)
      expect(bytes.some((byte) => byte !== 0)).toBe(true)
      handed.push(bytes)
      return bytes
    },
    describe: (signal) => door.describe(signal),
    close: () => door.close(),
  }
  const store = new MemoryKeyStore()
  for (let start = 0; start < 2; start++) {
    const { keys } = await build({ kms: watched as DoorKms, store, options: { tenantSecret: true } })
    const sealer = await keys.loadSealer('acme', never)
    const key = await keys.loadSigningKey('acme', never)
    const pseudonymizer = await keys.loadPseudonymizer('acme', never)
    await keys.rotate('acme', 'requested', never, { pseudonym: true })
    expect(sealer.sealAll([item])).toHaveLength(1)
    expect(key.privateKey.export({ format: 'jwk' }).d).not.toMatch(/^A+$/)
    expect(pseudonymizer.pseudonym('name', Buffer.from('a'))).toMatch(/^tok/)
  }
  expect(handed.length).toBeGreaterThan(12)
  for (const bytes of handed) expect(bytes.every((byte) => byte === 0)).toBe(true)
})

test('a failure of the key service while a tenant is renewed is told, and its old key goes on', async () => {
  const { keys, kms, clock } = await build()
  const before = await keys.loadSealer('acme', never)
  kms.failure = new KmsError('throttled', 'generate_data_key', 'told to', { retryAfterMs: 7_000 })
  await expect(keys.rotate('acme', 'requested', never)).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    retryAfterMs: 7_000,
  })
  expect(keys.sealer('acme')).toBe(before)
  kms.failure = undefined
  clock.advance(HOUR_MS / 2)
  await keys.rotate('acme', 'requested', never)
  await settle()
  expect(keys.sealer('acme')).not.toBe(before)
})
