// One damaged key record, of each kind and in each way: what goes on, and what is named. The table is docs/damage.md's.
import { describe, expect, test } from 'vitest'
import { parseAnnouncement } from '../../../../src/formats/announcement.ts'
import { rewrapAll } from '../../../../src/keys/operations/rewrap.ts'
import { encodeKeyRecord } from '../../../../src/keys/records/key-record.ts'
import type { KeyRecordKind } from '../../../../src/keys/records/keystore.ts'
import { namedMasterKeys } from '../../../../src/keys/records/named-master-keys.ts'
import { createPseudonymTrust } from '../../../../src/keys/trust/pseudonym-trust.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { build, never } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const KINDS = ['signing', 'pseudonym', 'secret', 'announcement', 'rewrapped'] as const
type Need = 'signing' | 'pseudonym' | 'encryption'
/** What of its own tenant needs a record; nothing that a running sidecar does needs the last two. */
const NEEDED_BY: Readonly<Record<KeyRecordKind, Need | undefined>> = {
  signing: 'signing',
  pseudonym: 'pseudonym',
  secret: 'encryption',
  announcement: undefined,
  rewrapped: undefined,
}
const DAMAGES = ['missing', 'empty', 'cut', 'garbage', 'another tenant’s'] as const

/** Two tenants with a key of each kind, and a rotated signing key with its endorsement. */
async function stored() {
  const [store, kms, clock] = [new MemoryKeyStore(), await DoorKms.open(), new ManualClock()]
  const { keys, log } = await build({ kms, store, clock, options: { tenantSecret: true } })
  for (const tenant of ['acme', 'other']) {
    await keys.loadSealer(tenant, never)
    await keys.loadSigningKey(tenant, never)
    await keys.loadPseudonymizer(tenant, never)
    clock.advance(1_000)
    await keys.rotate(tenant, 'requested', never)
    const { id, record } = [...store.list('announcement', tenant)][0]!
    const { provider, masterKeyId, wrappedKey } = parseAnnouncement(Buffer.from(record).toString('utf8'))!
    const later = { tenant, id, provider, masterKeyId, wrappedKey, createdMs: clock.nowMs() }
    const none = { publicKey: new Uint8Array(0), endorsedBy: '', endorsement: new Uint8Array(0) }
    const bytes = { ...later, ...none, notAfterMs: undefined, status: 'ACTIVE' as const }
    await store.put('rewrapped', tenant, id, encodeKeyRecord('rewrapped', bytes))
  }
  log()
  return { store, kms, clock }
}

type Stored = Awaited<ReturnType<typeof stored>>

async function spoil({ store }: Stored, kind: KeyRecordKind, damage: (typeof DAMAGES)[number], id: string) {
  const record = store.get(kind, 'acme', id)!
  const others = [...store.list(kind, 'other')].at(-1)!.record
  if (damage === 'missing') return store.remove(kind, 'acme', id)
  const bytes = {
    empty: new Uint8Array(0),
    cut: record.subarray(0, record.length >> 1),
    garbage: Uint8Array.from({ length: 300 }, (_, index) => (index * 37) & 255),
    'another tenant’s': others,
  }[damage]
  return store.put(kind, 'acme', id, bytes)
}

async function open({ store, kms, clock }: Stored) {
  return build({ kms, store, clock, options: { tenantSecret: true } })
}

const outcome = (loading: Promise<unknown>): Promise<string> =>
  loading.then(
    () => 'served',
    (thrown: { code?: string; cause?: { code?: string } }) => thrown.cause?.code ?? thrown.code ?? 'unknown',
  )

async function served(keys: Awaited<ReturnType<typeof open>>['keys'], tenant: string) {
  return {
    signing: await outcome(keys.loadSigningKey(tenant, never)),
    pseudonym: await outcome(keys.loadPseudonymizer(tenant, never)),
    encryption: await outcome(keys.loadSealer(tenant, never)),
  }
}

const ALL = { signing: 'served', pseudonym: 'served', encryption: 'served' }

describe.each(KINDS)('a %s record', (kind) => {
  test.each(DAMAGES)('%s: only what needs it is refused, by name, and every walk goes on', async (damage) => {
    const rig = await stored()
    const { store, kms, clock } = rig
    const { id } = [...store.list(kind, 'acme')].at(-1)!
    await spoil(rig, kind, damage, id)
    const { keys, log } = await open(rig)

    await keys.checkRecords()
    await keys.openAnnouncements()
    expect(await keys.rotatableTenants()).toContain('other')
    await keys.tenantsNeedingRotation()
    expect(keys.publicKeys('other')).toHaveLength(2)
    keys.publicKeys('acme')
    expect([...namedMasterKeys(store, 'local')].length).toBeGreaterThan(0)
    createPseudonymTrust(store, [], clock)('abc')

    expect(await served(keys, 'other')).toEqual(ALL)
    const need = damage === 'missing' ? undefined : NEEDED_BY[kind]
    const acme = await served(keys, 'acme')
    for (const each of ['signing', 'pseudonym', 'encryption'] as const)
      expect([each, acme[each]]).toEqual([each, each === need ? 'KEY_RECORD_CORRUPT' : 'served'])
    const name = `${kind}/acme/${id}`
    expect(keys.status().corruptRecords).toEqual(damage === 'missing' ? [] : [name])
    if (damage !== 'missing') expect(log()).toContain(`Key record ${name} is corrupt`)
    expect(await served(keys, 'new')).toEqual(ALL)

    // To a later master key goes all that is whole.
    const { failures, rewrapped } = await rewrapAll(
      { from: kms, to: await DoorKms.open(), store, clock },
      never,
    )
    expect(failures.flatMap(({ records }) => records).every((record) => record.includes('/acme/'))).toBe(true)
    expect(rewrapped).toBeGreaterThan(0)
  })
})

test.each(DAMAGES)('the key that endorsed the one in use is %s: the one in use goes on', async (damage) => {
  const rig = await stored()
  const { keys: before } = await open(rig)
  const [old, inUse] = before.publicKeys('acme')
  await spoil(rig, 'signing', damage, old!.keyId)
  const { keys } = await open(rig)
  await keys.checkRecords()
  expect((await keys.loadSigningKey('acme', never)).keyId).toBe(inUse!.keyId)
  expect(await served(keys, 'other')).toEqual(ALL)
  expect(keys.status().corruptRecords).toEqual(damage === 'missing' ? [] : [`signing/acme/${old!.keyId}`])
})
