import { describe, expect, test } from 'vitest'
import { rewrapAll } from '../../../../src/keys/operations/rewrap.ts'
import { decodeKeyRecord } from '../../../../src/keys/records/key-record.ts'
import { type Kms, KmsError } from '../../../../src/kms/kms.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { build, never } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const TENANTS = Array.from({ length: 30 }, (_, index) => `t${index}`)

async function filled(kms: Kms & DoorKms): Promise<{ store: MemoryKeyStore; ids: string[] }> {
  const store = new MemoryKeyStore()
  const { keys } = await build({ kms, store })
  const ids: string[] = []
  for (const tenant of TENANTS) {
    ids.push((await keys.loadSigningKey(tenant, never)).keyId)
    await keys.loadSealer(tenant, never)
  }
  await keys.rotate('t0', 'requested', never)
  return { store, ids }
}

describe('rewrapping', () => {
  test('interrupted after any number of keys, the next run does the rest, and none twice', async () => {
    const [from, to] = [await DoorKms.open(), await DoorKms.open()]
    const { store } = await filled(from)
    const clock = new ManualClock()
    const seen: number[] = []
    let rewrapped = 0
    for (let run = 0; run < 20; run++) {
      const stopping = new AbortController()
      const report = await rewrapAll(
        {
          from,
          to,
          store,
          clock,
          onProgress: (progress) => {
            if (progress.rewrapped >= 10) stopping.abort()
          },
        },
        stopping.signal,
      )
      rewrapped += report.rewrapped
      seen.push(report.skipped)
      expect(report.failed).toBe(0)
      if (!report.isInterrupted) break
    }
    const total = [...store.list('signing')].length + [...store.list('announcement')].length
    expect(rewrapped).toBe(total)
    expect(seen.length).toBeGreaterThan(2)
    const { keys } = await build({ kms: to, store })
    for (const tenant of TENANTS) expect((await keys.loadSigningKey(tenant, never)).keyId).toBeDefined()
    // A rotated key keeps its state and its endorsement, and the active one can still endorse.
    expect(keys.publicKeys('t0').map(({ status }) => status)).toEqual(['ROTATED', 'ACTIVE'])
    await keys.rotate('t0', 'requested', never)
  })

  test('a store that dies at any write leaves each key under one of the two master keys', async () => {
    for (let dieAt = 1; dieAt <= 12; dieAt += 1) {
      for (const lastPutLands of [false, true]) {
        const [from, to] = [await DoorKms.open(), await DoorKms.open()]
        const store = new MemoryKeyStore()
        const { keys } = await build({ kms: from, store })
        const before = await Promise.all(
          TENANTS.slice(0, 5).map(async (tenant) => (await keys.loadSigningKey(tenant, never)).keyId),
        )
        store.dieAtPut = dieAt
        store.lastPutLands = lastPutLands
        await rewrapAll({ from, to, store, clock: new ManualClock() }, never)
        const disk = store.restarted()
        const report = await rewrapAll({ from, to, store: disk, clock: new ManualClock() }, never)
        expect(report.failed).toBe(0)
        const again = await build({ kms: to, store: disk })
        const after = await Promise.all(
          TENANTS.slice(0, 5).map(async (tenant) => (await again.keys.loadSigningKey(tenant, never)).keyId),
        )
        expect(after).toEqual(before)
      }
    }
  })

  test('a new key service that gives back other bytes replaces nothing', async () => {
    const [from, to] = [await DoorKms.open(), await DoorKms.open()]
    const { store, ids } = await filled(from)
    const liar: Kms = {
      provider: to.provider,
      masterKeyId: to.masterKeyId,
      generateDataKey: (...args) => to.generateDataKey(...args),
      wrap: (plaintext, context, signal) =>
        to.wrap(
          plaintext.map((byte) => byte ^ 1),
          context,
          signal,
        ),
      unwrap: (...args) => to.unwrap(...args),
      describe: (...args) => to.describe(...args),
      close: () => to.close(),
    }
    const report = await rewrapAll({ from, to: liar, store, clock: new ManualClock() }, never)
    expect(report.rewrapped).toBe(0)
    expect(report.failures).toMatchObject([
      { error: { kmsClass: 'invalid_ciphertext' }, count: report.total },
    ])
    const { keys } = await build({ kms: from, store })
    expect((await keys.loadSigningKey('t5', never)).keyId).toBe(ids[5])
  })

  test('one damaged record fails by name, the rest goes on; a dead new service fails all and changes none', async () => {
    const [from, to] = [await DoorKms.open(), await DoorKms.open()]
    const { store, ids } = await filled(from)
    await store.put('signing', 't3', ids[3]!, Buffer.from('rubbish'))
    await store.put('announcement', 't4', 'abcdefghijkl', Buffer.from('{}'))
    to.failure = new KmsError('access_denied', 'encrypt', 'no')
    const dead = await rewrapAll({ from, to, store, clock: new ManualClock() }, never)
    expect(dead.rewrapped).toBe(0)
    expect(dead.failed).toBe(dead.total)
    const denied = dead.failures.find(({ error }) => error instanceof KmsError)!
    expect(denied.error).toMatchObject({ kmsClass: 'access_denied', providerMessage: 'no' })
    expect(denied.records).toHaveLength(3)
    expect(dead.failures.reduce((sum, { count }) => sum + count, 0)).toBe(dead.total)
    to.failure = undefined
    const report = await rewrapAll({ from, to, store, clock: new ManualClock() }, never)
    expect(report.failures).toEqual([
      {
        error: expect.objectContaining({ code: 'KEY_RECORD_CORRUPT' }),
        count: 2,
        records: [`signing/t3/${ids[3]}`, 'announcement/t4/abcdefghijkl'],
      },
    ])
    expect(report.rewrapped).toBe(report.total - 2)
    const record = decodeKeyRecord('signing', 't5', ids[5]!, store.get('signing', 't5', ids[5]!)!)
    expect(record.masterKeyId).toBe(to.masterKeyId)
  })
})
