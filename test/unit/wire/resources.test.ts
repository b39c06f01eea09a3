import { describe, expect, test } from 'vitest'
import { GROUPS_PER_REQUEST_MAX } from '../../../src/base/limits.ts'
import { resourceStrings } from '../../../src/wire/resources.ts'
import { collectorVectors } from './collector-vectors.ts'
import { field, joined, text } from './recorder.ts'

const key = text('tenant')
const attribute = (name: string, ...value: (number | Uint8Array)[]): Uint8Array =>
  field(1, field(1, text(name)), field(2, ...value))
const named = (tenant: string): Uint8Array =>
  field(1, attribute('other', 0x18, 1), attribute('tenant', field(1, text(tenant))))

describe('the string of a resource attribute', () => {
  test.each<[string, Uint8Array, (string | undefined)[]]>([
    [
      'is there once per group, in order',
      joined(field(1, named('a')), field(1, named('__proto__'))),
      ['a', '__proto__'],
    ],
    ['is undefined without a resource', joined(field(1), field(1, named('b'))), [undefined, 'b']],
    [
      'is undefined without the attribute',
      field(1, field(1, attribute('other', field(1, text('x'))))),
      [undefined],
    ],
    [
      'is undefined for a value of another type',
      field(1, field(1, attribute('tenant', 0x18, 1))),
      [undefined],
    ],
    ['is found when the resource stands behind the scopes', field(1, field(2, field(2)), named('c')), ['c']],
    [
      'is found when the value stands before the key',
      field(1, field(1, field(1, field(2, field(1, text('d'))), field(1, key)))),
      ['d'],
    ],
    [
      'is the first of several',
      field(1, field(1, attribute('tenant', field(1, text('e'))), attribute('tenant', field(1, text('f'))))),
      ['e'],
    ],
    [
      'is not taken from a key that only begins alike',
      field(1, field(1, attribute('tenants', field(1, text('g'))))),
      [undefined],
    ],
    ['is nothing for an empty request', new Uint8Array(0), []],
  ])('%s', (_name, request, expected) => {
    expect(resourceStrings(request, key)).toEqual(expected)
  })

  test('is read from what a Collector wrote', () => {
    const request = Buffer.from(collectorVectors.traces.protobufHex, 'hex')
    expect(resourceStrings(request, text('empty'))).toEqual(['', undefined])
  })

  test.each([
    ['a group that overruns the request', joined(0x0a, 5, 0)],
    ['a resource as a varint', field(1, 0x08, 1)],
    ['an attribute that overruns its resource', field(1, joined(0x0a, 2, 0x0a, 9))],
  ])('is refused in %s', (_name, request) => {
    expect(() => resourceStrings(request, key)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })

  test('is refused over the limit of groups', () => {
    const groups = new Uint8Array((GROUPS_PER_REQUEST_MAX + 1) * 2)
    for (let i = 0; i < groups.length; i += 2) groups[i] = 0x0a
    expect(() => resourceStrings(groups, key)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    expect(resourceStrings(groups.subarray(2), key).length).toBe(GROUPS_PER_REQUEST_MAX)
  })
})
