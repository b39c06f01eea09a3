import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MESSAGE_DEPTH_MAX } from '../../../src/base/limits.ts'
import { expectOneReading } from '../../../src/wire/json.ts'

const read = (json: string) => () => expectOneReading(Buffer.from(json))

test.each([
  '{}',
  '[]',
  '0',
  '"a"',
  'null',
  ' {"a":[1,{"a":1,"b":{"a":[]}},[[]]],"b":{}} ',
  '{"a":1,"A":2,"a_":3}',
  '[9007199254740991,-9007199254740991,1152921504606847000,-0,1e300,0.1]',
])('%s is taken', (json) => {
  expect(read(json)).not.toThrow()
})

test.each([
  ['{"a":1,"a":1}', 'json gives a member twice'],
  ['{"a":null,"\\u0061":1}', 'json gives a member twice'],
  ['[{"x":[{"b":{},"c":1,"b":[]}]}]', 'json gives a member twice'],
  ['{"a":9007199254740993}', 'json has an integer that readers round'],
  ['[1152921504606846976]', 'json has an integer that readers round'],
  [`[${'9'.repeat(400)}]`, 'json has an integer that readers round'],
  ['{"a":1', 'json is not well formed'],
  ['{} {}', 'json has bytes behind its end'],
  ['[1,]', 'json is not well formed'],
])('%s is refused', (json, message) => {
  expect(read(json)).toThrow(message)
})

test('nests as deep as a request may, at any length', () => {
  const deep = (count: number): string => `${'['.repeat(count)}${']'.repeat(count)}`
  expect(read(deep(2 * MESSAGE_DEPTH_MAX))).not.toThrow()
  expect(read(deep(2 * MESSAGE_DEPTH_MAX + 1))).toThrow(expect.objectContaining({ code: 'TOO_DEEP' }))
  expect(read('['.repeat(1_000_000))).toThrow(expect.objectContaining({ code: 'TOO_DEEP' }))
})

test('whatever JSON.stringify writes of doubles is taken', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) =>
      expectOneReading(Buffer.from(JSON.stringify(value))),
    ),
  )
})
