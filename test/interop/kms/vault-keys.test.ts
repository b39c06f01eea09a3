// What is particular to Transit keys: versions, namespaces, kinds of keys, and that nothing of ours ever makes one.
import { createPublicKey, verify } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { WrappedKey } from '../../../src/kms/kms.ts'
import { openVaultKms } from '../../../src/kms/vault/open.ts'
import { until } from '../service-process.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { expectClass, VaultRig } from './vault-rig.ts'
import { policyFor, secret } from './vault-target.ts'

let rig: VaultRig

beforeAll(async () => {
  rig = await VaultRig.start()
})

afterAll(() => rig.stop())

const KINDS = {
  derived: { type: 'aes256-gcm96', derived: true },
  'derived and convergent': { type: 'aes256-gcm96', derived: true, convergent_encryption: true },
  'AES-128': { type: 'aes128-gcm96' },
  'AES-256': { type: 'aes256-gcm96' },
  'ChaCha20-Poly1305': { type: 'chacha20-poly1305' },
  'XChaCha20-Poly1305': { type: 'xchacha20-poly1305' },
} as const

describe('kinds of keys', () => {
  for (const [name, settings] of Object.entries(KINDS)) {
    test(`${name}: binds the context, and an operator opens it with the server's own call`, async () => {
      const keyName = await rig.createKey(settings)
      await rig.withKms({ keyName }, async (kms) => {
        await roundTrip(kms)
        const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
        const other = { ...CONTEXT, tenantId: 'other' }
        await expectClass(kms.unwrap(wrapped, masterKeyId, other, never), 'invalid_ciphertext')
        expect(masterKeyId).toBe(`transit/${keyName}`)
        expect(Buffer.from(wrapped).toString('latin1')).toMatch(/^vault:v1:/)
        const field = 'derived' in settings ? 'context' : 'associated_data'
        const answer = await rig.server.must('POST', `transit/decrypt/${keyName}`, {
          ciphertext: Buffer.from(wrapped).toString('latin1'),
          [field]: Buffer.from(SERIALISED_CONTEXT, 'hex').toString('base64'),
        })
        expect(answer.data!.plaintext).toBe(Buffer.from(plaintext).toString('base64'))
      })
    })
  }

  for (const type of ['rsa-2048', 'ed25519', 'ecdsa-p256']) {
    test(`${type}: cannot bind a context, and is refused at start by the setting's name`, async () => {
      const keyName = await rig.createKey({ type })
      await expect(openVaultKms({ ...rig.options, keyName })).rejects.toMatchObject({
        code: 'CONFIG',
        message: `kms.vault.key_name: Transit key type ${type} cannot bind a context`,
      })
    })
  }

  test('a tenant whose own key cannot bind a context fails alone', async () => {
    const [good, bad] = [await rig.createKey({ derived: true }), await rig.createKey({ type: 'rsa-2048' })]
    await rig.withKms({ keyName: good, tenantKeyMapping: new Map([['acme', bad]]) }, async (kms) => {
      await expectClass(kms.generateDataKey(CONTEXT, never), 'bad_request')
      await roundTrip(kms, { tenantId: 'other', purpose: 'pii' })
    })
  })
})

describe('versions', () => {
  test('an old version opens until the operator forbids it, and again when the operator allows it', async () => {
    const keyName = await rig.createKey({ derived: true })
    await rig.withKms({ keyName }, async (kms) => {
      const old = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      await rig.server.must('POST', `transit/keys/${keyName}/rotate`)
      const young = await kms.wrap(Uint8Array.of(8), CONTEXT, never)
      expect(Buffer.from(young.wrapped).toString('latin1')).toMatch(/^vault:v2:/)
      expect(young.masterKeyId).toBe(old.masterKeyId)
      const open = (key: typeof old) => kms.unwrap(key.wrapped, key.masterKeyId, CONTEXT, never)
      expect(await open(old)).toEqual(Buffer.of(7))
      await rig.server.must('POST', `transit/keys/${keyName}/config`, { min_decryption_version: 2 })
      await expectClass(open(old), 'key_disabled')
      expect(await open(young)).toEqual(Buffer.of(8))
      await rig.server.must('POST', `transit/keys/${keyName}/config`, { min_decryption_version: 1 })
      expect(await open(old)).toEqual(Buffer.of(7))
    })
  })

  test('only one spelling of a wrapped key opens', async () => {
    const keyName = await rig.createKey({ derived: true })
    await rig.withKms({ keyName }, async (kms) => {
      const { wrapped, masterKeyId } = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      const text = Buffer.from(wrapped).toString('latin1')
      const spellings = {
        'version 0, which the server reads as 1': text.replace('v1', 'v0'),
        'a version with a zero before it': text.replace('v1', 'v01'),
        'a version that never was': text.replace('v1', 'v9'),
        'spare bits': text.replace(/.(=+)$/, (_, end: string) => `B${end}`),
        'a line break': `${text}\n`,
        'no padding': text.replace(/=+$/, ''),
      }
      for (const [name, spelling] of Object.entries(spellings)) {
        expect(spelling, name).not.toBe(text)
        const call = kms.unwrap(Buffer.from(spelling, 'latin1'), masterKeyId, CONTEXT, never)
        await expectClass(call, 'invalid_ciphertext')
      }
    })
  })
})

describe('keys that are gone', () => {
  test('wrapping never makes a key, though the token could', async () => {
    const keyName = await rig.createKey({ derived: true })
    let nowMs = 0
    const changes = { keyName, token: secret(rig.server.rootToken), monotonicMs: () => nowMs }
    await rig.withKms(changes, async (kms) => {
      await roundTrip(kms)
      await rig.deleteKey(keyName)
      nowMs += 5 * 60_000
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      await expectClass(kms.generateDataKey(CONTEXT, never), 'key_not_found')
      expect(await rig.hasKey(keyName)).toBe(false)
    })
  })

  test('under a policy that cannot create, a key that was just read and is gone stays gone', async () => {
    const keyName = await rig.createKey({ derived: true })
    await rig.withKms({ keyName }, async (kms) => {
      await roundTrip(kms)
      await rig.deleteKey(keyName)
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'access_denied')
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      expect(await rig.hasKey(keyName)).toBe(false)
    })
  })

  test('with upserts off on the mount, the first call says so', async () => {
    await rig.server.must('POST', 'sys/mounts/strict', { type: 'transit' })
    await rig.server.must('POST', 'strict/config/keys', { disable_upsert: true })
    await rig.server.must('POST', 'strict/keys/one', { derived: true })
    await rig.withKms(
      { keyName: 'one', mount: 'strict', token: secret(rig.server.rootToken) },
      async (kms) => {
        await roundTrip(kms)
        await rig.server.must('POST', 'strict/keys/one/config', { deletion_allowed: true })
        await rig.server.must('DELETE', 'strict/keys/one')
        await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
        expect(await rig.hasKey('one', 'strict')).toBe(false)
      },
    )
  })
})

describe('mounts and namespaces', () => {
  test('a key in a namespace carries its path, and no other namespace opens it', async () => {
    await rig.server.must('POST', 'sys/namespaces/team', {})
    await rig.server.must('POST', 'sys/mounts/transit', { type: 'transit' }, { namespace: 'team' })
    await rig.server.must('POST', 'transit/keys/default', { derived: true }, { namespace: 'team' })
    await rig.server.must(
      'PUT',
      'sys/policies/acl/sidecar',
      { policy: policyFor('*') },
      { namespace: 'team' },
    )
    const token = secret(await rig.createToken({ ttl: '1h' }, 'team'))
    await rig.withKms({ namespace: 'team', keyName: 'default', token }, async (kms) => {
      await roundTrip(kms)
      const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
      expect(masterKeyId).toBe('team/transit/default')
      await rig.withKms({ keyName: 'default' }, async (outside) => {
        await expectClass(outside.unwrap(wrapped, masterKeyId, CONTEXT, never), 'key_not_found')
        await expectClass(outside.unwrap(wrapped, 'transit/default', CONTEXT, never), 'invalid_ciphertext')
      })
      await expectClass(kms.unwrap(wrapped, 'transit/default', CONTEXT, never), 'key_not_found')
    })
  })

  test('a namespace that is not there is a key that is not found', async () => {
    const token = secret(rig.server.rootToken)
    await rig.withKms({ namespace: 'nowhere', keyName: 'default', token }, async (kms) => {
      await expectClass(kms.generateDataKey(CONTEXT, never), 'key_not_found')
    })
  })

  test('a tenant may have its key on another mount, and a former mount still opens', async () => {
    await rig.server.must('POST', 'sys/mounts/byok/acme', { type: 'transit' })
    await rig.server.must('POST', 'byok/acme/keys/own', { derived: true })
    const keyName = await rig.createKey({ derived: true })
    const token = secret(rig.server.rootToken)
    const tenantKeyMapping = new Map([['acme', 'byok/acme/own']])
    let old: WrappedKey | undefined
    await rig.withKms({ keyName, token, tenantKeyMapping }, async (kms) => {
      await roundTrip(kms)
      old = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      expect(old.masterKeyId).toBe('byok/acme/own')
    })
    const { wrapped, masterKeyId } = old!
    await rig.withKms({ keyName, token }, (kms) =>
      expectClass(kms.unwrap(wrapped, masterKeyId, CONTEXT, never), 'key_not_found'),
    )
    await rig.withKms({ keyName, token, formerMounts: ['byok/acme'] }, async (kms) => {
      expect(await kms.unwrap(wrapped, masterKeyId, CONTEXT, never)).toEqual(Buffer.of(7))
    })
  })

  test('an id from telemetry reaches no path but decrypt on a configured mount', async () => {
    await rig.server.must('POST', 'sys/mounts/secret1', { type: 'kv', options: { version: '1' } })
    const keyName = await rig.createKey({ derived: true })
    await rig.withKms({ keyName, token: secret(rig.server.rootToken) }, async (kms) => {
      const { wrapped } = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      const ids = [
        'secret1/x',
        `transit/../secret1/${keyName}`,
        'transit/x?y',
        'transit//x',
        '/x',
        'transit/',
      ]
      for (const id of [...ids, 'transit/%2e%2e', 'transit/.', 'x', `${'transit/'.repeat(100)}x`])
        await expectClass(kms.unwrap(wrapped, id, CONTEXT, never), 'key_not_found')
      expect((await rig.server.api('GET', 'secret1/decrypt/x')).status).toBe(404)
    })
  })
})

describe('signing keys', () => {
  for (const type of ['ed25519', 'ecdsa-p256'] as const) {
    test(`${type}: a pinned version signs and shows its key across a rotation`, async () => {
      const keyName = await rig.createKey({ derived: true })
      const signer = await rig.createKey({ type })
      await rig.withKms({ keyName }, async (kms) => {
        const message = Buffer.from('checkpoint')
        const publicKey = async (id: string) =>
          createPublicKey({ key: Buffer.from(await kms.publicKey!(id, never)), format: 'der', type: 'spki' })
        const first = await publicKey(`${signer}:1`)
        expect((await publicKey(signer)).equals(first)).toBe(true)
        await rig.server.must('POST', `transit/keys/${signer}/rotate`)
        expect((await publicKey(`transit/${signer}:1`)).equals(first)).toBe(true)
        expect((await publicKey(signer)).equals(first)).toBe(false)
        const digest = type === 'ed25519' ? null : 'sha256'
        const pinned = await kms.sign!(message, `transit/${signer}:1`, never)
        expect(verify(digest, message, first, pinned)).toBe(true)
        const newest = await kms.sign!(message, signer, never)
        expect(verify(digest, message, first, newest)).toBe(false)
        expect(verify(digest, message, await publicKey(`${signer}:2`), newest)).toBe(true)
        await expectClass(kms.sign!(message, `${signer}:3`, never), 'key_not_found')
        await expectClass(kms.publicKey!(`${signer}:3`, never), 'key_not_found')
        await expectClass(kms.sign!(message, keyName, never), 'bad_request')
        await expectClass(kms.publicKey!('secret1/x', never), 'key_not_found')
      })
    })
  }
})

test('a rate quota is throttling, and over when the quota is', async () => {
  const keyName = await rig.createKey({ derived: true })
  const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 1 }
  await rig.withKms({ keyName, request }, async (kms) => {
    await rig.server.must('POST', 'sys/quotas/rate-limit/tight', {
      rate: 5,
      interval: '1s',
      path: 'transit/',
    })
    try {
      const calls = await Promise.allSettled(
        Array.from({ length: 50 }, () => kms.generateDataKey(CONTEXT, never)),
      )
      const refused = calls.filter((call) => call.status === 'rejected').map((call) => call.reason)
      expect(refused.length).toBeGreaterThan(0)
      for (const error of refused) expect(error).toMatchObject({ kmsClass: 'throttled', isRetryable: true })
    } finally {
      await rig.server.must('DELETE', 'sys/quotas/rate-limit/tight')
    }
    await until('the quota is over', () =>
      roundTrip(kms).then(
        () => true,
        () => false,
      ),
    )
  })
})

test('a hundred rotations later, everything opens', async () => {
  const keyName = await rig.createKey({ derived: true })
  await rig.withKms({ keyName }, async (kms) => {
    const kept = []
    for (let round = 0; round < 100; round++) {
      kept.push(await kms.generateDataKey({ ...CONTEXT, keyId: `k${round}` }, never))
      await rig.server.must('POST', `transit/keys/${keyName}/rotate`)
    }
    for (const [round, key] of kept.entries()) {
      const context = { ...CONTEXT, keyId: `k${round}` }
      const opened = await kms.unwrap(key.wrapped, key.masterKeyId, context, never)
      expect(Buffer.compare(opened, key.plaintext)).toBe(0)
    }
  })
})

// The bytes of CONTEXT after proto/sealed-value.md §1, written out: what an operator has to give.
const SERIALISED_CONTEXT = [
  '00000003',
  '00000005 6b65794964 00000002 6b31',
  '00000007 707572706f7365 00000007 7369676e696e67',
  '00000008 74656e616e744964 00000004 61636d65',
]
  .join('')
  .replaceAll(' ', '')
