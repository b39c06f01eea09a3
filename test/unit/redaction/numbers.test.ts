// A number is judged by its value, however it is spelled: as an integer or a double, in as few bytes as it takes or in
// as many as protobuf allows.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HASH, REDACTION_DEFAULTS, type Rule } from '../../../src/redaction/options.ts'
import { redact } from '../../../src/redaction/redact.ts'
import { compileRules } from '../../../src/redaction/rules.ts'
import type { TenantKeys } from '../../../src/redaction/tenant-keys.ts'
import { ValueType } from '../../../src/wire/otlp.ts'
import { kv, type Plain, spanAttributes, str, traceRequest } from './otlp-codec.ts'
import { TestPseudonymizer, testTenant } from './test-keys.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
console.log(`fast-check seed ${SEED}`)

const DEFAULT = compileRules(REDACTION_DEFAULTS)
const CARDS = [
  '4222222222222',
  '378282246310005',
  '4111111111111111',
  '2223003122003222',
  '6205500000000000004',
]
const MASKING: TenantKeys = { tenant: 'acme', sealer: 'mask', pseudonymizer: 'mask' }
const own = (...rules: Rule[]): ReturnType<typeof compileRules> =>
  compileRules({ ...REDACTION_DEFAULTS, packs: [], rules })

/** `value` in `size` bytes, or as few as it takes where that is more. */
function varint(value: bigint, size: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  do {
    bytes.push(Number(rest & 0x7fn))
    rest >>= 7n
  } while (rest > 0n)
  while (bytes.length < size) bytes.push(0)
  return Buffer.from(bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte)))
}

const lengthField = (field: number, content: Uint8Array): Buffer =>
  Buffer.concat([varint(BigInt((field << 3) | 2), 1), varint(BigInt(content.length), 1), content])

/** A span with the attribute `n` that has these bytes as its AnyValue. */
function spanWith(anyValue: Uint8Array): Uint8Array {
  const attribute = lengthField(
    9,
    Buffer.concat([lengthField(1, Buffer.from('n')), lengthField(2, anyValue)]),
  )
  return lengthField(1, lengthField(2, lengthField(2, attribute)))
}

const attributeOf = (body: Uint8Array): Plain | undefined =>
  spanAttributes(redact(body, 'traces', DEFAULT, [MASKING]).body).get('n')

describe('a card as a number', () => {
  const sizes = Array.from({ length: 10 }, (_, index) => index + 1)

  test.each(sizes)('in a varint of %i bytes, or as many as it takes', (size) => {
    for (const type of [ValueType.INT, ValueType.BOOL, 8]) {
      for (const card of CARDS) {
        const value = Buffer.concat([varint(BigInt(type << 3), 1), varint(BigInt(card), size)])
        expect(attributeOf(spanWith(value)), `${card} as ${type}`).toHaveProperty('stringValue')
      }
    }
  })

  test.each([1, 2, 3, 4, 5])('behind a tag of %i bytes', (size) => {
    const value = Buffer.concat([varint(BigInt(ValueType.INT << 3), size), varint(BigInt(CARDS[2]!), 1)])
    expect(attributeOf(spanWith(value))).toHaveProperty('stringValue')
  })

  test.each(CARDS.filter((card) => BigInt(Number(card)) === BigInt(card)))('as the double %s', (card) => {
    const value = Buffer.alloc(9, (ValueType.DOUBLE << 3) | 1)
    value.writeDoubleLE(Number(card), 1)
    expect(attributeOf(spanWith(value))).toHaveProperty('stringValue')
  })

  test.each(sizes)('and what is none stays, in %i bytes', (size) => {
    for (const number of [0n, 1n, -1n, 4111111111111112n, 1732345678901234567n, -(2n ** 63n)]) {
      const value = Buffer.concat([varint(BigInt(ValueType.INT << 3), 1), varint(number, size)])
      const body = spanWith(value)
      expect(redact(body, 'traces', DEFAULT, [MASKING]).body, `${number}`).toBe(body)
    }
  })

  test('is found exactly where its text is', () => {
    const number = fc.oneof(
      fc.constantFrom(...CARDS).map(BigInt),
      fc.constantFrom(...CARDS).map((card) => -BigInt(card)),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    )
    fc.assert(
      fc.property(number, fc.integer({ min: 1, max: 10 }), fc.boolean(), (value, size, isDouble) => {
        const exact = isDouble ? BigInt(Number(value)) : value
        const bytes = Buffer.alloc(9, (ValueType.DOUBLE << 3) | 1)
        bytes.writeDoubleLE(Number(value), 1)
        const integer = Buffer.concat([varint(BigInt(ValueType.INT << 3), 1), varint(value, size)])
        const asNumber = attributeOf(spanWith(isDouble ? bytes : integer))
        const asText = attributeOf(traceRequest([kv('n', str(exact.toString()))]))
        expect('stringValue' in asNumber!).toBe(asText!.stringValue !== exact.toString())
      }),
      { numRuns: 2000, seed: SEED },
    )
  })
})

test('equal numbers get equal pseudonyms, however they are spelled', () => {
  const rules = own({ name: 'n', match: { key: ['n'] }, action: HASH, dataClass: 'test' })
  const tenant = testTenant()
  for (const type of [ValueType.INT, ValueType.BOOL]) {
    const tokens = [1, 2, 5, 10].map((size) => {
      const value = Buffer.concat([varint(BigInt(type << 3), 1), varint(1n, size)])
      return spanAttributes(redact(spanWith(value), 'traces', rules, [tenant]).body).get('n')?.stringValue
    })
    const minimal = Buffer.from([type << 3, 1])
    const expected = new TestPseudonymizer('acme').pseudonym('test', minimal)
    expect(new Set(tokens)).toEqual(new Set([expected]))
  }
})

test('the beacon of an attribute stands beside it, however its tag is spelled', () => {
  const rules = own({
    name: 'n',
    match: { key: ['n'] },
    action: { kind: 'encrypt', hasBeacon: true, beaconBits: 128 },
    dataClass: 'test',
  })
  const attribute = Buffer.concat([
    lengthField(1, Buffer.from('n')),
    lengthField(2, Buffer.from([0x0a, 1, 0x61])),
  ])
  const tag = varint(BigInt((9 << 3) | 2), 3)
  const field = Buffer.concat([tag, varint(BigInt(attribute.length), 1), attribute])
  const body = lengthField(1, lengthField(2, lengthField(2, field)))
  const result = redact(body, 'traces', rules, [testTenant()])
  expect([...spanAttributes(result.body).keys()]).toEqual(['n.tok', 'n'])
})
