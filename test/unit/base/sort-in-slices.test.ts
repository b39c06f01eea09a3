import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sortInSlices } from '../../../src/base/sort-in-slices.ts'
import { inOneGo } from '../../../src/base/turns.ts'

test('sorts as the language does, of any length, and equal ones keep their order', () => {
  const anyLength = fc.oneof(fc.nat(50), fc.nat(20_000), fc.constantFrom(2_048, 2_049, 4_096, 4_097))
  const seed = Date.now() % 1_000_000
  console.log(`sort: FC_SEED=${seed}`)
  fc.assert(
    fc.property(anyLength, fc.integer({ min: 1, max: 3_000 }), fc.integer(), (length, different, salt) => {
      const keys = Array.from({ length }, (_, i) => Math.abs(Math.imul(i ^ salt, 0x9e3779b1)) % different)
      const items = Uint32Array.from({ length }, (_, i) => i)
      inOneGo(sortInSlices(items, (a, b) => keys[a]! - keys[b]!))
      const expected = [...keys.keys()].sort((a, b) => keys[a]! - keys[b]!)
      expect([...items]).toEqual(expected)
    }),
    { numRuns: 60, seed },
  )
})

test('a million are sorted in slices of some milliseconds of comparing each', () => {
  const items = Uint32Array.from({ length: 1_000_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0)
  let compared = 0
  let most = 0
  const sorting = sortInSlices(items, (a, b) => {
    compared++
    return a - b
  })
  for (let step = sorting.next(); !step.done; step = sorting.next()) {
    most = Math.max(most, compared)
    compared = 0
  }
  expect(most).toBeLessThan(40_000)
  expect(items.every((item, i) => i === 0 || items[i - 1]! <= item)).toBe(true)
})
