import { describe, expect, test } from 'vitest'
import { DETECTORS } from '../../../src/detection/detectors.ts'
import { Matches } from '../../../src/detection/engine/matches.ts'
import { scanText, stopTable } from '../../../src/detection/engine/text-scan.ts'
import { BENIGN, LABELLED } from '../redaction/corpus.ts'

const ALL = (1 << DETECTORS.length) - 1
const STOPS = stopTable(ALL)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

function find(text: string): [string, string][] {
  const bytes = encoder.encode(text)
  const matches = new Matches()
  scanText(bytes, 0, bytes.length, ALL, STOPS, matches)
  return Array.from({ length: matches.count }, (_, i) => [
    DETECTORS[matches.source(i)]!.name,
    decoder.decode(bytes.subarray(matches.start(i), matches.end(i))),
  ])
}

const has = (
  list: readonly (readonly [string, string])[],
  [name, text]: readonly [string, string],
): boolean => list.some((entry) => entry[0] === name && entry[1] === text)

/** Inside another find: the IPv4 tail of an IPv6 address, a JWT that is a bearer token. */
const isInside = (
  list: readonly (readonly [string, string])[],
  [name, text]: readonly [string, string],
): boolean => list.some((entry) => entry[0] !== name && entry[1].includes(text))

describe('on the labelled corpus', () => {
  const texts = [...LABELLED, ...BENIGN.map((text) => ({ text, found: [] }))]
  const rows = DETECTORS.map(({ name }) => {
    let right = 0
    let wrong = 0
    let missed = 0
    for (const { text, found } of texts) {
      const actual = find(text)
      for (const match of actual)
        if (match[0] === name && !isInside(found, match)) has(found, match) ? right++ : wrong++
      for (const match of found) if (match[0] === name && !has(actual, match)) missed++
    }
    return { name, right, precision: right / (right + wrong), recall: right / (right + missed) }
  })
  console.log(
    rows
      .map(
        (row) =>
          `${row.name.padEnd(18)}${row.right} found, precision ${row.precision.toFixed(2)}, recall ${row.recall.toFixed(2)}`,
      )
      .join('\n'),
  )

  test.each(rows)('$name finds everything and nothing else', ({ right, precision, recall }) => {
    expect(right).toBeGreaterThan(0)
    expect({ precision, recall }).toEqual({ precision: 1, recall: 1 })
  })
})

test.each(BENIGN)('nothing is personal in %j', (text) => {
  expect(find(text)).toEqual([])
})

describe('boundaries', () => {
  test.each([
    ['12 digits are no card', '411111111111', 0],
    ['13 digits are', '4222222222222', 1],
    ['19 digits are', '6205500000000000004', 1],
    ['20 digits are none', '62055000000000000040', 0],
    ['a card is not inside more digits', '94111111111111111', 0],
    ['a wrong check digit is none', '4111111111111110', 0],
    ['equal digits are none', '4444444444444444', 0],
    ['256 is no octet', '203.0.113.256', 0],
    ['255 is', '203.0.113.255', 1],
    ['a leading zero is no octet', '203.0.113.01', 0],
    ['seven groups are no address', '2001:db8:1:2:3:4:5', 0],
    ['eight are', '2001:db8:1:2:3:4:5:6', 1],
    ['nine are not', '2001:db8:1:2:3:4:5:6:7', 0],
    ['two gaps are none', '2001:db8::1::2', 0],
    ['15 digits are a number', '+491511234567890', 1],
    ['16 digits are none', '+4915112345678901', 0],
    ['an unassigned country has none', '+21055512345', 0],
    ['an IBAN with one digit changed', 'DE89370400440532013001', 0],
    ['an IBAN of another length', 'DE8937040044053201300', 0],
    ['a top-level domain has two letters', 'a@b.c', 0],
    ['and that is enough', 'a@b.cd', 1],
    ['an empty password is none', 'https://bob:@example.com', 0],
    ['an empty value is none', '?token=&x=1', 0],
    ['a mask is none', 'password=[REDACTED:credential]', 0],
    ['a mask with more behind it is', 'password=[REDACTED]hunter2', 1],
  ])('%s', (_, text, count) => {
    expect(find(text)).toHaveLength(count)
  })
})

describe('hostile values', () => {
  const RATIO = 10
  const MIB = 1024 * 1024
  /** Quadratic work would take 100 times as long; noise on a busy machine at most triples a time. */
  const RATIO_MAX = RATIO * 4

  const fill = (unit: string, size: number): Uint8Array => new Uint8Array(Buffer.alloc(size, unit))
  const timed = (bytes: Uint8Array): number => {
    const matches = new Matches()
    const before = performance.now()
    scanText(bytes, 0, bytes.length, ALL, STOPS, matches)
    return performance.now() - before
  }

  const UNITS: [name: string, unit: string, sizeMib?: number][] = [
    ['digits', '7', 10],
    ['at signs', '@', 10],
    ['dots', '.', 10],
    ['colons', ':', 10],
    ['spaces', ' ', 10],
    ['letters b', 'b'],
    ['encoded at signs', '%40'],
    ['equals', '='],
    ['tokens', 'token='],
    ['URLs', '://'],
    ['URLs with users', '://a:b/'],
    ['bearers', 'bearer+'],
    ['JWT heads', 'eyJ.'],
    ['JWT parts', 'eyJhbGciOiJIUzI1NiJ9.'],
    ['quads', '1.1.'],
    ['groups', 'a:'],
    ['plus and digits', '+1 '],
    ['cards', '4111 '],
    ['IBAN heads', 'DE89'],
    ['local parts', 'a@'],
    ['long local parts', `${'a'.repeat(190)}@`],
    ['names and numbers', 'tax id 1234567 '],
    ['names without end', 'tax id no no no '],
    ['generally named numbers', 'ssn 12345 '],
    ['telephones', 'tel 12345 '],
    ['groups of a telephone', '1 2 3 4 5 '],
    ['members', 'a="'],
    ['members that are names', 'dob=1&'],
    ['open members', '"firstName":"'],
    ['elements', '<dob>'],
    ['quotes before at signs', '"@'],
    ['short words and numbers', 'a b c 1234 '],
    ['letters and digits', 'a1b2'],
    ['Cyrillic words', '\u0438\u043d\u043d 1234567 '],
    ['long domains', `@${'a.'.repeat(120)}`],
  ]

  test.each(UNITS)('ten times as many %s take about ten times as long', (...row) => {
    const [, unit, sizeMib = 0.625] = row as (typeof UNITS)[number] // vitest widens rows with optional parts
    const large = sizeMib * MIB
    // What takes less than this says nothing about ten times as much.
    const smallMs = Math.max(8, timed(fill(unit, large / RATIO)))
    const whole = fill(unit, large)
    const firstMs = timed(whole)
    const largeMs = firstMs / smallMs < RATIO_MAX ? firstMs : timed(whole)
    expect(largeMs / smallMs).toBeLessThan(RATIO_MAX)
  })
})
