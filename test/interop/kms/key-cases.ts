// Master keys: which one is meant, what state it is in, who may use it.
import { createPublicKey, verify } from 'node:crypto'
import { expect } from 'vitest'
import type { Case, KmsTarget } from './conformance.ts'
import { CONTEXT, expectFailure, never, roundTrip, withKms } from './expectations.ts'

export const KEY_CASES = {
  describe: {
    claim: 'a working master key is described as enabled, by the id it wraps with',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        expect(await kms.describe(never)).toEqual({ enabled: true, masterKeyId: kms.masterKeyId })
      }),
  },
  tenant_key: {
    claim: 'a tenant with a master key of its own uses it, and others do not',
    run: async (target) => {
      const own = await target.createKey()
      await withKms(target, { tenantKeys: new Map([['acme', own]]) }, async (kms) => {
        const acme = await kms.generateDataKey(CONTEXT, never)
        const wrapped = await kms.wrap(Uint8Array.of(1), CONTEXT, never)
        const other = await kms.generateDataKey({ ...CONTEXT, tenantId: 'other' }, never)
        expect(wrapped.masterKeyId).toBe(acme.masterKeyId)
        expect(other.masterKeyId).not.toBe(acme.masterKeyId)
        await roundTrip(kms)
        await roundTrip(kms, { ...CONTEXT, tenantId: 'other' })
      })
    },
  },
  key_of_another: {
    claim: 'a wrapped key does not open under a master key that did not wrap it',
    run: async (target) => {
      const own = await target.createKey()
      await withKms(target, { tenantKeys: new Map([['acme', own]]) }, async (kms) => {
        const acme = await kms.generateDataKey(CONTEXT, never)
        const other = await kms.generateDataKey({ ...CONTEXT, tenantId: 'other' }, never)
        const call = kms.unwrap(acme.wrapped, other.masterKeyId, CONTEXT, never)
        await expectFailure(target, call, target.otherKeyRefusedAs ?? 'invalid_ciphertext', 'decrypt')
      })
    },
  },
  key_unknown: {
    claim: 'a master key that is not there is not found',
    needs: ['unknownKeyToOpen'],
    run: (target) =>
      withKms(target, { masterKey: target.unknownKeyToOpen!() }, async (kms) => {
        await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'key_not_found', 'generate_data_key')
        await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_not_found', 'encrypt')
        await expectFailure(target, kms.describe(never), 'key_not_found', 'describe_key')
      }),
  },
  key_unknown_to_unwrap: {
    claim: 'what names a master key that is not there, or no master key at all, is not found',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const { wrapped } = await kms.generateDataKey(CONTEXT, never)
        for (const id of [target.unknownKey(), '', 'no such key', 'https://[', '../../x']) {
          const call = kms.unwrap(wrapped, id, CONTEXT, never)
          await expectFailure(target, call, 'key_not_found', 'decrypt')
        }
      }),
  },
  key_disabled: {
    claim: 'a disabled master key is reported as that, by every operation',
    needs: ['disableKey'],
    run: (target) => refusedKey(target, (key) => target.disableKey!(key)),
  },
  key_pending_deletion: {
    claim: 'a master key that is scheduled for deletion is reported as disabled',
    needs: ['scheduleDeletion'],
    run: (target) => refusedKey(target, (key) => target.scheduleDeletion!(key)),
  },
  rotated: {
    claim: 'what was wrapped before a rotation opens after it',
    needs: ['rotateKey'],
    run: async (target) => {
      const key = await target.createKey()
      await withKms(target, { masterKey: key }, async (kms) => {
        const generations = []
        for (let round = 0; round < 3; round++) {
          generations.push(await kms.generateDataKey(CONTEXT, never))
          await target.rotateKey!(key)
        }
        for (const { wrapped, masterKeyId, plaintext } of generations) {
          expect(Buffer.compare(await kms.unwrap(wrapped, masterKeyId, CONTEXT, never), plaintext)).toBe(0)
        }
        await roundTrip(kms)
      })
    },
  },
  permission_denied: {
    claim:
      'an identity that may not use the key is denied, and the message is the service’s own, without a secret',
    needs: ['openDenied'],
    run: async (target) => {
      let wrapped = new Uint8Array()
      let masterKeyId = ''
      await withKms(target, {}, async (kms) => {
        const generated = await kms.generateDataKey(CONTEXT, never)
        wrapped = Uint8Array.from(generated.wrapped)
        masterKeyId = generated.masterKeyId
      })
      const { kms, restore } = await target.openDenied!({})
      try {
        const generate = kms.generateDataKey(CONTEXT, never)
        const denied = await expectFailure(target, generate, 'access_denied', 'generate_data_key')
        expect(denied.providerMessage, "the service's own words").toMatch(/not authorized|denied/i)
        const unwrap = kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
        await expectFailure(target, unwrap, 'access_denied', 'decrypt')
      } finally {
        await kms.close()
        await restore()
      }
      await withKms(target, {}, (allowed) => roundTrip(allowed))
    },
  },
  sign_ed25519: {
    claim: 'an Ed25519 signature made inside the service verifies outside',
    needs: ['createSigningKey'],
    run: (target) => signatureVerifies(target, 'ed25519'),
  },
  sign_p256: {
    claim: 'a P-256 signature made inside the service verifies outside',
    needs: ['createSigningKey'],
    run: (target) => signatureVerifies(target, 'p256'),
  },
} satisfies Record<string, Case>

/** Every operation under a key that `spoil` made unusable fails with key_disabled; another key still works. */
async function refusedKey(target: KmsTarget, spoil: (key: string) => Promise<void>): Promise<void> {
  const key = await target.createKey()
  await withKms(target, { masterKey: key }, async (kms) => {
    const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
    await spoil(key)
    await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'key_disabled', 'generate_data_key')
    await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_disabled', 'encrypt')
    const unwrap = kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
    await expectFailure(target, unwrap, 'key_disabled', 'decrypt')
    expect(await kms.describe(never)).toMatchObject({ enabled: false })
  })
  await withKms(target, {}, (kms) => roundTrip(kms))
}

async function signatureVerifies(target: KmsTarget, algorithm: 'ed25519' | 'p256'): Promise<void> {
  const key = await target.createSigningKey!(algorithm)
  await withKms(target, {}, async (kms) => {
    expect(kms.sign, 'the provider signs').toBeDefined()
    const spki = await kms.publicKey!(key, never)
    const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    const digest = algorithm === 'ed25519' ? null : 'sha256'
    for (const message of [Buffer.from('x'), Buffer.alloc(32, 7), Buffer.alloc(4_096, 1)]) {
      const signature = await kms.sign!(message, key, never)
      expect(verify(digest, message, publicKey, signature)).toBe(true)
      expect(verify(digest, Buffer.concat([message, Buffer.of(0)]), publicKey, signature)).toBe(false)
    }
  })
}
