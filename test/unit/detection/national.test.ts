import { describe, expect, test } from 'vitest'
import { NATIONAL_KINDS } from '../../../src/detection/national/kinds.ts'
import { find } from './find.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
console.log(`national numbers from seed ${SEED}`)
let state = SEED
/** Numbers from 0 to 1 (mulberry32). */
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let bits = Math.imul(state ^ (state >>> 15), 1 | state)
  bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
  return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
}
const pick = (from: string): string => from[Math.floor(random() * from.length)]!

/** Characters that fit a pattern; dates come up often enough. */
function filled(pattern: string): string {
  return pattern.replaceAll(/[#@*]/g, (sign) => pick(sign === '@' ? LETTERS : DIGITS))
}
const DIGITS = '0123456789'
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** A number that the kind's own check takes, or `undefined` when chance finds none. */
function valid(patterns: string, check: ((text: string) => boolean) | undefined): string | undefined {
  const [pattern] = patterns.split(' ')
  for (let attempt = 0; attempt < 200_000; attempt++) {
    const text = filled(pattern!)
    if (check === undefined || check(text)) return text
  }
  return undefined
}

const KINDS = Object.entries(NATIONAL_KINDS)

test('numbers of at least sixty countries', () => {
  expect(new Set(KINDS.map(([id]) => id.slice(0, 2))).size).toBeGreaterThanOrEqual(60)
})

describe.each(KINDS)('%s', (_, { names, persons, texts, patterns, check }) => {
  const name = (names ?? persons ?? texts)!.split('|')[0]!
  const number = valid(patterns, check)!

  test('is found behind its name, with any separators', () => {
    expect(number).toBeDefined()
    const word = name.length <= 3 ? name.toUpperCase() : name
    for (const text of [
      `${word}: ${number}`,
      `the ${word} no. ${number} was checked`,
      `${word} is ${number}.`,
    ])
      expect(find(text).map(([, found]) => found)).toContain(number)
    if (number.length < 6) return
    const grouped = `${number.slice(0, 4)} ${number.slice(4)}`
    expect(find(`${word} ${grouped}, seen`).map(([, found]) => found)).toContain(grouped)
  })

  test('is nothing without a name', () => {
    for (const text of [`value ${number} stored`, number, `build=${number}`])
      expect(find(text).filter(([detector]) => detector === 'national_id')).toEqual([])
  })
})

describe('check digits', () => {
  const CHECKED = KINDS.filter(([, { check }]) => check !== undefined)

  test.each(CHECKED)('of ten numbers like %s, few pass', (_, { patterns, check }) => {
    const [pattern] = patterns.split(' ')
    let passed = 0
    for (let i = 0; i < 2000; i++) if (check!(filled(pattern!))) passed++
    // Dates and ranges let through more than a digit of eleven; nothing lets through all.
    expect(passed).toBeLessThan(2000)
  })

  // Numbers that issuers print as examples, or that their publications work through.
  test.each([
    ['nl_bsn', '111222333'],
    ['pl_pesel', '44051401359'],
    ['it_cf', 'RSSMRA85T10A562S'],
    ['de_idnr', '86095742719'],
    ['fr_nir', '255081416802538'],
    ['fi_hetu', '131052308T'],
    ['se_pnr', '8112189876'],
    ['es_dni', '12345678Z'],
    ['es_nie', 'X1234567L'],
    ['br_cpf', '52998224725'],
    ['gb_nhs', '9434765919'],
    ['in_aadhaar', '999941057058'],
    ['tr_tckn', '10000000146'],
    ['bg_egn', '7523169263'],
    ['ch_ahv', '7569217076985'],
    ['cl_rut', '125319092'],
    ['za_id', '8001015009087'],
    ['sg_nric', 'S1234567D'],
    ['cn_ric', '11010519491231002X'],
    ['au_tfn', '123456782'],
    ['hk_hkid', 'A1234563'],
    ['tw_id', 'A123456789'],
    ['mx_curp', 'HEGG560427MVZRRL04'],
  ])('%s takes %s', (id, number) => {
    expect(NATIONAL_KINDS[id]!.check!(number)).toBe(true)
  })
})

test.each([
  'SSN validator 1.2.3 started',
  'ci build 1714307103 passed',
  'pin the version to 3810100438',
  'passport service took 123456 ms',
  'tax id cache 90211 entries',
  'identity number of retries 12345 times',
  'nit: 12 comments in 3 files',
])('%j names nobody', (text) => {
  expect(find(text)).toEqual([])
})
