// What is particular to Transit keys: versions, namespaces, kinds of keys, and that nothing of ours ever makes one.
import { createPublicKey, verify } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Kms, KmsError } from '../../../src/keys/kms.ts'
import { openVaultKms } from '../../../src/keys/providers/vault.ts'
import type { VaultKmsOptions } from '../../../src/keys/providers/vault-options.ts'
import { until } from '../service-process.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { OpenBao } from './vault-server.ts'
import { optionsFor, policyFor, secret } from './vault-target.ts'

let server: OpenBao
let made = 0

beforeAll(async () => {
  server = await OpenBao.start('dev')
  await server.must('POST', 'sys/mounts/transit', { type: 'transit' })
  await server.must('PUT', 'sys/policies/acl/sidecar', { policy: policyFor('*') })
})

afterAll(() => server.stop())

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
      const keyName = await createKey(settings)
      await withVault({ keyName }, async (kms) => {
        await roundTrip(kms)
        const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
        const other = { ...CONTEXT, tenantId: 'other' }
        await expectClass(kms.unwrap(wrapped, masterKeyId, other, never), 'invalid_ciphertext')
        expect(masterKeyId).toBe(`transit/${keyName}`)
        expect(Buffer.from(wrapped).toString('latin1')).toMatch(/^vault:v1:/)
        const field = 'derived' in settings ? 'context' : 'associated_data'
        const answer = await server.must('POST', `transit/decrypt/${keyName}`, {
          ciphertext: Buffer.from(wrapped).toString('latin1'),
          [field]: Buffer.from(SERIALISED_CONTEXT, 'hex').toString('base64'),
        })
        expect(answer.data!.plaintext).toBe(Buffer.from(plaintext).toString('base64'))
      })
    })
  }

  for (const type of ['rsa-2048', 'ed25519', 'ecdsa-p256']) {
    test(`${type}: cannot bind a context, and is refused at start by the setting's name`, async () => {
      const keyName = await createKey({ type })
      await expect(openVaultKms({ ...options(), keyName })).rejects.toMatchObject({
        code: 'CONFIG',
        message: `kms.vault.key_name: Transit key type ${type} cannot bind a context`,
      })
    })
  }

  test('a tenant whose own key cannot bind a context fails alone', async () => {
    const [good, bad] = [await createKey({ derived: true }), await createKey({ type: 'rsa-2048' })]
    await withVault({ keyName: good, tenantKeyMapping: new Map([['acme', bad]]) }, async (kms) => {
      await expectClass(kms.generateDataKey(CONTEXT, never), 'bad_request')
      await roundTrip(kms, { tenantId: 'other', purpose: 'pii' })
    })
  })
})

describe('versions', () => {
  test('an old version opens until the operator forbids it, and again when the operator allows it', async () => {
    const keyName = await createKey({ derived: true })
    await withVault({ keyName }, async (kms) => {
      const old = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      await server.must('POST', `transit/keys/${keyName}/rotate`)
      const young = await kms.wrap(Uint8Array.of(8), CONTEXT, never)
      expect(Buffer.from(young.wrapped).toString('latin1')).toMatch(/^vault:v2:/)
      expect(young.masterKeyId).toBe(old.masterKeyId)
      const open = (key: typeof old) => kms.unwrap(key.wrapped, key.masterKeyId, CONTEXT, never)
      expect(await open(old)).toEqual(Buffer.of(7))
      await server.must('POST', `transit/keys/${keyName}/config`, { min_decryption_version: 2 })
      await expectClass(open(old), 'key_disabled')
      expect(await open(young)).toEqual(Buffer.of(8))
      await server.must('POST', `transit/keys/${keyName}/config`, { min_decryption_version: 1 })
      expect(await open(old)).toEqual(Buffer.of(7))
    })
  })

  test('only one spelling of a wrapped key opens', async () => {
    const keyName = await createKey({ derived: true })
    await withVault({ keyName }, async (kms) => {
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
    const keyName = await createKey({ derived: true })
    let nowMs = 0
    const changes = { keyName, token: secret(server.rootToken), monotonicMs: () => nowMs }
    await withVault(changes, async (kms) => {
      await roundTrip(kms)
      await deleteKey(keyName)
      nowMs += 5 * 60_000
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      await expectClass(kms.generateDataKey(CONTEXT, never), 'key_not_found')
      expect((await server.api('GET', `transit/keys/${keyName}`)).status).toBe(404)
    })
  })

  test('under a policy that cannot create, a key that was just read and is gone stays gone', async () => {
    const keyName = await createKey({ derived: true })
    await withVault({ keyName }, async (kms) => {
      await roundTrip(kms)
      await deleteKey(keyName)
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'access_denied')
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      expect((await server.api('GET', `transit/keys/${keyName}`)).status).toBe(404)
    })
  })

  test('with upserts off on the mount, the first call says so', async () => {
    await server.must('POST', 'sys/mounts/strict', { type: 'transit' })
    await server.must('POST', 'strict/config/keys', { disable_upsert: true })
    await server.must('POST', 'strict/keys/one', { derived: true })
    await withVault({ keyName: 'one', mount: 'strict', token: secret(server.rootToken) }, async (kms) => {
      await roundTrip(kms)
      await server.must('POST', 'strict/keys/one/config', { deletion_allowed: true })
      await server.must('DELETE', 'strict/keys/one')
      await expectClass(kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found')
      expect((await server.api('GET', 'strict/keys/one')).status).toBe(404)
    })
  })
})

describe('mounts and namespaces', () => {
  test('a key in a namespace carries its path, and no other namespace opens it', async () => {
    await server.must('POST', 'sys/namespaces/team', {})
    await server.must('POST', 'sys/mounts/transit', { type: 'transit' }, { namespace: 'team' })
    await server.must('POST', 'transit/keys/default', { derived: true }, { namespace: 'team' })
    await server.must('PUT', 'sys/policies/acl/sidecar', { policy: policyFor('*') }, { namespace: 'team' })
    const body = { policies: ['sidecar'], ttl: '1h' }
    const { auth } = await server.must('POST', 'auth/token/create', body, { namespace: 'team' })
    const token = secret(String(auth!.client_token))
    await createKey({ derived: true }, 'default')
    await withVault({ namespace: 'team', keyName: 'default', token }, async (kms) => {
      await roundTrip(kms)
      const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
      expect(masterKeyId).toBe('team/transit/default')
      await withVault({ keyName: 'default' }, async (outside) => {
        await expectClass(outside.unwrap(wrapped, masterKeyId, CONTEXT, never), 'key_not_found')
        await expectClass(outside.unwrap(wrapped, 'transit/default', CONTEXT, never), 'invalid_ciphertext')
      })
      await expectClass(kms.unwrap(wrapped, 'transit/default', CONTEXT, never), 'key_not_found')
    })
  })

  test('a namespace that is not there is a key that is not found', async () => {
    const token = secret(server.rootToken)
    await withVault({ namespace: 'nowhere', keyName: 'default', token }, async (kms) => {
      await expectClass(kms.generateDataKey(CONTEXT, never), 'key_not_found')
    })
  })

  test('a tenant may have its key on another mount, and a former mount still opens', async () => {
    await server.must('POST', 'sys/mounts/byok/acme', { type: 'transit' })
    await server.must('POST', 'byok/acme/keys/own', { derived: true })
    const keyName = await createKey({ derived: true })
    const token = secret(server.rootToken)
    const tenantKeyMapping = new Map([['acme', 'byok/acme/own']])
    let old: Awaited<ReturnType<Kms['wrap']>> | undefined
    await withVault({ keyName, token, tenantKeyMapping }, async (kms) => {
      await roundTrip(kms)
      old = await kms.wrap(Uint8Array.of(7), CONTEXT, never)
      expect(old.masterKeyId).toBe('byok/acme/own')
    })
    const { wrapped, masterKeyId } = old!
    await withVault({ keyName, token }, (kms) =>
      expectClass(kms.unwrap(wrapped, masterKeyId, CONTEXT, never), 'key_not_found'),
    )
    await withVault({ keyName, token, formerMounts: ['byok/acme'] }, async (kms) => {
      expect(await kms.unwrap(wrapped, masterKeyId, CONTEXT, never)).toEqual(Buffer.of(7))
    })
  })

  test('an id from telemetry reaches no path but decrypt on a configured mount', async () => {
    await server.must('POST', 'sys/mounts/secret1', { type: 'kv', options: { version: '1' } })
    const keyName = await createKey({ derived: true })
    await withVault({ keyName, token: secret(server.rootToken) }, async (kms) => {
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
      expect((await server.api('GET', 'secret1/decrypt/x')).status).toBe(404)
    })
  })
})

describe('signing keys', () => {
  for (const type of ['ed25519', 'ecdsa-p256'] as const) {
    test(`${type}: a pinned version signs and shows its key across a rotation`, async () => {
      const keyName = await createKey({ derived: true })
      const signer = await createKey({ type })
      await withVault({ keyName }, async (kms) => {
        const message = Buffer.from('checkpoint')
        const publicKey = async (id: string) =>
          createPublicKey({ key: Buffer.from(await kms.publicKey!(id, never)), format: 'der', type: 'spki' })
        const first = await publicKey(`${signer}:1`)
        expect((await publicKey(signer)).equals(first)).toBe(true)
        await server.must('POST', `transit/keys/${signer}/rotate`)
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
  const keyName = await createKey({ derived: true })
  const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 1 }
  await withVault({ keyName, request }, async (kms) => {
    await server.must('POST', 'sys/quotas/rate-limit/tight', { rate: 5, interval: '1s', path: 'transit/' })
    try {
      const calls = await Promise.allSettled(
        Array.from({ length: 50 }, () => kms.generateDataKey(CONTEXT, never)),
      )
      const refused = calls.filter((call) => call.status === 'rejected').map((call) => call.reason)
      expect(refused.length).toBeGreaterThan(0)
      for (const error of refused) expect(error).toMatchObject({ kmsClass: 'throttled', isRetryable: true })
    } finally {
      await server.must('DELETE', 'sys/quotas/rate-limit/tight')
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
  const keyName = await createKey({ derived: true })
  await withVault({ keyName }, async (kms) => {
    const kept = []
    for (let round = 0; round < 100; round++) {
      kept.push(await kms.generateDataKey({ ...CONTEXT, keyId: `k${round}` }, never))
      await server.must('POST', `transit/keys/${keyName}/rotate`)
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

async function createKey(settings: object, name = `key-${made++}`): Promise<string> {
  await server.must('POST', `transit/keys/${name}`, settings)
  return name
}

async function deleteKey(name: string): Promise<void> {
  await server.must('POST', `transit/keys/${name}/config`, { deletion_allowed: true })
  await server.must('DELETE', `transit/keys/${name}`)
}

/** Options with a token that may use every key of the default mount and make none. */
function options(): VaultKmsOptions {
  return optionsFor(server, sidecarToken)
}

let sidecarToken = ''
beforeAll(async () => {
  const { auth } = await server.must('POST', 'auth/token/create', { policies: ['sidecar'], ttl: '1h' })
  sidecarToken = String(auth!.client_token)
})

async function withVault(
  changes: Partial<VaultKmsOptions>,
  use: (kms: Kms) => Promise<unknown>,
): Promise<void> {
  const kms = await openVaultKms({ ...options(), ...changes })
  try {
    await use(kms)
  } finally {
    await kms.close()
  }
}

async function expectClass(call: Promise<unknown>, kmsClass: string): Promise<void> {
  const thrown: unknown = await call.then(
    () => expect.fail(`succeeded, and had to fail with ${kmsClass}`),
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(KmsError)
  expect(thrown).toMatchObject({ kmsClass })
}
