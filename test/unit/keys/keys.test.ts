import { createPublicKey, sign, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { OpeningKey } from '../../../src/keys/data/opening-key.ts'
import { SealingKey } from '../../../src/keys/data/sealing-key.ts'
import { openTenantSecret } from '../../../src/keys/data/tenant-secret.ts'
import type { Keys } from '../../../src/keys/keys.ts'
import { decodeKeyRecord, encodeKeyRecord } from '../../../src/keys/records/key-record.ts'
import type { KeyRecordKind } from '../../../src/keys/records/keystore.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import { attributePlace, OUTSIDE } from '../formats/places.ts'
import { DoorKms, localOptions } from '../kms/key-service.ts'
import { ManualClock } from '../kms/manual-clock.ts'
import { build, HOUR_MS, item, never, settle } from './keys-fixture.ts'
import { MemoryKeyStore } from './memory-keystore.ts'

describe('data keys', () => {
  test('3000 cold requests of a tenant make one call', async () => {
    const { keys, kms, value } = await build()
    const sealers = await Promise.all(Array.from({ length: 3_000 }, () => keys.loadSealer('acme', never)))
    expect(kms.count('generate_data_key')).toBe(1)
    expect(new Set(sealers).size).toBe(1)
    expect(await value('kms_requests_total{operation="generate_data_key"}')).toBe('1')
    expect(await value('kms_cache_miss_total{key_type="encryption"}')).toBe('3000')
  })

  test('the context names tenant and purpose, and no plaintext key is asked for twice', async () => {
    const { keys, kms } = await build()
    await keys.loadSealer('acme', never)
    await keys.loadSealer('other', never)
    expect(kms.calls).toEqual([
      { operation: 'generate_data_key', context: { tenantId: 'acme', purpose: 'pii' } },
      { operation: 'generate_data_key', context: { tenantId: 'other', purpose: 'pii' } },
    ])
  })

  test('the live key is not zero, and stays whole when it is evicted under a caller', async () => {
    const { keys, kms } = await build({ options: { sizeMax: 1 } })
    const sealer = await keys.loadSealer('acme', never)
    const opener = await OpeningKey.unwrap(kms, sealer.announcement, undefined, never)
    const before = sealer.sealAll([item])[0]!
    await keys.loadSealer('other', never)
    expect(keys.sealer('acme')).toBeUndefined()
    keys.flush()
    const after = sealer.sealAll([item])[0]!
    expect(Buffer.from(opener.open(before, attributePlace('user'), OUTSIDE).plaintext)).toEqual(
      item.plaintext,
    )
    expect(Buffer.from(opener.open(after, attributePlace('user'), OUTSIDE).plaintext)).toEqual(item.plaintext)
    const zeroKms = { ...givenZeros, masterKeyId: kms.masterKeyId }
    await expect(OpeningKey.unwrap(zeroKms, sealer.announcement, undefined, never)).rejects.toThrow(
      'does not open',
    )
  })

  test('the plaintext that the key service handed over is zeroed once the key is derived', async () => {
    const door = await DoorKms.open()
    let handedOver = new Uint8Array(0)
    const kms: Kms = {
      ...givenZeros,
      generateDataKey: async (...args) => {
        const key = await door.generateDataKey(...args)
        handedOver = key.plaintext as Uint8Array<ArrayBuffer> // to look at it later
        expect(handedOver.some((byte) => byte !== 0)).toBe(true)
        return key
      },
    }
    const options = {
      tenant: 'a',
      dataClasses: ['name'],
      idsBound: true,
      padded: false,
      tenantSecret: undefined,
      nowMs: 0,
    }
    await SealingKey.generate(kms, options, never)
    expect(handedOver).toHaveLength(32)
    expect(handedOver.every((byte) => byte === 0)).toBe(true)
  })

  test('values open after rotation, restart and loss of the data folder, with the key file alone', async () => {
    const file = localOptions()
    const clock = new ManualClock()
    const first = await build({ kms: await DoorKms.open(file), clock })
    const sealed: { announcement: string; token: string }[] = []
    for (let hour = 0; hour < 20; hour++) {
      const sealer = first.keys.sealer('acme') ?? (await first.keys.loadSealer('acme', never))
      sealed.push({ announcement: sealer.announcement, token: sealer.sealAll([item])[0]! })
      clock.advance(HOUR_MS)
    }
    expect(new Set(sealed.map(({ announcement }) => announcement)).size).toBe(20)
    await first.keys.close()
    const elsewhere = await DoorKms.open({ ...file, create: false })
    for (const { announcement, token } of sealed) {
      const opener = await OpeningKey.unwrap(elsewhere, announcement, undefined, never)
      expect(Buffer.from(opener.open(token, attributePlace('user'), OUTSIDE).plaintext)).toEqual(
        item.plaintext,
      )
    }
  })

  test('the announcement is in the key store before the key is first used', async () => {
    const { keys, store } = await build()
    const sealer = await keys.loadSealer('acme', never)
    const kid = sealer.announcementKey.slice('betrace.key.'.length)
    expect(Buffer.from(store.get('announcement', 'acme', kid)!).toString()).toBe(sealer.announcement)
    store.failPuts = true
    await expect(keys.loadSealer('other', never)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    expect(keys.sealer('other')).toBeUndefined()
  })

  test('a key is replaced after its uses, ahead of the last one, and after its bytes', async () => {
    const { keys, kms } = await build({ options: { dataKeyUsesMax: 100 } })
    const sealer = await keys.loadSealer('acme', never)
    sealer.sealAll(Array.from({ length: 89 }, () => item))
    expect(keys.sealer('acme')).toBe(sealer)
    expect(kms.count('generate_data_key')).toBe(1)
    sealer.sealAll([item])
    expect(keys.sealer('acme')).toBe(sealer)
    await settle()
    expect(kms.count('generate_data_key')).toBe(2)
    expect(keys.sealer('acme')).not.toBe(sealer)

    const small = await build({ options: { dataKeyBytesMax: 10 } })
    const spent = await small.keys.loadSealer('acme', never)
    spent.sealAll([item, item])
    expect(small.keys.sealer('acme')).toBeUndefined()
    expect(await small.keys.loadSealer('acme', never)).not.toBe(spent)
  })

  test('ten times the requests make the same number of calls', async () => {
    const calls = await Promise.all(
      [10, 100].map(async (perMinute) => {
        const { keys, kms, clock } = await build()
        for (let step = 0; step < 24 * 60 * perMinute; step++) {
          if (keys.sealer('acme') === undefined) await keys.loadSealer('acme', never)
          clock.advance(60_000 / perMinute)
          if (step % (perMinute / 10) === 0) await settle()
        }
        expect(keys.status().caches.encryption.hitRatio).toBeGreaterThan(0.999)
        return kms.count('generate_data_key')
      }),
    )
    // The fixture's chance is 0: each key is replaced when it is 45 of its 60 minutes old, 32 times a day.
    expect(calls).toEqual([32, 32])
  })

  test('a new data class replaces the keys that do not announce it; a removed one does not', async () => {
    const { keys } = await build()
    const before = await keys.loadSealer('acme', never)
    keys.setDataClasses(['email'])
    expect(keys.sealer('acme')).toBe(before)
    keys.setDataClasses(['email', 'name', 'ip'])
    expect(keys.sealer('acme')).toBeUndefined()
    const after = await keys.loadSealer('acme', never)
    expect(after.sealAll([{ ...item, dataClass: 'ip' }])).toHaveLength(1)
  })

  test('classes that no announcement can list are refused at start', async () => {
    for (const dataClasses of [['a.b'], [''], Array.from({ length: 65 }, (_, index) => `c${index}`)]) {
      await expect(build({ options: { dataClasses } })).rejects.toMatchObject({ code: 'CONFIG' })
    }
    const { keys } = await build({
      options: { dataClasses: Array.from({ length: 64 }, (_, index) => `c${index}`) },
    })
    expect((await keys.loadSealer('acme', never)).announcement).toContain('"c63"')
  })

  test('a tenant secret is made once, wrapped, and needed to open', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const clock = new ManualClock()
    const first = await build({ kms, store, clock, options: { tenantSecret: true } })
    const one = await first.keys.loadSealer('acme', never)
    first.keys.flush('acme')
    const two = await first.keys.loadSealer('acme', never)
    expect([...store.list('secret', 'acme')]).toHaveLength(1)
    const { id } = [...store.list('secret', 'acme')][0]!
    for (const sealer of [one, two]) {
      expect(sealer.announcement).toContain(`"tenantSecretId":"${id}"`)
      const token = sealer.sealAll([item])[0]!
      await expect(OpeningKey.unwrap(kms, sealer.announcement, undefined, never)).rejects.toThrow(
        'does not open',
      )
      const secret = await openTenantSecret({ kms, store, clock }, 'acme', id, never)
      const opener = await OpeningKey.unwrap(kms, sealer.announcement, secret, never)
      expect(opener.open(token, attributePlace('user'), OUTSIDE).dataClass).toBe('name')
    }
  })
})

describe('outage', () => {
  test('cached keys go on, cold ones are refused retryably with the class as the cause', async () => {
    const { keys, kms, value, log } = await build()
    await keys.loadSealer('acme', never)
    kms.fail('network')
    expect(keys.sealer('acme')).toBeDefined()
    const refused = await keys.loadSealer('cold', never).catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ code: 'KEY_UNAVAILABLE', cause: { code: 'KMS', kmsClass: 'network' } })
    expect(await value('kms_errors_total{operation="generate_data_key",error="network"}')).toBe('1')
    expect(keys.status().lastError).toMatchObject({
      error: 'network',
      runbook: 'docs/runbooks/kms-provider-failure.md#network',
    })
    expect(log()).toMatch(
      /KmsException network in \w+: told to fail \(see docs\/runbooks\/kms-provider-failure.md#network\)/,
    )
    kms.failure = undefined
    await keys.describe(never)
    expect(keys.status().lastError).toBeUndefined()
  })

  test('a call that hangs is a counted timeout, and its late answer is not used', async () => {
    const { keys, kms, value, log, clock } = await build({ options: { requestMsMax: 5 } })
    let open = (): void => {}
    kms.gate = new Promise((resolve) => {
      open = resolve
    })
    const refused = await keys.loadSealer('acme', never).catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ code: 'KEY_UNAVAILABLE', cause: { kmsClass: 'timeout' } })
    expect(await value('kms_errors_total{operation="generate_data_key",error="timeout"}')).toBe('1')
    expect(log()).toContain('No response after 5ms')
    open()
    await settle()
    expect(keys.sealer('acme')).toBeUndefined()
    clock.advance(10_000)
    kms.gate = undefined
    expect(await keys.loadSealer('acme', never)).toBeDefined()
  })

  test('an expired key serves through its grace and then refuses', async () => {
    const { keys, kms, clock } = await build()
    const sealer = await keys.loadSealer('acme', never)
    kms.fail('timeout')
    clock.advance(HOUR_MS + 1)
    expect(await keys.loadSealer('acme', never)).toBe(sealer)
    expect(keys.sealer('acme')).toBe(sealer)
    clock.advance(15 * 60_000)
    expect(keys.sealer('acme')).toBeUndefined()
    await expect(keys.loadSealer('acme', never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
  })
})

describe('signing keys', () => {
  test('a new tenant gets one key, stored wrapped with its public half before it signs', async () => {
    const { keys, kms, store } = await build()
    const loaded = await Promise.all(Array.from({ length: 100 }, () => keys.loadSigningKey('acme', never)))
    expect(new Set(loaded.map(({ keyId }) => keyId)).size).toBe(1)
    expect(kms.calls).toHaveLength(1)
    const { keyId, privateKey, publicKey } = loaded[0]!
    expect(kms.calls[0]).toEqual({
      operation: 'encrypt',
      context: { tenantId: 'acme', purpose: 'signing', keyId },
    })
    expect([...store.list('signing', 'acme')]).toHaveLength(1)
    expect(keys.publicKeys('acme')).toEqual([
      {
        keyId,
        algorithm: 'Ed25519',
        publicKey: Buffer.from(publicKey).toString('base64'),
        createdAt: new Date(1_790_000_000_000).toISOString(),
        notAfter: null,
        status: 'ACTIVE',
        endorsedBy: null,
        endorsement: null,
      },
    ])
    const message = Buffer.from('statement')
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    expect(verify(null, message, key, sign(null, message, privateKey))).toBe(true)
  })

  test('the private key is nowhere in the record', async () => {
    const { keys, store } = await build()
    const { privateKey } = await keys.loadSigningKey('acme', never)
    const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32)
    const record = Buffer.from([...store.list('signing', 'acme')][0]!.record)
    for (const encoding of ['base64', 'base64url', 'hex', 'latin1'] as const) {
      expect(record.includes(seed.toString(encoding).replace(/=+$/, ''))).toBe(false)
    }
  })

  test('after a restart the same key is loaded, and signs the same', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const before = await (await build({ kms, store })).keys.loadSigningKey('acme', never)
    const after = await (await build({ kms, store })).keys.loadSigningKey('acme', never)
    expect(after.keyId).toBe(before.keyId)
    const message = Buffer.from('x')
    expect(sign(null, message, after.privateKey)).toEqual(sign(null, message, before.privateKey))
    expect(kms.count('decrypt')).toBe(1)
  })

  test('a key whose record could not be stored is never used', async () => {
    const { keys, store, clock } = await build()
    store.failPuts = true
    await expect(keys.loadSigningKey('acme', never)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    expect(keys.signingKey('acme')).toBeUndefined()
    store.failPuts = false
    clock.advance(10_000)
    expect((await keys.loadSigningKey('acme', never)).keyId).toBe(keys.publicKeys('acme')[0]!.keyId)
  })

  test('tenants have keys of their own, __proto__ too', async () => {
    const { keys } = await build()
    const ids = new Set<string>()
    for (const tenant of ['acme', 'other', '__proto__', 'constructor']) {
      ids.add((await keys.loadSigningKey(tenant, never)).keyId)
      expect(keys.publicKeys(tenant)).toHaveLength(1)
    }
    expect(ids.size).toBe(4)
    expect(keys.publicKeys('nobody')).toEqual([])
  })
})

describe('pseudonym keys', () => {
  test('equal values join over restarts; tenants and classes do not', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const alice = Buffer.from('alice')
    const before = await (await build({ kms, store })).keys.loadPseudonymizer('acme', never)
    const { keys } = await build({ kms, store })
    const after = await keys.loadPseudonymizer('acme', never)
    const other = await keys.loadPseudonymizer('other', never)
    const token = before.pseudonym('name', alice)
    expect(token).toMatch(/^tok\.v1\.name\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$/)
    expect(after.pseudonym('name', alice)).toBe(token)
    const tails = [
      other.pseudonym('name', alice),
      after.pseudonym('email', alice),
      after.pseudonym('name', Buffer.from('bob')),
    ]
    for (const different of tails) expect(different.slice(-22)).not.toBe(token.slice(-22))
  })

  test('replicas that share a store and start at once end with one key', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const replicas = await Promise.all([1, 2, 3].map(() => build({ kms, store })))
    const loaded = await Promise.all(replicas.map(({ keys }) => keys.loadPseudonymizer('acme', never)))
    const settled = await Promise.all(
      replicas.map(async ({ keys }) => {
        keys.flush()
        return (await keys.loadPseudonymizer('acme', never)).pseudonym('name', Buffer.from('alice'))
      }),
    )
    expect(loaded).toHaveLength(3)
    expect(new Set(settled).size).toBe(1)
  })

  test('a class outside its alphabet is refused', async () => {
    const { keys } = await build()
    const key = await keys.loadPseudonymizer('acme', never)
    for (const name of ['', 'a.b', 'a b', 'é', 'x'.repeat(65)]) {
      expect(() => key.pseudonym(name, Buffer.from('x'))).toThrow('outside its alphabet')
    }
  })
})

describe('damaged records', () => {
  const damage: Record<string, (record: Uint8Array) => Uint8Array> = {
    'one bit': (record) => record.map((byte, index) => (index === 40 ? byte ^ 1 : byte)),
    empty: () => new Uint8Array(0),
    'cut short': (record) => record.subarray(0, -1),
    'not text': () => Uint8Array.from({ length: 100 }, (_, index) => index * 37),
  }
  for (const kind of ['signing', 'pseudonym', 'secret'] satisfies KeyRecordKind[]) {
    for (const [name, spoil] of Object.entries(damage)) {
      test(`${kind}, ${name}: refused by name, and other tenants go on`, async () => {
        const store = new MemoryKeyStore()
        const kms = await DoorKms.open()
        const options = { tenantSecret: true }
        const load = (keys: Keys, tenant: string): Promise<unknown> => {
          if (kind === 'signing') return keys.loadSigningKey(tenant, never)
          return kind === 'secret' ? keys.loadSealer(tenant, never) : keys.loadPseudonymizer(tenant, never)
        }
        await load((await build({ kms, store, options })).keys, 'acme')
        const { id, record } = [...store.list(kind, 'acme')][0]!
        await store.put(kind, 'acme', id, spoil(record))
        const { keys, log } = await build({ kms, store, options })
        await expect(load(keys, 'acme')).rejects.toMatchObject({
          code: 'KEY_UNAVAILABLE',
          cause: { code: 'KEY_RECORD_CORRUPT', record: `${kind}/acme/${id}` },
        })
        await load(keys, 'other')
        expect(keys.status().corruptRecords).toEqual([`${kind}/acme/${id}`])
        expect(log()).toContain(`${kind}/acme/${id}`)
        expect([...store.list(kind, 'acme')]).toHaveLength(1)
      })
    }
  }

  const loads = {
    signing: (keys: Keys) => keys.loadSigningKey('acme', never),
    pseudonym: (keys: Keys) => keys.loadPseudonymizer('acme', never),
    secret: (keys: Keys) => keys.loadSealer('acme', never),
  }
  for (const kind of ['signing', 'pseudonym', 'secret'] as const) {
    for (const refusal of ['invalid_ciphertext', 'bad_request'] as const) {
      test(`${kind}: one answer of ${refusal} says nothing of a record, and nobody hears of it`, async () => {
        const [store, kms, options] = [
          new MemoryKeyStore(),
          await DoorKms.open(),
          { tenantSecret: true },
        ] as const
        await loads[kind]((await build({ kms, store, options })).keys)
        const { keys, log } = await build({ kms, store, options })
        kms.fail(refusal, 'decrypt', 1)
        const calls = kms.count('decrypt')
        await loads[kind](keys)
        expect(kms.count('decrypt') - calls).toBe(2)
        expect(keys.status()).toMatchObject({ corruptRecords: [], lastError: undefined })
        const logged = log()
        expect(logged).not.toContain('"level":"error"')
        expect(logged).toContain('decrypt')
      })
    }

    test(`${kind}: a record that was named as damaged, and opens, is named no longer`, async () => {
      const [store, kms, clock] = [new MemoryKeyStore(), await DoorKms.open(), new ManualClock()]
      const options = { tenantSecret: true }
      await loads[kind]((await build({ kms, store, options })).keys)
      const { id } = [...store.list(kind, 'acme')][0]!
      const { keys, log } = await build({ kms, store, clock, options })
      kms.fail('invalid_ciphertext', 'decrypt')
      await expect(loads[kind](keys)).rejects.toMatchObject({ cause: { code: 'KEY_RECORD_CORRUPT' } })
      expect(keys.status().corruptRecords).toEqual([`${kind}/acme/${id}`])
      kms.failure = undefined
      clock.advance(60_000)
      await loads[kind](keys)
      expect(keys.status()).toMatchObject({ corruptRecords: [], lastError: undefined })
      expect(log()).toContain(`Key record ${kind}/acme/${id} opens again`)
    })
  }

  test('all are known by name after one look at the start, and whole ones are left in peace', async () => {
    const { keys, store, kms, log } = await build({ options: { tenantSecret: true } })
    for (const tenant of ['acme', 'other']) {
      await keys.loadSealer(tenant, never)
      await keys.loadSigningKey(tenant, never)
      await keys.loadPseudonymizer(tenant, never)
    }
    const calls = kms.calls.length
    expect(await keys.checkRecords()).toEqual({ checked: 8, damaged: 0 })
    const spoilt: string[] = []
    for (const kind of ['signing', 'pseudonym', 'secret'] satisfies KeyRecordKind[]) {
      const { id, record } = [...store.list(kind, 'acme')][0]!
      await store.put(kind, 'acme', id, record.subarray(0, -2))
      spoilt.push(`${kind}/acme/${id}`)
    }
    expect(await keys.checkRecords()).toEqual({ checked: 8, damaged: 3 })
    expect(keys.status().corruptRecords.toSorted()).toEqual(spoilt.toSorted())
    const logged = log()
    for (const record of spoilt) expect(logged).toContain(`Key record ${record} is corrupt: restore`)
    expect(kms.calls).toHaveLength(calls)
  })

  test('a whole record with another tenant’s wrapped key, or another public key, is damaged', async () => {
    const store = new MemoryKeyStore()
    const kms = await DoorKms.open()
    const { keys: first } = await build({ kms, store })
    const [mine, theirs] = [
      await first.loadSigningKey('acme', never),
      await first.loadSigningKey('other', never),
    ]
    const recordOf = (tenant: string, id: string) =>
      decodeKeyRecord('signing', tenant, id, store.get('signing', tenant, id)!)
    const good = recordOf('acme', mine.keyId)
    const other = recordOf('other', theirs.keyId)
    for (const change of [{ wrappedKey: other.wrappedKey }, { publicKey: other.publicKey }]) {
      await store.put('signing', 'acme', mine.keyId, encodeKeyRecord('signing', { ...good, ...change }))
      const { keys } = await build({ kms, store })
      await expect(keys.loadSigningKey('acme', never)).rejects.toMatchObject({
        cause: { code: 'KEY_RECORD_CORRUPT', record: `signing/acme/${mine.keyId}` },
      })
    }
  })

  test('a record put under another tenant’s name is damaged, whatever it holds', async () => {
    const store = new MemoryKeyStore()
    const kms = await DoorKms.open()
    const { keyId } = await (await build({ kms, store })).keys.loadSigningKey('acme', never)
    await store.put('signing', 'other', keyId, store.get('signing', 'acme', keyId)!)
    const { keys } = await build({ kms, store })
    await expect(keys.loadSigningKey('other', never)).rejects.toMatchObject({
      cause: { code: 'KEY_RECORD_CORRUPT' },
    })
    expect(keys.publicKeys('other')).toEqual([])
    expect(keys.publicKeys('acme')).toHaveLength(1)
  })
})

describe('counting', () => {
  test('hits, misses, retrievals and sizes are what happened', async () => {
    const { keys, value } = await build()
    expect(keys.sealer('acme')).toBeUndefined()
    await keys.loadSealer('acme', never)
    for (let times = 0; times < 9; times++) keys.sealer('acme')
    await keys.loadSigningKey('acme', never)
    keys.publicKeys('acme')
    keys.publicKeys('acme')
    expect(await value('kms_cache_hit_total{key_type="encryption"}')).toBe('9')
    expect(await value('kms_cache_miss_total{key_type="encryption"}')).toBe('1')
    expect(await value('kms_retrieve_encryption_key_total')).toBe('10')
    expect(await value('kms_retrieve_encryption_key_seconds_count')).toBe('1')
    expect(await value('kms_retrieve_signing_key_total')).toBe('1')
    expect(await value('kms_retrieve_public_key_total')).toBe('2')
    expect(await value('kms_cache_hit_total{key_type="public"}')).toBe('1')
    expect(await value('kms_cache_size{key_type="encryption"}')).toBe('1')
    expect(keys.status().caches.encryption).toEqual({
      size: 1,
      sizeMax: 1_000,
      hits: 9,
      misses: 1,
      hitRatio: 0.9,
      capacityEvictions: 0,
    })
    keys.flush('acme')
    expect(await value('kms_cache_evictions_total{key_type="encryption",cause="flushed"}')).toBe('1')
    expect(await value('kms_cache_size{key_type="encryption"}')).toBe('0')
  })

  test('no label holds a tenant', async () => {
    const { keys, registry } = await build()
    await keys.loadSealer('tenant-canary', never)
    await keys.loadSigningKey('tenant-canary', never)
    await keys.loadPseudonymizer('tenant-canary', never)
    expect(await registry.metrics()).not.toContain('canary')
  })
})

test('closed keys forget everything and load nothing', async () => {
  const { keys } = await build()
  await keys.loadSealer('acme', never)
  await keys.close()
  expect(keys.sealer('acme')).toBeUndefined()
  await expect(keys.loadSealer('acme', never)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})

const givenZeros: Kms = {
  provider: 'local',
  masterKeyId: '',
  generateDataKey: async () => ({
    plaintext: new Uint8Array(32),
    wrapped: new Uint8Array(1),
    masterKeyId: '',
  }),
  wrap: async () => ({ wrapped: new Uint8Array(1), masterKeyId: '' }),
  unwrap: async () => new Uint8Array(32),
  describe: async () => ({ enabled: true, masterKeyId: '' }),
  close: async () => {},
}
