import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type KmsContext, serialiseContext, serialiseEntries } from '../../../src/formats/key-context.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('a context is its count and its entries with lengths, sorted by name', () => {
  const bytes = serialiseEntries([
    ['b', '22'],
    ['a', '1'],
  ])
  expect(hex(bytes)).toBe('00000002' + '0000000161' + '0000000131' + '0000000162' + '000000023232')
  expect(hex(serialiseEntries([]))).toBe('00000000')
})

test('{a: "1,b=2"} and {a: "1", b: "2"} differ', () => {
  const one = serialiseEntries([['a', '1,b=2']])
  const two = serialiseEntries([
    ['a', '1'],
    ['b', '2'],
  ])
  expect(hex(one)).not.toBe(hex(two))
})

test('two different maps never have the same bytes, and order never matters', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', '\0', '\u0001', ',', '=', 'é', '🦊'),
    maxLength: 6,
  })
  const map = fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: false })
  fc.assert(
    fc.property(map, map, (one, two) => {
      const [first, second] = [Object.entries(one), Object.entries(two)]
      const sorted = (entries: [string, string][]): string => JSON.stringify(entries.toSorted())
      expect(hex(serialiseEntries(first)) === hex(serialiseEntries(second))).toBe(
        sorted(first) === sorted(second),
      )
      expect(hex(serialiseEntries(first))).toBe(hex(serialiseEntries(first.toReversed())))
    }),
    { numRuns: 1_000 },
  )
})

test('an absent key id differs from an empty one', () => {
  const without: KmsContext = { tenantId: 'a', purpose: 'pii' }
  expect(hex(serialiseContext(without))).not.toBe(hex(serialiseContext({ ...without, keyId: '' })))
})

test('text that has no UTF-8 is refused, not replaced', () => {
  expect(() => serialiseContext({ tenantId: '\ud800', purpose: 'pii' })).toThrow(
    'text is not well-formed Unicode',
  )
})

const RETRYABLE: Record<KmsClass, boolean> = {
  access_denied: false,
  key_disabled: false,
  key_not_found: false,
  throttled: true,
  network: true,
  timeout: true,
  invalid_ciphertext: false,
  bad_request: false,
}

test('every class of failure has its retry rule, its log line and its place in the runbook', () => {
  expect(Object.keys(KMS_CLASSES).toSorted()).toEqual(Object.keys(RETRYABLE).toSorted())
  for (const [name, isRetryable] of Object.entries(RETRYABLE) as [KmsClass, boolean][]) {
    const error = new KmsError(name, 'decrypt', 'the service said so')
    expect(error.isRetryable).toBe(isRetryable)
    expect(error.code).toBe('KMS')
    expect(error.logText).toContain(
      `KmsException ${name} in decrypt: the service said so (see docs/runbooks/kms-provider-failure.md#${name.replaceAll('_', '-')})`,
    )
    expect(error.message).not.toContain('said so')
  }
})
