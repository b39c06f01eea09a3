import { expect, test } from 'vitest'
import { macKeyOf } from '../../../../src/evidence/mac-key.ts'
import { KEYS_DEFAULTS } from '../../../../src/keys/keys.ts'
import { MacKeys } from '../../../../src/keys/signing/mac-keys.ts'
import { ownKeys } from '../../../../src/keys/signing/verifying-keys.ts'
import { build, never } from '../keys-fixture.ts'

async function rotated(rotations: number, options = KEYS_DEFAULTS) {
  const built = await build()
  const signed = [await built.keys.loadSigningKey('acme', never)]
  for (let count = 0; count < rotations; count++) {
    await built.keys.rotate('acme', 'requested', never)
    signed.push(await built.keys.loadSigningKey('acme', never))
  }
  built.kms.calls.length = 0
  const macKeys = new MacKeys({ ...built, signedSince: new Map() }, options)
  return { ...built, macKeys, signed }
}

test('a hundred rotations later, every secret is the one that signed, and is asked for once', async () => {
  const { macKeys, signed, kms } = await rotated(100)
  const ids = signed.map(({ keyId }) => keyId)
  for (let time = 0; time < 2; time++) {
    const keys = await macKeys.load(ids, never)
    expect(keys.size).toBe(101)
    for (const key of signed) expect(keys.get(key.keyId)!.key.equals(macKeyOf(key).privateKey)).toBe(true)
  }
  expect(kms.count('decrypt')).toBe(101)
})

test('ids that are not ours cost no call to the key service', async () => {
  const { macKeys, kms } = await rotated(0)
  expect((await macKeys.load(['', 'nobody', '__proto__', 'a\0b'], never)).size).toBe(0)
  expect(kms.calls).toHaveLength(0)
})

test('a key of a tenant that came after the store was read is found by what it signed', async () => {
  const built = await build()
  const signedSince = new Map<string, string>()
  const macKeys = new MacKeys({ ...built, signedSince }, KEYS_DEFAULTS)
  await macKeys.load(['nobody'], never)
  const { keyId } = await built.keys.loadSigningKey('late', never)
  signedSince.set(keyId, 'late')
  expect((await macKeys.load([keyId], never)).get(keyId)).toMatchObject({ isRevoked: false })
})

test('a key service that is down is no verdict, and one that withholds the key is none either', async () => {
  const { macKeys, signed, kms, clock } = await rotated(1)
  const ids = signed.map(({ keyId }) => keyId)
  kms.fail('network')
  await expect(macKeys.load(ids, never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
  clock.advance(60_000)
  kms.fail('key_disabled')
  expect((await macKeys.load(ids, never)).size).toBe(0)
})

test('a revoked key is known as that, and a damaged record is no key', async () => {
  const { macKeys, revoke, store, signed } = await rotated(2)
  const [first, second, third] = signed.map(({ keyId }) => keyId) as [string, string, string] // three were made
  await revoke('acme', first)
  await store.put('signing', 'acme', second, Buffer.from('rubbish'))
  const found = await macKeys.load([first, second, third], never)
  expect([...found].map(([id, { isRevoked }]) => [id, isRevoked])).toEqual([
    [first, true],
    [third, false],
  ])
})

test('who asks for ever more old keys, past the cache, is told to come again', async () => {
  const { macKeys, signed, clock, kms } = await rotated(1, { ...KEYS_DEFAULTS, sizeMax: 1 })
  const ids = signed.map(({ keyId }) => keyId)
  for (let load = 0; load < 1_000; load++) await macKeys.load(ids, never)
  await expect(macKeys.load(ids, never)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', isRetryable: true })
  expect(kms.count('decrypt')).toBe(2_000)
  clock.advance(1_000)
  expect((await macKeys.load(ids, never)).size).toBe(2)
})

test.each([undefined, '', 'a\0b', 'x'.repeat(129)])(
  'a statement of tenant %j is of no key of ours',
  (tenant) => {
    const lookup = ownKeys(
      {
        publicKeys: () => {
          throw new Error('must not be asked')
        },
        signingKey: () => undefined,
      },
      new Map(),
    )
    expect(lookup('some-key', tenant, 'ed25519-merkle-v1')).toBeUndefined()
  },
)
