// Every form of the table, with bodies made from its alphabet: found whole wherever a token may stand, and not where
// something else does. BETRACE_TOKEN_SEED repeats a failing run.
import { describe, expect, test } from 'vitest'
import { TokenAutomaton } from '../../../../src/detection/credentials/token-automaton.ts'
import {
  ALPHABETS,
  NEEDED,
  TOKEN_FORMS,
  type TokenForm,
} from '../../../../src/detection/credentials/token-forms.ts'
import { findBy } from '../find.ts'

const SEED = Number(process.env.BETRACE_TOKEN_SEED ?? (Date.now() % 1_000_000) + 1)
console.log(`BETRACE_TOKEN_SEED=${SEED}`)
let state = SEED
const random = (below: number): number => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

function charactersOf(ranges: string): string {
  let characters = ''
  for (let code = 0x21; code < 0x7f; code++) {
    const character = String.fromCharCode(code)
    if (new RegExp(`[${ranges.replace('/', '\\/')}]`).test(character)) characters += character
  }
  return characters
}

/**
 * Letters and digits at both ends, as in what providers make; no character many times in a row. Where the prefix has no sign,
 * a digit stands near the beginning: tokens of letters alone are not looked for.
 */
function bodyOf({ prefix, alphabet, min, max }: TokenForm, length = min + random(max - min + 1)): string {
  const all = charactersOf(ALPHABETS[alphabet]!)
  const plain = all.replace(/[^0-9A-Za-z]/g, '')
  const isPlain = /^[A-Za-z]+$/.test(prefix)
  const needed = NEEDED[alphabet] !== undefined ? 'aZ7' : isPlain ? 'A7' : ''
  let body = needed
  while (body.length < length) {
    const isEnd = body.length === 0 || body.length === length - 1
    const from = isEnd ? plain : all
    const next = from[random(from.length)]!
    if (body.at(-1) !== next && !(next === '-' && body.at(-1) === '-')) body += next
  }
  return body.slice(0, length)
}

const tokens = (text: string): string[] => findBy('provider_token', text)

test('the table is sound', () => {
  expect(new Set(TOKEN_FORMS.map(({ provider }) => provider)).size).toBeGreaterThan(180)
  for (const { prefix, alphabet, min, max } of TOKEN_FORMS) {
    expect([prefix, alphabet in ALPHABETS, min > 0, max >= min]).toEqual([prefix, true, true, true])
    expect(prefix.length, prefix).toBeGreaterThan(1)
  }
})

describe.each([...new Set(TOKEN_FORMS.map(({ prefix }) => prefix))])('%s', (prefix) => {
  const forms = TOKEN_FORMS.filter((form) => form.prefix === prefix)

  test('is found whole, where a token may stand', () => {
    for (const form of forms) {
      const token = prefix + bodyOf(form)
      const places: [string, string][] = [
        [token, ''],
        [`login with ${token} failed`, ' '],
        [`{"value":"${token}"}`, '"'],
        [`see /x/${token}`, ''],
        [`line\\n${token}\\n`, '\\'],
        [`(${token})`, ')'],
        [`<v>${token}</v>`, '<'],
      ]
      // Where the alphabet has what stands behind, nobody can say where the token ends.
      for (const [text, behind] of places)
        if (behind === '' || !charactersOf(ALPHABETS[form.alphabet]!).includes(behind))
          expect(tokens(text).join(), text).toContain(token)
    }
  })

  test('is not found in a word, as a placeholder, or cut short', () => {
    for (const form of forms) {
      const token = prefix + bodyOf(form)
      expect(tokens(`my${token}`), 'in a word').not.toContain(token)
      if (!prefix.startsWith('hooks.')) expect(tokens(`${prefix}${'x'.repeat(form.min)}`)).toEqual([])
      const short = prefix + bodyOf(form, form.min - 1)
      const isAnother = TOKEN_FORMS.some(
        (other) =>
          short.startsWith(other.prefix) &&
          (other.prefix !== prefix || form.min - 1 >= other.min) &&
          short.length - other.prefix.length >= other.min,
      )
      if (!isAnother) expect(tokens(short), 'cut short').toEqual([])
    }
  })
})

test.each([
  ['Azure', `abc8Q~${'aB3.dE_f-G'.repeat(3)}x1`],
  ['Telegram', `12345678:A${'Bc9_dE-fG1'.repeat(3)}xyz12`],
  ['Facebook', `123456789012345|${'aB3dEfG-h9'.repeat(2)}xY_z123`],
  ['Terraform', `aB3dEfGh9kLmN0.atlasv1.${'aB3dEfGh9_'.repeat(6)}`],
])('%s has its mark inside', (_, token) => {
  expect(tokens(token)).toEqual([token])
  expect(tokens(`x ${token}, y`)).toEqual([token])
  expect(tokens(token.slice(0, -20))).toEqual([])
})

test('a look costs the same for ten forms and for a thousand', () => {
  const many = Array.from({ length: 1_000 }, (_, i) => ({
    provider: `p${i}`,
    prefix: `q${i.toString(36)}_`,
    alphabet: 'base62',
    min: 20,
    max: 40,
  }))
  const text = new TextEncoder().encode('qa_bc qzz_12 plain words and qq_xyz '.repeat(300))
  const cost = (forms: readonly TokenForm[]): number => {
    const automaton = new TokenAutomaton(forms)
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 30; round++) {
      const startedMs = performance.now()
      for (let at = 0; at < text.length; at++) automaton.match(text, at, text.length)
      best = Math.min(best, performance.now() - startedMs)
    }
    return best
  }
  const [few, all] = [cost(many.slice(0, 10)), cost(many)]
  console.log(
    `10 forms ${few.toFixed(3)} ms, 1,000 forms ${all.toFixed(3)} ms, ${new TokenAutomaton(many).bytes} bytes`,
  )
  expect(all).toBeLessThan(few * 3 + 0.5)
})
