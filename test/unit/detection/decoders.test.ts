// What is found behind encodings, and that the find is the part of the value that stands for it, in the encoding it stood in.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodedSearch } from '../../../src/detection/decoders/decoded.ts'
import { TextView } from '../../../src/detection/decoders/text-view.ts'
import { DETECTORS } from '../../../src/detection/detectors.ts'
import { Matches } from '../../../src/detection/engine/matches.ts'
import { stopTable } from '../../../src/detection/engine/text-scan.ts'

const ALL = (1 << DETECTORS.length) - 1
const STOPS = stopTable(ALL)
const searching = new DecodedSearch()

/** What is found behind encodings alone: names of detectors with what stands in the value. */
function behind(text: string): [string, string][] {
  const bytes = Buffer.from(text)
  const matches = new Matches()
  searching.search(new Uint8Array(bytes), 0, bytes.length, ALL, STOPS, matches)
  return Array.from({ length: matches.count }, (_, i) => [
    DETECTORS[matches.source(i)]!.name,
    bytes.subarray(matches.start(i), matches.end(i)).toString(),
  ])
}

const each = (text: string, encode: (code: number) => string): string =>
  [...text].map((character) => encode(character.charCodeAt(0))).join('')
const hex = (code: number, digits = 2): string => code.toString(16).padStart(digits, '0')
const percent = (text: string): string => each(text, (code) => `%${hex(code)}`)
const signs = (text: string, encode: (code: number) => string): string =>
  text.replace(/[^a-z0-9]/gi, (sign) => encode(sign.charCodeAt(0)))

const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  'percent, every byte': percent,
  'percent, twice': (text) => percent(text).replaceAll('%', '%25'),
  'percent, three times': (text) => percent(text).replaceAll('%', '%2525'),
  'JSON escapes': (text) => each(text, (code) => `\\u${hex(code, 4)}`),
  'JSON escapes in JSON': (text) => each(text, (code) => `\\\\u${hex(code, 4)}`),
  'JSON escapes of signs': (text) => signs(text, (code) => `\\u${hex(code, 4)}`),
  'bytes as Python prints them': (text) => each(text, (code) => `\\x${hex(code)}`),
  'HTML entities': (text) => each(text, (code) => `&#${code};`),
  'HTML entities, hex': (text) => each(text, (code) => `&#x${hex(code)};`),
  'HTML entities of signs': (text) => signs(text, (code) => `&#${code};`),
  'HTML entities, escaped': (text) => each(text, (code) => `&amp;#${code};`),
  'full-width characters': (text) => each(text, (code) => String.fromCharCode(code + 0xfee0)),
}

describe.each(Object.entries(ENCODINGS))('%s', (_, encode) => {
  test.each([
    ['email', 'ann@mail.example.org'],
    ['payment_card', '4111-1111-1111-1111'],
    ['ipv4', '203.0.113.7'],
    ['us_ssn', '536-22-8726'],
  ])('%s is found, and nothing beside it is taken', (name, text) => {
    const encoded = encode(text)
    expect(behind(`from ${encoded}, then`)).toContainEqual([name, encoded])
  })
})

test.each([
  ['zero-width characters', 'ann@mail.exa\u200bmple.org', 'email'],
  ['a soft hyphen', '203.0\u00ad.113.7', 'ipv4'],
  ['a word joiner', '4111\u2060-1111-1111-1111', 'payment_card'],
  ['an en dash', '536\u201322\u20138726', 'us_ssn'],
])('%s inside', (_, text, name) => {
  expect(behind(`from ${text}, then`)).toContainEqual([name, text])
})

describe('base64', () => {
  const json = JSON.stringify({ email: 'ann@mail.example.org' })
  const base64 = Buffer.from(json).toString('base64')
  const base64url = Buffer.from(json).toString('base64url')

  test('text in which something is found is a find as a whole, with its padding', () => {
    expect(behind(`{"payload":"${base64}"}`)).toEqual([['email', base64]])
    expect(behind(`state=${base64url}&x=1`)).toEqual([['email', base64url]])
    const escaped = Buffer.from('to ann%40%6Dail.example.org').toString('base64')
    expect(behind(escaped).map(([, text]) => text)).toEqual([escaped])
  })

  test('what is no text, or has nothing in it, stays', () => {
    expect(behind('5b8efff798038103d269b633813fc60c')).toEqual([])
    expect(behind(Buffer.from('{"status":"ok","count":"many"}').toString('base64'))).toEqual([])
    expect(
      behind(Buffer.from(Uint8Array.from({ length: 90 }, (_, i) => (i * 89) & 0xff)).toString('base64')),
    ).toEqual([])
    expect(behind('checkoutserviceworkerpool/checkoutserviceworker')).toEqual([])
  })
})

test('what needs no decoding is left to the detectors', () => {
  for (const text of [
    'ann@mail.example.org and 4111 1111 1111 1111',
    'https://x.example/?to=ann%40mail.example.org&next=%2Fhome%3Fa%3D1',
    'Tom &amp; Jerry, a\\nb, 50 %, \u201cquoted\u201d',
  ])
    expect(behind(text)).toEqual([])
})

test('a view never grows, and its pieces follow one another in the value', () => {
  const view = new TextView()
  const piece = fc.constantFrom(
    '%25',
    '%41',
    '%',
    '&',
    '&#64;',
    '&amp;',
    '\\u0041',
    '\\',
    'a',
    ' ',
    '\u200b',
    '\uff21',
    '\u00a0',
    '\u2013',
  )
  const seed = Date.now() % 1_000_000
  console.log(`decoders: FC_SEED=${seed}`)
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const bytes = new Uint8Array(Buffer.from(pieces.join('')))
      if (!view.read(bytes, 0, bytes.length)) return
      expect(view.length).toBeLessThanOrEqual(bytes.length)
      let last = 0
      for (let i = 0; i < view.length; i++) {
        expect(view.start(i)).toBeGreaterThanOrEqual(last)
        last = view.end(i + 1)
        expect(last).toBeGreaterThan(view.start(i))
      }
      expect(last).toBeLessThanOrEqual(bytes.length)
    }),
    { seed, numRuns: 2_000 },
  )
})

test('ten times as much takes ten times as long', () => {
  const cost = (text: string): number => {
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 8; round++) {
      const startedMs = performance.now()
      behind(text)
      best = Math.min(best, performance.now() - startedMs)
    }
    return best
  }
  for (const part of [
    '%252541',
    '&amp;',
    '\\\\\\\\',
    '&',
    `${Buffer.from('name=:').toString('base64')}`,
    '%25',
    '\u200b',
    '&#64;',
  ]) {
    const [small, large] = [cost(part.repeat(2_000)), cost(part.repeat(20_000))]
    expect(large, part).toBeLessThan(small * 40 + 5)
  }
})

test('when more is found than is recorded, and the rest may be escaped, the value goes as a whole', () => {
  const bytes = Buffer.from('ann@b.co '.repeat(40_000) + 'ann&#64;b.co '.repeat(40_000))
  const matches = new Matches()
  searching.search(new Uint8Array(bytes), 0, bytes.length, ALL, STOPS, matches)
  expect(matches.isOverflown).toBe(true)
})
