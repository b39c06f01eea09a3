import { describe, expect, test } from 'vitest'
import { formatAnnouncement } from '../../../../src/formats/announcement.ts'
import { type ErasableKeyStore, shredScope, shredSecrets } from '../../../../src/keys/operations/shred.ts'
import type { KeyRecordKind } from '../../../../src/keys/records/keystore.ts'
import { masterKeyOf, masterKeyScope } from '../../../../src/keys/records/master-key-scope.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { build, never } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

/** Forgets a secret by what `forgets` says. The real one, on disk, is in the command's tests. */
function erasable(store: MemoryKeyStore, forgets: boolean): ErasableKeyStore & { gone: Set<string> } {
  const gone = new Set<string>()
  const isGone = (kind: KeyRecordKind, tenant: string, id: string): boolean =>
    gone.has(`${kind}/${tenant}/${id}`)
  return {
    gone,
    get: (kind, tenant, id) => (isGone(kind, tenant, id) ? undefined : store.get(kind, tenant, id)),
    *list(kind, tenant) {
      for (const stored of store.list(kind, tenant)) if (!isGone(kind, stored.tenant, stored.id)) yield stored
    },
    put: async (kind, tenant, id, record) => {
      if (forgets) await store.put(kind, tenant, id, record)
    },
    remove: async (kind, tenant, id) => {
      if (forgets) gone.add(`${kind}/${tenant}/${id}`)
    },
    scrub: async () => {},
  }
}

async function withSecret(): Promise<{ kms: DoorKms; store: MemoryKeyStore; clock: ManualClock }> {
  const parts = { kms: await DoorKms.open(), store: new MemoryKeyStore(), clock: new ManualClock() }
  const { keys } = await build({ ...parts, options: { tenantSecret: true } })
  await keys.loadSealer('acme', never)
  return parts
}

describe('shredding', () => {
  test('a store that does not forget is found out: no proof, no claim', async () => {
    const { kms, store, clock } = await withSecret()
    const parts = { kms, clock, store: erasable(store, false) }
    await expect(shredSecrets(parts, 'acme', never)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  test('the secret is overwritten before it is removed', async () => {
    const { kms, store, clock } = await withSecret()
    const { id, record } = [...store.list('secret', 'acme')][0]!
    const report = await shredSecrets({ kms, clock, store: erasable(store, true) }, 'acme', never)
    expect(report).toEqual({ destroyedIds: [id], provenCount: 1 })
    const left = store.get('secret', 'acme', id)!
    expect(left).toHaveLength(record.length)
    expect(Buffer.from(left).equals(record)).toBe(false)
  })

  test('without an answer of the key service nothing is touched', async () => {
    const { kms, store, clock } = await withSecret()
    kms.fail('network')
    const erasing = erasable(store, true)
    await expect(shredSecrets({ kms, clock, store: erasing }, 'acme', never)).rejects.toMatchObject({
      kmsClass: 'network',
    })
    expect(erasing.gone.size).toBe(0)
    expect(shredScope(erasing, 'acme')).toMatchObject({
      coveredCount: 1,
      destroyedCount: 0,
      uncovered: undefined,
    })
  })

  test('a damaged secret is destroyed too, with nothing to prove', async () => {
    const { kms, store, clock } = await withSecret()
    const { id } = [...store.list('secret', 'acme')][0]!
    await store.put('secret', 'acme', id, Buffer.from('rubbish'))
    const erasing = erasable(store, true)
    expect(await shredSecrets({ kms, clock, store: erasing }, 'acme', never)).toEqual({
      destroyedIds: [id],
      provenCount: 0,
    })
    expect(shredScope(erasing, 'acme')).toMatchObject({ secretIds: [], destroyedCount: 1 })
  })
})

describe('the reach of a tenant’s own master key', () => {
  const announce = (provider: string, masterKeyId: string, createdMs: number): string =>
    formatAnnouncement({
      provider,
      masterKeyId,
      context: { tenantId: 'acme', purpose: 'pii' },
      wrappedKey: Buffer.alloc(60, createdMs),
      commitment: Buffer.alloc(32),
      createdMs,
      classes: ['name'],
      idsBound: true,
      padded: false,
      tenantSecretId: '',
    })

  test('counts by provider and key; versions of an Azure key are one key, another region’s replica is not', async () => {
    const store = new MemoryKeyStore()
    const azure = 'https://v.vault.azure.net/keys/acme'
    const replica = 'arn:aws:kms:us-east-1:111122223333:key/mrk-1'
    const announced = [
      announce('azure', `${azure}/1`, 1),
      announce('azure', `${azure}/2`, 2),
      announce('azure', 'https://v.vault.azure.net/keys/acme2/1', 3),
      announce('aws', replica, 4),
      announce('aws', replica, 5),
    ]
    for (const text of announced)
      await store.put('announcement', 'acme', String(announced.indexOf(text)), Buffer.from(text))
    const own = { provider: 'azure', masterKeyId: `${azure}/3` }
    const one = {
      provider: 'azure',
      masterKeyId: 'https://v.vault.azure.net/keys/acme2',
      firstMs: 3,
      lastMs: 3,
    }
    const two = { provider: 'aws', masterKeyId: replica, firstMs: 4, lastMs: 5 }
    expect(masterKeyScope(store, 'acme', own)).toEqual({
      coveredCount: 2,
      others: [
        { ...one, count: 1, isOnlyExported: false },
        { ...two, count: 2, isOnlyExported: false },
      ],
    })
  })

  test('cannot be told where the key does not answer', async () => {
    const kms = await DoorKms.open()
    expect(await masterKeyOf(kms, 'acme', never)).toEqual({ provider: 'local', masterKeyId: kms.masterKeyId })
    kms.fail('key_disabled')
    expect(await masterKeyOf(kms, 'acme', never)).toBeUndefined()
  })
})
