import { cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  createSharedRoot,
  formatPseudonymKeys,
  type GivenKey,
  type GivenPseudonymKeys,
  givenKeyOf,
  parsePseudonymKeys,
} from '../../../../src/keys/data/pseudonym-file.ts'
import { decodeKeyRecord } from '../../../../src/keys/records/key-record.ts'
import { DoorKms, localOptions, temporaryFolder } from '../../kms/key-service.ts'
import { build, never } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const token = async ({ keys }: Awaited<ReturnType<typeof build>>, tenant = 'acme'): Promise<string> =>
  (await keys.loadPseudonymizer(tenant, never)).pseudonym('name', Buffer.from('alice'))

/** Two key services on copies of one key file: the same master key, and nothing else in common. */
async function twoServices(): Promise<[DoorKms, DoorKms]> {
  const options = localOptions()
  const first = await DoorKms.open(options)
  const copy = join(temporaryFolder(), 'local-kms.key')
  cpSync(options.keyFile, copy)
  return [first, await DoorKms.open({ ...options, keyFile: copy, create: false })]
}

const sharedBy = async (kms: DoorKms): Promise<GivenPseudonymKeys> =>
  parsePseudonymKeys(formatPseudonymKeys({ shared: await createSharedRoot(kms, never), tenants: new Map() }))

describe('given pseudonym keys', () => {
  test('replicas that share a master key and no disk make the same tokens, and different data keys, each announced', async () => {
    const [one, two] = await twoServices()
    const pseudonymKeys = await sharedBy(one)
    const replicas = await Promise.all(
      [one, two].map((kms) => build({ kms, options: { pseudonymKeys }, store: new MemoryKeyStore() })),
    )
    for (const tenant of ['acme', '__proto__', '']) {
      const [mine, theirs] = await Promise.all(replicas.map((replica) => token(replica, tenant)))
      expect(mine).toBe(theirs)
    }
    expect(await token(replicas[0]!)).not.toBe(await token(replicas[0]!, 'other'))
    expect((await token(replicas[0]!)).slice(-22)).not.toBe((await token(replicas[0]!, 'other')).slice(-22))
    const sealers = await Promise.all(replicas.map(({ keys }) => keys.loadSealer('acme', never)))
    expect(sealers[0]!.announcement).not.toBe(sealers[1]!.announcement)
    for (const [index, { store }] of replicas.entries()) {
      expect([...store.list('announcement', 'acme')]).toHaveLength(1)
      expect([...store.list('pseudonym')]).toHaveLength(0)
      expect(sealers[index]!.announcementKey).toMatch(/^betrace\.key\./)
    }
  })

  test('without them, such replicas do not join', async () => {
    const [one, two] = await twoServices()
    expect(await token(await build({ kms: one }))).not.toBe(await token(await build({ kms: two })))
  })

  test('a tenant’s own key wins over the root, and goes on joining with what it wrote before', async () => {
    const [one, two] = await twoServices()
    const before = await build({ kms: one })
    const old = await token(before)
    const { id, record } = [...before.store.list('pseudonym', 'acme')][0]!
    const own = givenKeyOf(decodeKeyRecord('pseudonym', 'acme', id, record))
    const text = formatPseudonymKeys({
      shared: await createSharedRoot(one, never),
      tenants: new Map([['acme', own]]),
    })
    const after = await build({ kms: two, options: { pseudonymKeys: parsePseudonymKeys(text) } })
    expect(await token(after)).toBe(old)
    expect(await token(after, 'other')).not.toBe(await token(before, 'other'))
  })

  test('are not rotated by the sidecar', async () => {
    const kms = await DoorKms.open()
    const { keys } = await build({ kms, options: { pseudonymKeys: await sharedBy(kms) } })
    await expect(keys.rotate('acme', 'requested', never, { pseudonym: true })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })

  test('a root or a key that is not what its id says is refused by its name', async () => {
    const kms = await DoorKms.open()
    const given = await sharedBy(kms)
    const other = await createSharedRoot(kms, never)
    const shared = { ...given.shared!, wrappedKey: other.wrappedKey }
    const { keys } = await build({ kms, options: { pseudonymKeys: { ...given, shared } } })
    const failure = await keys.loadPseudonymizer('acme', never).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code: 'KEY_UNAVAILABLE', cause: { kmsClass: 'invalid_ciphertext' } })
    const moved = { shared: undefined, tenants: new Map([['other', given.shared!]]) }
    const wrong = await build({ kms, options: { pseudonymKeys: moved } })
    await expect(token(wrong, 'other')).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
  })

  test('bytes that their id does not name are refused, also where the key service gives them out', async () => {
    const kms = await DoorKms.open()
    const { id } = (await sharedBy(kms)).shared!
    const wrapAs = async (tenantId: string): Promise<GivenKey> => {
      const context = { tenantId, purpose: 'pseudonym', keyId: id } as const
      const { wrapped, masterKeyId } = await kms.wrap(Buffer.alloc(32, 7), context, never)
      return { id, provider: 'local', masterKeyId, wrappedKey: wrapped }
    }
    const shared = { shared: await wrapAs('*'), tenants: new Map() }
    const own = { shared: undefined, tenants: new Map([['acme', await wrapAs('acme')]]) }
    for (const [pseudonymKeys, record] of [
      [shared, `pseudonym/*/${id}`],
      [own, `pseudonym/acme/${id}`],
    ] as const) {
      const { keys } = await build({ kms, options: { pseudonymKeys } })
      await expect(keys.loadPseudonymizer('acme', never)).rejects.toMatchObject({ cause: { record } })
      expect(keys.status().corruptRecords).toEqual([record])
    }
  })

  const bad: Record<string, string> = {
    'no JSON': 'key: value',
    'another version': '{"v":2,"tenants":[]}',
    'no key': '{"v":1,"tenants":[]}',
    'tenants that are no list': '{"v":1,"tenants":{}}',
    'an entry without a tenant': '{"v":1,"tenants":[{"id":"abcdefghijkl"}]}',
    'an entry without a wrapped key':
      '{"v":1,"tenants":[{"tenant":"a","id":"abcdefghijkl","provider":"local","masterKeyId":"m"}]}',
    'a wrapped key that is no base64url':
      '{"v":1,"shared":{"id":"abcdefghijkl","provider":"local","masterKeyId":"m","wrappedKey":"a b"}}',
    'an id that is none':
      '{"v":1,"shared":{"id":"secret value","provider":"local","masterKeyId":"m","wrappedKey":"AAAA"}}',
    'a tenant twice': `{"v":1,"tenants":[${Array.from({ length: 2 }, () => '{"tenant":"a","id":"abcdefghijkl","provider":"local","masterKeyId":"m","wrappedKey":"AAAA"}').join(',')}]}`,
  }
  for (const [what, text] of Object.entries(bad))
    test(`a file with ${what} is refused by the setting’s name, without its content`, () => {
      let message = ''
      try {
        parsePseudonymKeys(text)
      } catch (thrown) {
        message = thrown instanceof Error ? thrown.message : ''
      }
      expect(message).toMatch(/^kms\.pseudonym_key_file: /)
      expect(message).not.toContain('secret')
    })

  test('the file holds no key that opens without the key service', async () => {
    const options = localOptions()
    const kms = await DoorKms.open(options)
    const given = await sharedBy(kms)
    const elsewhere = await build({ options: { pseudonymKeys: given } })
    expect(dirname(options.keyFile)).not.toBe('')
    await expect(token(elsewhere)).rejects.toMatchObject({ cause: { kmsClass: 'key_not_found' } })
  })
})
