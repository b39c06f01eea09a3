import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AttributeKeyPath } from '../../../src/redaction/attribute-key-path.ts'
import { KeyMatcher } from '../../../src/redaction/key-matcher.ts'
import { Place } from '../../../src/wire/otlp.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
console.log(`fast-check seed ${SEED}`)
const NOTHING = new Uint8Array(0)

/** The path of `keys`, with `ask` called at each depth from the outermost on. */
function walk(path: AttributeKeyPath, place: Place, keys: readonly string[], ask: () => void): void {
  const first = place === Place.LOG_BODY ? 1 : 0
  path.buf = Buffer.from(keys.join(''))
  let at = 0
  for (const [index, key] of keys.entries()) {
    const end = at + Buffer.byteLength(key)
    path.push(place, first + index, at, end)
    at = end
    ask()
  }
  for (const _ of keys) path.pop()
}

/** What a pattern says of a path, from its text: it fits all of it, or the end of it from a key's beginning on. */
function fits(pattern: string, keys: readonly string[]): boolean {
  const source = pattern
    .replaceAll(/[.\\+^$()[\]{}|]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  const regExp = new RegExp(`^${source}$`, 'is')
  return keys.some((_, from) => regExp.test(keys.slice(from).join('.')))
}

const key = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '.', '\0'), maxLength: 4 })
const pattern = fc.string({
  unit: fc.constantFrom('a', 'b', 'B', '.', '*', '?', '\0'),
  minLength: 1,
  maxLength: 8,
})

test('a rule names a path when one of its patterns fits it or the end of it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(pattern, { maxLength: 4 }), { maxLength: 12 }),
      fc.array(
        fc.tuple(fc.constantFrom(Place.SPAN_ATTRIBUTE, Place.LOG_BODY), fc.array(key, { maxLength: 5 })),
        {
          maxLength: 6,
        },
      ),
      fc.boolean(),
      (rules, paths, asksEach) => {
        const matcher = new KeyMatcher(rules)
        const path = new AttributeKeyPath(NOTHING)
        for (const [place, keys] of paths) {
          let depth = 0
          walk(path, place, keys, () => {
            depth++
            if (!asksEach && depth < keys.length) return
            const seen = keys.slice(0, depth)
            const expected = rules.flatMap((own, rule) =>
              own.some((text) => fits(text, seen)) ? [rule] : [],
            )
            expect(matcher.match(path, [])).toEqual(expected)
          })
        }
      },
    ),
    { numRuns: 1000, seed: SEED },
  )
})

test('what names the outer names the inner too, once and in order', () => {
  const matcher = new KeyMatcher([['x'], ['b'], ['*b']])
  const path = new AttributeKeyPath(NOTHING)
  walk(path, Place.SPAN_ATTRIBUTE, ['b'], () => expect(matcher.match(path, [0, 2, 5])).toEqual([0, 1, 2, 5]))
})

test.each([31, 32, 33, 63, 64, 65])('globs of %i characters, next to each other', (length) => {
  const text = 'k'.repeat(length)
  const matcher = new KeyMatcher([[`${text}*`], [`*${text}`], [`?${text}`]])
  const path = new AttributeKeyPath(NOTHING)
  const named = (name: string): readonly number[] => {
    let found: readonly number[] = []
    walk(path, Place.SPAN_ATTRIBUTE, [name], () => {
      found = matcher.match(path, [])
    })
    return found
  }
  expect(named(text)).toEqual([0, 1])
  expect(named(`${text}k`)).toEqual([0, 1, 2])
  expect(named(`j${text}`)).toEqual([1, 2])
  expect(named(text.slice(1))).toEqual([])
})
