import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UNKNOWN_FIELDS_MAX } from '../../../src/base/limits.ts'
import {
  KEEP,
  MASK,
  REDACTION_DEFAULTS,
  type Rule,
  type UnknownFieldMode,
} from '../../../src/redaction/options.ts'
import { redact, redactInSlices } from '../../../src/redaction/redact.ts'
import { compileRules } from '../../../src/redaction/rules.ts'
import { request } from '../wire/arbitrary.ts'
import { encode } from '../wire/oracle.ts'
import { field, joined, spanAttribute, spanRequest, text, varint } from '../wire/recorder.ts'
import { testTenant } from './test-keys.ts'

const seed = Number(process.env.FC_SEED ?? 20_260_701)
console.info(`unknown fields: FC_SEED=${seed}`)

/** A field whose number OTLP 1.11 has nowhere. */
const unknown = (wireType: number, payload: Uint8Array): Uint8Array =>
  joined(varint(1000 * 8 + wireType), payload)
const bytes = (...content: (number | Uint8Array)[]): Uint8Array => {
  const inside = joined(...content)
  return unknown(2, joined(varint(inside.length), inside))
}
const fixed64 = (value: bigint): Uint8Array => {
  const out = Buffer.alloc(8)
  out.writeBigUInt64LE(value)
  return unknown(1, out)
}
const double = (value: number): Uint8Array => {
  const out = Buffer.alloc(8)
  out.writeDoubleLE(value)
  return unknown(1, out)
}

const redacted = (
  buf: Uint8Array,
  mode: UnknownFieldMode = 'scan',
  rules: readonly Rule[] = [],
  packs = REDACTION_DEFAULTS.packs,
): ReturnType<typeof redact> =>
  redact(buf, 'traces', compileRules({ ...REDACTION_DEFAULTS, packs, rules, unknownFields: mode }), [
    testTenant(),
  ])

const span = (...content: (number | Uint8Array)[]): Uint8Array => spanRequest(field(5, text('n')), ...content)
const EMAIL = text('write to kim@shop.example now')
const CARD = 4_111_111_111_111_111n

describe('an unknown field in which something is found is taken away whole', () => {
  test.each<[string, Uint8Array]>([
    ['text', bytes(EMAIL)],
    ['text in a message', bytes(field(3, EMAIL))],
    ['text in messages in messages', bytes(field(1, field(1, field(1, field(1, EMAIL)))))],
    ['text that no message holds, deeper than we read', bytes(nested(40, EMAIL))],
    ['text behind bytes that are none', bytes(0xff, 0xfe, EMAIL, 0xe9)],
    ['a card whose length before it looks like a digit', bytes(field(2, text(`${CARD} ${'x'.repeat(35)}`)))],
    ['a card as a varint', unknown(0, varint(Number(CARD)))],
    ['a card as eight bytes', fixed64(CARD)],
    ['a card as a double', double(Number(CARD))],
    ['a card in a message', bytes(0x08, varint(Number(CARD)))],
    ['a password parameter', bytes(text('login?password=hunter2hunter2'))],
    ['too much to search', bytes(new Uint8Array(5 * 1024 * 1024))],
  ])('%s', (_name, field1000) => {
    const result = redacted(span(field1000, spanAttribute('k', field(1, text('v')))))
    expect(Buffer.from(result.body)).toEqual(Buffer.from(span(spanAttribute('k', field(1, text('v'))))))
    expect(result.faults?.removedFields).toBe(1)
    expect(result.faults?.message).toContain('first in resourceSpans[0].scopeSpans[0].spans[0]')
    expect(result.itemCount).toBe(1)
  })

  test('wherever it stands, and beside values that rules edit or take whole', () => {
    const secret = bytes(EMAIL)
    const value = (key: string, ...more: Uint8Array[]): Uint8Array =>
      field(9, field(1, text(key)), field(2, field(1, text('lee@shop.example')), ...more), ...more)
    const buf = joined(
      secret,
      field(
        1,
        secret,
        field(1, secret),
        field(
          2,
          secret,
          field(1, secret),
          field(2, secret, value('note', secret), value('enduser.id', secret)),
        ),
        secret,
      ),
    )
    const result = redacted(buf)
    expect(Buffer.from(result.body).includes('@shop')).toBe(false)
    expect(result.faults?.removedFields).toBe(11)
  })

  test('also beside a signature, an exempt value and a forged announcement', () => {
    const rules: Rule[] = [{ name: 'mine', match: { key: ['exempt'] }, action: KEEP }]
    for (const key of ['span.signature', 'exempt', 'betrace.key.AAAAAAAAAAAA']) {
      const attribute = (...more: Uint8Array[]): Uint8Array =>
        spanRequest(field(9, field(1, text(key)), field(2, field(1, text('v')), ...more), ...more))
      const { body, faults } = redacted(attribute(bytes(EMAIL)), 'scan', rules)
      expect(Buffer.from(body).includes('@shop')).toBe(false)
      expect(faults?.removedFields).toBe(2)
    }
  })
})

describe('an unknown field in which nothing is found keeps its bytes', () => {
  test.each<[string, Uint8Array]>([
    ['text', bytes(text('a later OTLP says hello'))],
    ['a message', bytes(field(1, text('x')), 0x10, 5)],
    ['a time in nanoseconds', fixed64(1_770_000_000_123_456_789n)],
    ['a double', double(1234.5)],
    ['one', double(1)],
    ['four bytes', unknown(5, Uint8Array.of(1, 2, 3, 4))],
    ['a small number', unknown(0, varint(200))],
    ['a number with the digits of a card, but not its checksum', unknown(0, varint(4_111_111_111_111_112))],
  ])('%s', (_name, field1000) => {
    const buf = span(field1000)
    expect(redacted(buf).body).toBe(buf)
  })

  test('whatever else the rules edit', () => {
    const kept = bytes(text('kept'))
    const { body, faults } = redacted(span(kept, spanAttribute('note', field(1, EMAIL)), kept))
    expect(Buffer.from(body).includes('kim@')).toBe(false)
    expect(Buffer.from(body).toString('latin1').split('kept')).toHaveLength(3)
    expect(faults).toBeUndefined()
  })
})

describe('the setting', () => {
  test('keeps them all, or takes them all away', () => {
    const buf = span(bytes(EMAIL), bytes(text('harmless')))
    expect(redacted(buf, 'keep').body).toBe(buf)
    const removed = redacted(buf, 'remove')
    expect(Buffer.from(removed.body)).toEqual(Buffer.from(span()))
    expect(removed.faults?.removedFields).toBe(2)
  })

  test('follows the rules that need no key: patterns, packs, and an exemption that holds everywhere', () => {
    const pattern: Rule = { name: 'p', match: { pattern: ['MRN-[0-9]{4}'] }, action: MASK }
    const mrn = span(bytes(text('MRN-1234')))
    expect(redacted(mrn).body).toBe(mrn)
    expect(Buffer.from(redacted(mrn, 'scan', [pattern]).body)).toEqual(Buffer.from(span()))
    const buf = span(bytes(EMAIL))
    expect(redacted(buf, 'scan', [], []).body).toBe(buf)
    const keep: Rule = { name: 'k', match: { detector: ['email'] }, action: KEEP }
    expect(redacted(buf, 'scan', [keep]).body).toBe(buf)
    for (const match of [{ surface: ['body'] }, { tenant: ['acme'] }]) {
      const limited: Rule = { name: 'k', match: { detector: ['email'], ...match }, action: KEEP }
      expect(redacted(buf, 'scan', [limited]).faults?.removedFields).toBe(1)
    }
  })
})

test('more of them than can be searched are refused, and their search throws nothing for each', () => {
  const many = new Uint8Array(Buffer.alloc(3 * (UNKNOWN_FIELDS_MAX + 1), Buffer.from([0xc2, 0x3e, 0x00])))
  expect(() => redacted(many)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
})

test('each request has its own share of them, also while another has its turn in between', () => {
  const rules = compileRules(REDACTION_DEFAULTS)
  const halves = UNKNOWN_FIELDS_MAX / 2 + 1
  const half = new Uint8Array(Buffer.alloc(3 * halves, Buffer.from([0xc2, 0x3e, 0x00])))
  const works = [0, 1, 2].map(() => redactInSlices(half, 'traces', rules, [testTenant()]))
  const done = works.map(() => false)
  while (done.includes(false)) {
    for (const [i, work] of works.entries()) done[i] ||= work.next().done === true
  }
  expect(done).toEqual([true, true, true])
})

test('no secret survives in an unknown field, wherever in a request of any shape it is put', () => {
  fc.assert(
    fc.property(request.traces, fc.nat(), fc.nat(3), (content, at, depth) => {
      const sound = encode('traces', content)
      const buf = joined(sound, field(1, field(2, field(2, planted(at, depth)))))
      const rules = compileRules(REDACTION_DEFAULTS)
      const groups = Array.from({ length: 8 }, () => testTenant())
      const { body } = redact(buf, 'traces', rules, groups)
      expect(Buffer.from(body).includes('kim@')).toBe(false)
    }),
    { seed, numRuns: 100 },
  )
})

/** A secret at some depth of an unknown field, between others. */
function planted(at: number, depth: number): Uint8Array {
  const number = 17 + (at % 10_000)
  const inside = nested(depth, EMAIL)
  return joined(unknown(0, varint(at % 300)), varint(number * 8 + 2), varint(inside.length), inside)
}

function nested(depth: number, content: Uint8Array): Uint8Array {
  return depth === 0 ? content : field(1, nested(depth - 1, content))
}
