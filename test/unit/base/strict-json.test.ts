import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseStrictJson } from '../../../src/base/strict-json.ts'

const parse = (text: string): unknown => parseStrictJson(Buffer.from(text))

test('reads what JSON.parse reads, whatever it holds', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 1, 2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      expect(parse(text)).toEqual(JSON.parse(text))
    }),
  )
})

describe('refuses', () => {
  test.each([
    '{"a":1,"a":1}',
    '{"a":1,"b":{},"a":null}',
    '[{"x":[{"k":1},{"k":1,"k":2}]}]',
    '{"a":1,"\\u0061":2}',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"a\\"":1,"a\\u0022":2}',
  ])('two members of one name: %s', (text) => {
    expect(() => parse(text)).toThrow('has two members of one name in one object')
  })

  test.each(['', '{', '{"a":1}x', "{'a':1}", '{"a":01}', 'NaN', '\ufeff\ufeff{}'])(
    'what is not JSON: %j',
    (text) => {
      expect(() => parse(text)).toThrow('is not JSON')
    },
  )

  test('what is not UTF-8', () => {
    expect(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('is not JSON')
  })
})

test.each([
  '{"a":{"a":{"a":1}},"b":["a","a",{"a":1},{"a":1}]}',
  '["a","a"]',
  '"a"',
  '{"a":"a","b":"a"}',
  '{"a":"}{\\",","b":1}',
])('takes one name in different objects, and as a value: %s', (text) => {
  expect(parse(text)).toEqual(JSON.parse(text))
})

test('a text of nothing but brackets is refused or read, and deep ones too', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  expect(() => parse('['.repeat(1_000_000))).toThrow('is not JSON')
  try {
    parse(deep)
  } catch (thrown) {
    expect(String(thrown)).toContain('is not JSON')
  }
})
