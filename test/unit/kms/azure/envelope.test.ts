import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type KmsContext, serialiseContext } from '../../../../src/formats/key-context.ts'
import {
  openEnvelope,
  parseEnvelope,
  sealEnvelope,
  type WrapAlgorithm,
} from '../../../../src/kms/azure/envelope.ts'
import { derOfEcdsa } from '../../../../src/kms/azure/signature.ts'
import { KmsError } from '../../../../src/kms/kms.ts'

const KEY = Uint8Array.from({ length: 32 }, (_, index) => index)
const CONTEXT = serialiseContext({ tenantId: 'acme', purpose: 'pii', keyId: 'k' })
const WRAPPED_KEY = Buffer.alloc(256, 0x5a)

const classOf = (act: () => unknown): unknown => {
  try {
    return act()
  } catch (error) {
    return error instanceof KmsError ? error.kmsClass : error
  }
}

test('what was sealed opens to itself, whatever its size, context and algorithm', () => {
  const contexts = fc.record({
    tenantId: fc.string(),
    purpose: fc.constantFrom('pii', 'signing', 'pseudonym', 'probe') as fc.Arbitrary<KmsContext['purpose']>,
  })
  const algorithms = fc.constantFrom<WrapAlgorithm>('RSA-OAEP-256', 'A256KW')
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 4_096 })
  const wrapped = fc.uint8Array({ minLength: 1, maxLength: 1_024 })
  fc.assert(
    fc.property(bytes, contexts, algorithms, wrapped, (plaintext, context, algorithm, wrappedKey) => {
      const bound = serialiseContext(context)
      const envelope = parseEnvelope(sealEnvelope(plaintext, bound, KEY, algorithm, wrappedKey))
      expect(envelope.algorithm).toBe(algorithm)
      expect(Buffer.compare(envelope.wrappedKey, wrappedKey)).toBe(0)
      expect(Buffer.compare(openEnvelope(envelope, bound, KEY), plaintext)).toBe(0)
    }),
    { numRuns: 50 },
  )
})

test('no bit of an envelope can be flipped', () => {
  const sealed = sealEnvelope(Buffer.from('x'), CONTEXT, KEY, 'RSA-OAEP-256', WRAPPED_KEY)
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Uint8Array.from(sealed)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const verdict = classOf(() => openEnvelope(parseEnvelope(flipped), CONTEXT, KEY))
    expect(verdict, `bit ${bit}`).toBe('invalid_ciphertext')
  }
})

test('an envelope cut anywhere, or with more behind it, is none', () => {
  const sealed = sealEnvelope(Buffer.from('xyz'), CONTEXT, KEY, 'A256KW', Buffer.alloc(40, 1))
  for (let length = 0; length < sealed.length; length++) {
    const cut = sealed.subarray(0, length)
    expect(classOf(() => openEnvelope(parseEnvelope(cut), CONTEXT, KEY))).toBe('invalid_ciphertext')
  }
  const longer = Buffer.concat([sealed, Buffer.of(0)])
  expect(classOf(() => openEnvelope(parseEnvelope(longer), CONTEXT, KEY))).toBe('invalid_ciphertext')
})

test('another context, another key and a key of another size do not open it', () => {
  const sealed = parseEnvelope(sealEnvelope(Buffer.from('x'), CONTEXT, KEY, 'A256KW', WRAPPED_KEY))
  const other = serialiseContext({ tenantId: 'acme', purpose: 'pii', keyId: 'j' })
  expect(classOf(() => openEnvelope(sealed, other, KEY))).toBe('invalid_ciphertext')
  const otherKey = Uint8Array.from(KEY).fill(9, 31)
  expect(classOf(() => openEnvelope(sealed, CONTEXT, otherKey))).toBe('invalid_ciphertext')
  for (const size of [0, 16, 31, 33]) {
    expect(classOf(() => openEnvelope(sealed, CONTEXT, new Uint8Array(size)))).toBe('invalid_ciphertext')
  }
})

test.each([
  ['nothing', []],
  ['an unknown version', [2, 1, 0, 1, 9, ...Array(40).fill(0)]],
  ['an algorithm 0', [1, 0, 0, 1, 9, ...Array(40).fill(0)]],
  ['an unknown algorithm', [1, 3, 0, 1, 9, ...Array(40).fill(0)]],
  ['no wrapped key', [1, 1, 0, 0, ...Array(40).fill(0)]],
  ['a wrapped key longer than all of it', [1, 1, 255, 255, ...Array(40).fill(0)]],
  ['a wrapped key longer than any', [1, 1, 4, 1, ...Array(1_025 + 40).fill(0)]],
  ['no ciphertext', [1, 1, 0, 1, 9, ...Array(12 + 16).fill(0)]],
])('%s is no envelope', (_, bytes) => {
  expect(classOf(() => parseEnvelope(Uint8Array.from(bytes)))).toBe('invalid_ciphertext')
})

test('one envelope is never like another, not even of the same bytes', () => {
  const seal = (): string =>
    Buffer.from(sealEnvelope(KEY, CONTEXT, KEY, 'A256KW', WRAPPED_KEY)).toString('hex')
  expect(seal()).not.toBe(seal())
})

test('a signature of r and s verifies as DER, also with leading zeros and high bits', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (let round = 0; round < 200; round++) {
    const message = Buffer.from(`message ${round}`)
    const halves = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const der = derOfEcdsa(halves)!
    expect(
      verify('sha256', message, createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })), der),
    ).toBe(true)
  }
})

test.each([
  ['small numbers', '01', '02', '3006020101020102'],
  ['a high first bit', '80', 'ff', '300802020080020200ff'],
  ['zeros before a high bit', '0080', '7f', '30070202008002017f'],
  ['a zero', '00', '00', '3006020100020100'],
])('DER of %s', (_, r, s, expected) => {
  const half = (hex: string): Buffer => Buffer.from(hex.padStart(64, '0'), 'hex')
  expect(Buffer.from(derOfEcdsa(Buffer.concat([half(r), half(s)]))!).toString('hex')).toBe(expected)
})

test('what has not 64 bytes is no signature', () => {
  for (const size of [0, 63, 65, 96]) expect(derOfEcdsa(new Uint8Array(size))).toBeUndefined()
})
