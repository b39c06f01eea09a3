// The context: what it binds, and what is one and the same context.
import { expect } from 'vitest'
import type { KmsContext } from '../../../src/formats/key-context.ts'
import type { Case, KmsTarget } from './conformance.ts'
import { CONTEXT, expectFailure, never, roundTrip, withKms } from './expectations.ts'

export const CONTEXT_CASES = {
  round_trip: {
    claim: 'a data key opens to itself under its context, by this client and by another',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        expect(kms.provider).toBe(target.provider)
        await roundTrip(kms)
        await roundTrip(kms, { tenantId: '__proto__', purpose: 'pii' })
        await roundTrip(kms, { tenantId: 'Zürich 東京 🗝', purpose: 'probe' })
        const { plaintext, wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
        const again = await kms.generateDataKey(CONTEXT, never)
        expect(Buffer.compare(again.plaintext, plaintext)).not.toBe(0)
        await withKms(target, {}, async (other) => {
          const opened = await other.unwrap(wrapped, masterKeyId, CONTEXT, never)
          expect(Buffer.compare(opened, plaintext)).toBe(0)
        })
      }),
  },
  wrap_sizes: {
    claim: 'wraps 1 to 4096 bytes, and calls less or more our own mistake',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        for (const size of [1, 32, 190, 191, 4_096]) {
          const secret = Uint8Array.from({ length: size }, (_, index) => (index * 7 + size) & 255)
          const copy = Uint8Array.from(secret)
          const { wrapped, masterKeyId } = await kms.wrap(secret, CONTEXT, never)
          expect(Buffer.compare(secret, copy), 'wrap leaves the plaintext alone').toBe(0)
          const opened = await kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
          expect(Buffer.compare(opened, secret)).toBe(0)
        }
        for (const size of [0, 4_097]) {
          await expectFailure(
            target,
            kms.wrap(new Uint8Array(size), CONTEXT, never),
            'bad_request',
            'encrypt',
          )
        }
      }),
  },
  context_wrong: {
    claim: 'another tenant, purpose or key id does not open it',
    run: (target) =>
      refusedUnder(target, CONTEXT, [
        { ...CONTEXT, tenantId: 'acme2' },
        { ...CONTEXT, tenantId: 'Acme' },
        { ...CONTEXT, purpose: 'pii' },
        { ...CONTEXT, keyId: 'k2' },
        { ...CONTEXT, keyId: 'k1 ' },
        { tenantId: 'k1', purpose: 'signing', keyId: 'acme' },
      ]),
  },
  context_missing: {
    claim: 'a context without the key id does not open what has one',
    run: (target) => refusedUnder(target, CONTEXT, [{ tenantId: 'acme', purpose: 'signing' }]),
  },
  context_extra: {
    claim: 'a context with a key id does not open what has none',
    run: (target) => refusedUnder(target, { tenantId: 'acme', purpose: 'signing' }, [CONTEXT]),
  },
  context_ambiguous: {
    claim: 'a value that looks like another entry is a value',
    run: (target) =>
      refusedUnder(target, { tenantId: 'acme', purpose: 'signing', keyId: 'k1' }, [
        { tenantId: 'acme,keyId=k1', purpose: 'signing' },
        { tenantId: 'acme,purpose=signing', purpose: 'signing', keyId: 'k1' },
      ]),
  },
  context_reordered: {
    claim: 'the order in which a context is written does not matter',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const reordered: KmsContext = { keyId: 'k1', purpose: 'signing', tenantId: 'acme' }
        const generated = await kms.generateDataKey(CONTEXT, never)
        const opened = await kms.unwrap(generated.wrapped, generated.masterKeyId, reordered, never)
        expect(Buffer.compare(opened, generated.plaintext)).toBe(0)
      }),
  },
  context_10kb: {
    claim: 'a context of 10 KB is bound like any other',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const large: KmsContext = { ...CONTEXT, keyId: 'k'.repeat(10_240) }
        await roundTrip(kms, large)
        const { wrapped, masterKeyId } = await kms.generateDataKey(large, never)
        const almost: KmsContext = { ...large, keyId: `${'k'.repeat(10_239)}j` }
        const call = kms.unwrap(wrapped, masterKeyId, almost, never)
        await expectFailure(target, call, 'invalid_ciphertext', 'decrypt')
      }),
  },
  context_ill_formed: {
    claim: 'text that has no UTF-8 is our own mistake',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const error = await kms
          .generateDataKey({ tenantId: '\ud800', purpose: 'pii' }, never)
          .catch((thrown: unknown) => thrown)
        expect(error).toMatchObject({ kmsClass: 'bad_request', isRetryable: false })
      }),
  },
  tampered: {
    claim: 'a wrapped key with a flipped bit does not open',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
        for (const at of [0.55, 0.75, 0.999].map((part) => Math.floor(wrapped.length * part))) {
          const flipped = Uint8Array.from(wrapped)
          flipped[at]! ^= 1
          const call = kms.unwrap(flipped, masterKeyId, CONTEXT, never)
          await expectFailure(target, call, 'invalid_ciphertext', 'decrypt')
        }
      }),
  },
  malformed: {
    claim: 'what never was a wrapped key does not open',
    run: (target) =>
      withKms(target, {}, async (kms) => {
        const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
        const half = wrapped.subarray(0, wrapped.length >> 1)
        for (const bytes of [new Uint8Array(0), Uint8Array.of(1), half, Buffer.alloc(200, 'not a key ')]) {
          const call = kms.unwrap(bytes, masterKeyId, CONTEXT, never)
          await expectFailure(target, call, 'invalid_ciphertext', 'decrypt')
        }
      }),
  },
} satisfies Record<string, Case>

/** A key of `context` opens under none of `others`, and under itself. */
async function refusedUnder(
  target: KmsTarget,
  context: KmsContext,
  others: readonly KmsContext[],
): Promise<void> {
  await withKms(target, {}, async (kms) => {
    const { wrapped, masterKeyId } = await kms.generateDataKey(context, never)
    for (const other of others) {
      const call = kms.unwrap(wrapped, masterKeyId, other, never)
      await expectFailure(target, call, 'invalid_ciphertext', 'decrypt')
    }
    expect((await kms.unwrap(wrapped, masterKeyId, context, never)).length).toBe(32)
  })
}
