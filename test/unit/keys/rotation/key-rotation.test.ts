import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAnnouncement } from '../../../../src/formats/announcement.ts'
import {
  type EndorsedKey,
  endorsedKeyOf,
  judgeEndorsements,
  type PublicKeyRecord,
} from '../../../../src/formats/endorsement.ts'
import { OpeningKey } from '../../../../src/keys/data/opening-key.ts'
import { openTenantSecret } from '../../../../src/keys/data/tenant-secret.ts'
import type { Keys } from '../../../../src/keys/keys.ts'
import { decodeKeyRecord, encodeKeyRecord } from '../../../../src/keys/records/key-record.ts'
import { revokeSigningKey } from '../../../../src/keys/signing/signing-keys.ts'
import { attributePlace, OUTSIDE } from '../../formats/places.ts'
import { DoorKms, temporaryFolder } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { build, DAY_MS, HOUR_MS, item, never, settle } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const MESSAGE = Buffer.from('statement')

/** The public half as who has only the exported keys has it. */
function exportedKey(records: readonly PublicKeyRecord[], keyId: string): KeyObject {
  const record = records.find((each) => each.keyId === keyId)
  const spki = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(record!.publicKey, 'base64'),
  ])
  return createPublicKey({ key: spki, format: 'der', type: 'spki' })
}

const endorsed = (records: readonly PublicKeyRecord[]): EndorsedKey[] => records.map(endorsedKeyOf)

const activeOf = (keys: Keys, tenant = 'acme'): PublicKeyRecord[] =>
  keys.publicKeys(tenant).filter(({ status }) => status === 'ACTIVE')

async function signNow(keys: Keys, tenant = 'acme'): Promise<{ keyId: string; signature: Buffer }> {
  const { keyId, privateKey } = await keys.loadSigningKey(tenant, never)
  return { keyId, signature: sign(null, MESSAGE, privateKey) }
}

describe('a rotation', () => {
  test('makes a new signing key that the old one endorses, and ends the old one', async () => {
    const { keys, clock } = await build()
    const first = await keys.loadSigningKey('acme', never)
    clock.advance(DAY_MS)
    const rotated = await keys.rotate('acme', 'requested', never)
    const second = keys.signingKey('acme')!
    expect(second.keyId).not.toBe(first.keyId)
    expect(rotated.signing).toEqual({ keyId: second.keyId, previousKeyId: first.keyId })
    const records = keys.publicKeys('acme')
    expect(records.map(({ keyId, status, endorsedBy }) => ({ keyId, status, endorsedBy }))).toEqual([
      { keyId: first.keyId, status: 'ROTATED', endorsedBy: null },
      { keyId: second.keyId, status: 'ACTIVE', endorsedBy: first.keyId },
    ])
    expect(records[0]!.notAfter).toBe(new Date(clock.ms + 60_000).toISOString())
    expect([...judgeEndorsements('acme', endorsed(records)).values()]).toEqual(['first', 'endorsed'])
  })

  test('needs no wait: a key is at hand before, during and after', async () => {
    const { keys, kms } = await build()
    await keys.loadSigningKey('acme', never)
    await keys.loadSealer('acme', never)
    let open = (): void => {}
    kms.gate = new Promise((resolve) => {
      open = resolve
    })
    const rotation = keys.rotate('acme', 'requested', never)
    for (let turn = 0; turn < 20; turn++) {
      expect(keys.signingKey('acme')).toBeDefined()
      expect(keys.sealer('acme')).toBeDefined()
      if (turn === 10) open()
      await settle()
    }
    await rotation
    expect(keys.signingKey('acme')).toBeDefined()
    expect(keys.sealer('acme')).toBeDefined()
  })

  test('replaces the data key in use, and makes none for a tenant that seals nothing', async () => {
    const { keys } = await build()
    await keys.loadSigningKey('quiet', never)
    expect((await keys.rotate('quiet', 'requested', never)).encryption).toBeUndefined()
    const before = await keys.loadSealer('acme', never)
    const { encryption, signing } = await keys.rotate('acme', 'requested', never)
    expect(signing).toBeUndefined()
    expect(keys.publicKeys('acme')).toEqual([])
    const after = keys.sealer('acme')!
    expect(after).not.toBe(before)
    expect(after.announcementKey).toBe(`betrace.key.${encryption!.kid}`)
  })

  test('leaves the pseudonym key alone, so that values go on joining, unless it is asked for', async () => {
    const { keys } = await build()
    const token = async (): Promise<string> =>
      (await keys.loadPseudonymizer('acme', never)).pseudonym('name', Buffer.from('alice'))
    const before = await token()
    await keys.rotate('acme', 'requested', never)
    keys.flush()
    expect(await token()).toBe(before)
    const { pseudonym } = await keys.rotate('acme', 'requested', never, { pseudonym: true })
    const after = await token()
    expect(after).not.toBe(before)
    expect(after).toContain(pseudonym!.kid)
    keys.flush()
    expect(await token()).toBe(after)
  })

  test('a hundred who ask at once get one', async () => {
    const { keys, value } = await build()
    await keys.loadSigningKey('acme', never)
    const rotated = await Promise.all(
      Array.from({ length: 100 }, () => keys.rotate('acme', 'requested', never)),
    )
    expect(new Set(rotated.map(({ signing }) => signing!.keyId)).size).toBe(1)
    expect(keys.publicKeys('acme')).toHaveLength(2)
    expect(await value('kms_rotation_success_total')).toBe('1')
  })

  test('that fails leaves everything as it was, is counted, and who gives up does not stop it', async () => {
    const { keys, kms, value, log } = await build()
    const { keyId } = await keys.loadSigningKey('acme', never)
    kms.fail('network')
    await expect(keys.rotate('acme', 'scheduled', never)).rejects.toMatchObject({
      code: 'KEY_UNAVAILABLE',
      cause: { kmsClass: 'network' },
    })
    expect(keys.signingKey('acme')!.keyId).toBe(keyId)
    expect(keys.publicKeys('acme')).toHaveLength(1)
    expect(await value('kms_rotation_failures_total')).toBe('1')
    expect(await value('kms_rotation_success_total')).toBe('0')
    expect(keys.rotationStatus()).toMatchObject({
      failed: 1,
      lastFailure: { tenant: 'acme', error: 'network' },
    })
    expect(log()).toContain('docs/runbooks/key-rotation-failure.md')
    kms.failure = undefined
    await expect(keys.rotate('acme', 'requested', AbortSignal.abort())).rejects.toThrow('gave up waiting')
    await keys.rotate('acme', 'requested', never)
    expect(keys.publicKeys('acme')).toHaveLength(2)
  })

  test('of a tenant that is not in the cache leaves those that are', async () => {
    const { keys } = await build({ options: { sizeMax: 3 } })
    const tenants = Array.from({ length: 10 }, (_, index) => `t${index}`)
    for (const tenant of tenants) await keys.loadSigningKey(tenant, never)
    for (const tenant of tenants.slice(0, 7)) await keys.rotate(tenant, 'scheduled', never)
    for (const tenant of tenants.slice(7)) expect(keys.signingKey(tenant)).toBeDefined()
    for (const tenant of tenants.slice(0, 7)) {
      expect(keys.signingKey(tenant)).toBeUndefined()
      const { keyId } = await keys.loadSigningKey(tenant, never)
      expect(activeOf(keys, tenant).map((record) => record.keyId)).toEqual([keyId])
      expect(keys.publicKeys(tenant)).toHaveLength(2)
    }
  })

  test('drops a load of the old key that is still under way', async () => {
    const { keys, kms } = await build()
    const { keyId: old } = await keys.loadSigningKey('acme', never)
    keys.flush('acme')
    let open = (): void => {}
    kms.gate = new Promise((resolve) => {
      open = resolve
    })
    const underWay = keys.loadSigningKey('acme', never) // has read the old record
    const rotation = keys.rotate('acme', 'requested', never)
    await settle()
    open()
    kms.gate = undefined
    expect((await underWay).keyId).toBe(old)
    const { signing } = await rotation
    expect((await keys.loadSigningKey('acme', never)).keyId).toBe(signing!.keyId)
  })

  test('drops a refresh of the old key that is still under way', async () => {
    const { keys, kms, clock } = await build()
    await keys.loadSigningKey('acme', never)
    clock.advance(0.8 * HOUR_MS)
    let open = (): void => {}
    kms.gate = new Promise((resolve) => {
      open = resolve
    })
    keys.signingKey('acme') // old enough to be loaded anew
    await settle()
    expect(kms.count('decrypt')).toBe(1)
    const gate = kms.gate
    kms.gate = undefined
    const { signing } = await keys.rotate('acme', 'requested', never)
    open()
    await gate
    await settle()
    expect(keys.signingKey('acme')!.keyId).toBe(signing!.keyId)
  })

  test('under a clock that was set back, the new key is the one in force', async () => {
    const clock = new ManualClock()
    const store = new MemoryKeyStore()
    const kms = await DoorKms.open()
    const { keys } = await build({ clock, store, kms })
    await keys.loadSigningKey('acme', never)
    clock.advance(-30 * DAY_MS)
    const { signing } = await keys.rotate('acme', 'requested', never)
    expect(keys.publicKeys('acme').map(({ status }) => status)).toEqual(['ROTATED', 'ACTIVE'])
    const again = await build({ clock, store, kms })
    expect((await again.keys.loadSigningKey('acme', never)).keyId).toBe(signing!.keyId)
  })

  test('with a damaged active key is refused, and makes no key that nobody vouches for', async () => {
    const { keys, store } = await build()
    const { keyId } = await keys.loadSigningKey('acme', never)
    await store.put('signing', 'acme', keyId, Buffer.from('rubbish'))
    await expect(keys.rotate('acme', 'requested', never)).rejects.toMatchObject({
      cause: { code: 'KEY_RECORD_CORRUPT', record: `signing/acme/${keyId}` },
    })
    expect([...store.list('signing', 'acme')]).toHaveLength(1)
  })
})

describe('a hundred rotations', () => {
  for (const isPlain of [true, false])
    test(`everything ever sealed opens, everything ever signed verifies with the exported keys${isPlain ? '' : ', with a tenant secret and a master key of the tenant’s own'}`, async () => {
      const keyFile = join(temporaryFolder(), 'local-kms.key')
      const tenantKeyMapping = new Map(isPlain ? [] : [['acme', 'acme-master']])
      const openKms = (create: boolean): Promise<DoorKms> =>
        DoorKms.open({ keyFile, tenantKeyMapping, create })
      const store = new MemoryKeyStore()
      const clock = new ManualClock()
      const options = { tenantSecret: !isPlain }
      let current = await build({ kms: await openKms(true), store, clock, options })
      const sealed: { announcement: string; token: string }[] = []
      const signatures: { keyId: string; signature: Buffer }[] = []
      for (let rotation = 0; rotation < 100; rotation++) {
        const { keys } = current
        const sealer = keys.sealer('acme') ?? (await keys.loadSealer('acme', never))
        sealed.push({ announcement: sealer.announcement, token: sealer.sealAll([item])[0]! })
        signatures.push(await signNow(keys))
        clock.advance(DAY_MS / 48)
        await keys.rotate('acme', 'requested', never)
        // A restart, and the master key read from its file again.
        if (rotation % 10 === 9) current = await build({ kms: await openKms(false), store, clock, options })
      }
      const records = current.keys.publicKeys('acme')
      expect(records).toHaveLength(101)
      expect(new Set(signatures.map(({ keyId }) => keyId)).size).toBe(100)
      for (const { keyId, signature } of signatures)
        expect(verify(null, MESSAGE, exportedKey(records, keyId), signature)).toBe(true)
      expect(new Set(sealed.map(({ announcement }) => announcement)).size).toBe(100)
      const kms = await openKms(false)
      for (const { announcement, token } of sealed) {
        const { tenantSecretId } = parseAnnouncement(announcement)!
        expect(tenantSecretId === '').toBe(isPlain)
        const secret = isPlain
          ? undefined
          : await openTenantSecret({ kms, store, clock }, 'acme', tenantSecretId, never)
        const opener = await OpeningKey.unwrap(kms, announcement, secret, never)
        expect(Buffer.from(opener.open(token, attributePlace('user'), OUTSIDE).plaintext)).toEqual(
          item.plaintext,
        )
      }
      const verdicts = [...judgeEndorsements('acme', endorsed(records)).values()]
      expect(verdicts.filter((verdict) => verdict === 'endorsed')).toHaveLength(100)
      expect(records.filter(({ status }) => status === 'ACTIVE')).toHaveLength(1)
    })
})

describe('a death on the way', () => {
  for (const tenantSecret of [false, true]) {
    for (const lastPutLands of [false, true]) {
      test(`at any write, ${lastPutLands ? 'just after' : 'just before'} it${tenantSecret ? ', with a tenant secret' : ''}: one usable key, and all that was signed verifies`, async () => {
        let cuts = 0
        for (let dieAt = 1; ; dieAt++) {
          const kms = await DoorKms.open()
          const store = new MemoryKeyStore()
          const clock = new ManualClock()
          const options = { tenantSecret }
          const { keys } = await build({ kms, store, clock, options })
          const signatures = [await signNow(keys)]
          const sealer = await keys.loadSealer('acme', never)
          const token = sealer.sealAll([item])[0]!
          clock.advance(HOUR_MS)
          store.dieAtPut = dieAt
          store.lastPutLands = lastPutLands
          await keys.rotate('acme', 'requested', never, { pseudonym: true }).catch(() => undefined)
          const isOver = store.dieAtPut > 0
          signatures.push(await signNow(keys)) // by whatever the dying process still had in hand
          const restarted = await build({ kms, store: store.restarted(), clock, options })
          signatures.push(await signNow(restarted.keys))
          expect(activeOf(restarted.keys)).toHaveLength(1)
          expect(activeOf(restarted.keys)[0]!.keyId).toBe(signatures.at(-1)!.keyId)
          // The next rotation goes on from there.
          await restarted.keys.rotate('acme', 'requested', never)
          signatures.push(await signNow(restarted.keys))
          expect(activeOf(restarted.keys)).toHaveLength(1)
          const records = restarted.keys.publicKeys('acme')
          for (const { keyId, signature } of signatures)
            expect(verify(null, MESSAGE, exportedKey(records, keyId), signature)).toBe(true)
          const verdicts = [...judgeEndorsements('acme', endorsed(records)).values()]
          expect(verdicts.every((verdict) => verdict === 'first' || verdict === 'endorsed')).toBe(true)
          expect(verdicts.filter((verdict) => verdict === 'first')).toHaveLength(1)
          expect(sealer.sealAll([item])[0]).not.toBe(token)
          if (isOver) break
          cuts++
        }
        expect(cuts).toBeGreaterThanOrEqual(3)
      })
    }
  }

  test('a pseudonym rotation cut short at any write keeps the one key that joins', async () => {
    for (const lastPutLands of [false, true]) {
      for (let dieAt = 1; ; dieAt++) {
        const kms = await DoorKms.open()
        const store = new MemoryKeyStore()
        const { keys } = await build({ kms, store })
        const token = async (of: Keys): Promise<string> =>
          (await of.loadPseudonymizer('acme', never)).pseudonym('name', Buffer.from('alice'))
        const before = await token(keys)
        store.dieAtPut = dieAt
        store.lastPutLands = lastPutLands
        const outcome = await keys.rotate('acme', 'requested', never, { pseudonym: true }).then(
          () => true,
          () => false,
        )
        const isOver = store.dieAtPut > 0
        const disk = store.restarted()
        const [one, two] = [await build({ kms, store: disk }), await build({ kms, store: disk })]
        expect(await token(one.keys)).toBe(await token(two.keys))
        if (outcome) expect(await token(one.keys)).not.toBe(before)
        await one.keys.rotate('acme', 'requested', never, { pseudonym: true })
        expect([...disk.list('pseudonym', 'acme')].length).toBeLessThanOrEqual(3)
        if (isOver) break
      }
    }
  })
})

test('a pseudonym key that a cut rotation left behind takes over; no third is made', async () => {
  const kms = await DoorKms.open()
  const store = new MemoryKeyStore()
  const { keys } = await build({ kms, store })
  await keys.loadPseudonymizer('acme', never)
  store.dieAtPut = 2 // the new record stands, the old one did not end
  await expect(keys.rotate('acme', 'requested', never, { pseudonym: true })).rejects.toThrow()
  const disk = store.restarted()
  const [, waiting] = [...disk.list('pseudonym', 'acme')]
  const next = await build({ kms, store: disk })
  const { pseudonym } = await next.keys.rotate('acme', 'requested', never, { pseudonym: true })
  expect([...disk.list('pseudonym', 'acme')]).toHaveLength(2)
  expect(pseudonym!.kid).toBe(waiting!.id)
})

describe('revocation', () => {
  test('ends a key for good, also in the cache, and the next is a first key again', async () => {
    const { keys, revoke } = await build()
    const first = await keys.loadSigningKey('acme', never)
    await keys.rotate('acme', 'requested', never)
    const second = keys.signingKey('acme')!
    expect(await revoke('acme', second.keyId)).toBe(true)
    expect(await revoke('acme', second.keyId)).toBe(false)
    expect(keys.signingKey('acme')).toBeUndefined()
    const third = await keys.loadSigningKey('acme', never)
    expect(new Set([first.keyId, second.keyId, third.keyId]).size).toBe(3)
    const records = keys.publicKeys('acme')
    expect(records.map(({ status, endorsedBy }) => [status, endorsedBy])).toEqual(
      expect.arrayContaining([
        ['ROTATED', null],
        ['REVOKED', first.keyId],
        ['ACTIVE', null],
      ]),
    )
  })

  test('of a key that endorsed the one in use ends that one too, through any number of rotations', async () => {
    for (const rotations of [1, 3]) {
      const { keys, revoke } = await build()
      const stolen = await keys.loadSigningKey('acme', never)
      for (let turn = 0; turn < rotations; turn++) await keys.rotate('acme', 'requested', never)
      const inUse = keys.signingKey('acme')!
      expect(await revoke('acme', stolen.keyId)).toBe(true)
      expect(keys.signingKey('acme')).toBeUndefined()
      const next = await keys.loadSigningKey('acme', never)
      expect([stolen.keyId, inUse.keyId]).not.toContain(next.keyId)
      const records = keys.publicKeys('acme')
      expect(activeOf(keys)).toEqual([expect.objectContaining({ keyId: next.keyId, endorsedBy: null })])
      // It was not stolen itself, so it is over and not revoked.
      expect(records.find(({ keyId }) => keyId === inUse.keyId)).toMatchObject({
        status: 'ROTATED',
        notAfter: expect.any(String),
      })
    }
  })

  test('of a key that has nothing to do with the one in use leaves that one alone', async () => {
    const { keys, revoke } = await build()
    const first = await keys.loadSigningKey('acme', never)
    await revoke('acme', first.keyId)
    const second = await keys.loadSigningKey('acme', never)
    expect(await revoke('acme', first.keyId)).toBe(false)
    expect((await keys.loadSigningKey('acme', never)).keyId).toBe(second.keyId)
  })

  test('that died halfway is ended by the next call, and no key that it endorsed signs', async () => {
    for (const dieAt of [1, 2])
      for (const lands of [false, true]) {
        const kms = await DoorKms.open()
        const store = new MemoryKeyStore()
        const { keys, revoke } = await build({ kms, store })
        const stolen = await keys.loadSigningKey('acme', never)
        await keys.rotate('acme', 'requested', never)
        store.dieAtPut = dieAt
        store.lastPutLands = lands
        await revoke('acme', stolen.keyId).catch(() => undefined)
        const next = await build({ kms, store: store.restarted() })
        await next.revoke('acme', stolen.keyId)
        await next.keys.loadSigningKey('acme', never)
        expect(activeOf(next.keys)).toEqual([expect.objectContaining({ endorsedBy: null })])
      }
  })

  test('of a key whose rotation was cut short brings nothing back', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const { keys } = await build({ kms, store })
    const first = await keys.loadSigningKey('acme', never)
    store.dieAtPut = 2 // the end of the old key is not written
    const { signing } = await keys.rotate('acme', 'requested', never)
    const disk = store.restarted()
    expect(
      decodeKeyRecord('signing', 'acme', first.keyId, disk.get('signing', 'acme', first.keyId)!).status,
    ).toBe('ACTIVE')
    const next = await build({ kms, store: disk })
    await next.revoke('acme', signing!.keyId)
    const third = await next.keys.loadSigningKey('acme', never)
    expect([first.keyId, signing!.keyId]).not.toContain(third.keyId)
    expect(activeOf(next.keys).map(({ keyId }) => keyId)).toEqual([third.keyId])
  })

  test('of a key that is not there, or of another tenant, is refused by name', async () => {
    const { keys, revoke } = await build()
    const { keyId } = await keys.loadSigningKey('acme', never)
    await expect(revoke('acme', 'nope')).rejects.toMatchObject({ record: 'signing/acme/nope' })
    await expect(revoke('other', keyId)).rejects.toMatchObject({ code: 'KEY_RECORD_CORRUPT' })
    expect(keys.signingKey('acme')!.keyId).toBe(keyId)
  })
})

describe('ages', () => {
  test('are read from the records: who was off for half a year is found overdue at once', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const clock = new ManualClock()
    const before = await build({ kms, store, clock })
    await before.keys.loadSigningKey('old', never)
    clock.advance(100 * DAY_MS)
    await before.keys.loadSigningKey('young', never)
    clock.advance(80 * DAY_MS)
    const { keys, value } = await build({ kms, store, clock })
    expect((await keys.tenantsNeedingRotation()).map(({ tenant }) => tenant)).toEqual(['old'])
    expect(await value('kms_rotation_overdue_tenants')).toBe('1')
    const bornSeconds = (clock.ms - 180 * DAY_MS) / 1_000
    expect(await value('kms_last_rotation_timestamp_seconds{key_type="signing"}')).toBe(String(bornSeconds))
    await keys.rotate('old', 'scheduled', never)
    expect(await keys.tenantsNeedingRotation()).toEqual([])
    expect(await value('kms_rotation_overdue_tenants')).toBe('0')
    expect(await value('kms_last_rotation_timestamp_seconds{key_type="signing"}')).toBe(
      String((clock.ms - 80 * DAY_MS) / 1_000),
    )
  })

  test('a process that has just started knows from the records when the last rotation was', async () => {
    const kms = await DoorKms.open()
    const store = new MemoryKeyStore()
    const clock = new ManualClock()
    const before = await build({ kms, store, clock })
    await before.keys.loadSigningKey('acme', never)
    clock.advance(DAY_MS)
    await before.keys.rotate('acme', 'requested', never)
    const rotatedMs = clock.nowMs()
    clock.advance(DAY_MS)
    await before.keys.loadSigningKey('newcomer', never) // a first key is no rotation
    const { keys } = await build({ kms, store, clock })
    await keys.tenantsNeedingRotation()
    expect(keys.rotationStatus().lastSuccessMs).toBe(rotatedMs)
  })

  test('a key is overdue at its ninetieth day, not a millisecond before', async () => {
    const { keys, clock } = await build()
    await keys.loadSigningKey('acme', never)
    clock.advance(90 * DAY_MS - 1)
    expect(await keys.tenantsNeedingRotation()).toEqual([])
    clock.advance(1)
    expect(await keys.tenantsNeedingRotation()).toHaveLength(1)
  })

  test('the time of the data key in use is shown too, and nothing where there is none', async () => {
    const { keys, clock, value } = await build()
    const name = 'kms_last_rotation_timestamp_seconds{key_type="encryption"}'
    expect(await value(name)).toBe('absent')
    await keys.loadSealer('acme', never)
    expect(await value(name)).toBe(String(clock.ms / 1_000))
    clock.advance(HOUR_MS / 2)
    await keys.rotate('acme', 'requested', never)
    expect(await value(name)).toBe(String(clock.ms / 1_000))
  })

  test('a damaged record is named, and the others are still found', async () => {
    const { keys, store, clock } = await build()
    await keys.loadSigningKey('acme', never)
    await store.put('signing', 'broken', 'k1', Buffer.from('rubbish'))
    clock.advance(91 * DAY_MS)
    expect((await keys.tenantsNeedingRotation()).map(({ tenant }) => tenant)).toEqual(['acme'])
    expect(keys.status().corruptRecords).toEqual(['signing/broken/k1'])
  })
})

test('a record from before there were rotations is read as a first key', async () => {
  const { keys, store } = await build()
  const { keyId } = await keys.loadSigningKey('acme', never)
  const record = decodeKeyRecord('signing', 'acme', keyId, store.get('signing', 'acme', keyId)!)
  expect(record.endorsement).toHaveLength(0)
  const text = Buffer.from(encodeKeyRecord('signing', record)).toString()
  expect(text).toContain('"endorsement":""')
})

test('whatever happens in whatever order, one key signs and nothing that was signed is lost', async () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constantFrom('rotate' as const, 'restart' as const, 'revoke' as const, 'flush' as const),
    }),
    fc.record({ do: fc.constant('die' as const), at: fc.integer({ min: 1, max: 4 }), lands: fc.boolean() }),
    fc.record({ do: fc.constant('clock' as const), ms: fc.integer({ min: -DAY_MS, max: DAY_MS }) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const kms = await DoorKms.open()
      const clock = new ManualClock()
      let store = new MemoryKeyStore()
      let { keys } = await build({ kms, store, clock })
      const signatures: { keyId: string; signature: Buffer }[] = [await signNow(keys)]
      const revoked = new Set<string>()
      const restart = async (): Promise<void> => {
        store = store.restarted()
        keys = (await build({ kms, store, clock })).keys
      }
      for (const what of steps) {
        if (what.do === 'rotate') await keys.rotate('acme', 'requested', never)
        else if (what.do === 'restart') await restart()
        else if (what.do === 'flush') keys.flush()
        else if (what.do === 'clock') clock.advance(what.ms)
        else if (what.do === 'revoke') {
          const { keyId } = activeOf(keys)[0]!
          revoked.add(keyId)
          await revokeSigningKey({ store, clock }, 'acme', keyId)
          keys.flush('acme')
        } else if (what.do === 'die') {
          store.dieAtPut = what.at
          store.lastPutLands = what.lands
          await keys.rotate('acme', 'requested', never).catch(() => undefined)
          if (keys.signingKey('acme') !== undefined) signatures.push(await signNow(keys))
          await restart()
        }
        // Failures are remembered for a moment, on a clock that may have gone back.
        keys.flush()
        signatures.push(await signNow(keys))
        expect(activeOf(keys).map(({ keyId }) => keyId)).toEqual([signatures.at(-1)!.keyId])
        expect(revoked).not.toContain(signatures.at(-1)!.keyId)
      }
      const records = keys.publicKeys('acme')
      for (const { keyId, signature } of signatures)
        expect(verify(null, MESSAGE, exportedKey(records, keyId), signature)).toBe(true)
      expect(new Set(records.filter(({ status }) => status === 'REVOKED').map(({ keyId }) => keyId))).toEqual(
        revoked,
      )
      const verdicts = [...judgeEndorsements('acme', endorsed(records)).values()]
      expect(verdicts.filter((verdict) => verdict === 'first').length).toBe(1 + revoked.size)
      expect(
        verdicts.every(
          (verdict) => verdict === 'first' || verdict === 'endorsed' || verdict === 'endorser_revoked',
        ),
      ).toBe(true)
    }),
    { numRuns: 60 },
  )
})
