import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rejectFaultyItems, removeUnknownFields } from '../../../src/wire/clean.ts'
import { Edits } from '../../../src/wire/edits.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { CHECKED, Doubt, scan, type Visitor } from '../../../src/wire/scan.ts'
import { request } from './arbitrary.ts'
import { encode, read, readStrictly } from './oracle.ts'
import { field, idle, joined, spanAttribute, spanRequest, text } from './recorder.ts'

const scanChecked = (buf: Uint8Array, signal: Signal, visitor: Visitor): number =>
  scan(buf, signal, visitor, new Edits(), CHECKED)
const signals: Signal[] = ['traces', 'logs', 'metrics']
const seed = Number(process.env.FC_SEED ?? 20_260_701)
console.info(`clean properties: FC_SEED=${seed}`)

const BAD = Uint8Array.of(0x61, 0xff, 0x62)
const good = field(2, field(3, text('g=d'))) // a trace state, or a severity
const span = (...content: (number | Uint8Array)[]): Uint8Array => field(2, ...content)
const traces = (...spans: Uint8Array[]): Uint8Array => field(1, field(2, ...spans))
const plain = (body: Uint8Array): Uint8Array => new Uint8Array(body)
const value = (content: Uint8Array): Uint8Array => field(2, content)

describe('an item is left out, alone, and named by schema and position', () => {
  const id = (number: number, length: number): Uint8Array => field(number, new Uint8Array(length).fill(0x41))
  const bad: [string, Signal, Uint8Array, string][] = [
    [
      'a trace id of 15 bytes',
      'traces',
      span(id(1, 15)),
      'spans[1].traceId: id has the wrong length or form',
    ],
    ['a trace id of 17 bytes', 'traces', span(id(1, 17)), 'spans[1].traceId'],
    ['a span id of 16 bytes', 'traces', span(id(2, 16)), 'spans[1].spanId'],
    ['a parent id of 7 bytes', 'traces', span(id(4, 7)), 'spans[1].parentSpanId'],
    ['the id of a link', 'traces', span(field(13), field(13, id(1, 40))), 'spans[1].links[1].traceId'],
    ['a name that is no UTF-8', 'traces', span(field(5, BAD)), 'spans[1].name: text is no utf-8'],
    ['a trace state', 'traces', span(field(3, BAD)), 'spans[1].traceState'],
    ['an attribute key', 'traces', span(field(9, field(1, BAD))), 'spans[1].attributes[0].key'],
    [
      'a nested text',
      'traces',
      span(spanAttribute('k', field(5, field(1, field(1, BAD))))),
      'spans[1].attributes[0].value.arrayValue.values[0].stringValue',
    ],
    ['a status message', 'traces', span(field(15, field(2, BAD))), 'spans[1].status.message'],
    ['an event name', 'traces', span(field(11, field(2, BAD))), 'spans[1].events[0].name'],
    ['the trace id of a log', 'logs', span(id(9, 1)), 'logRecords[1].traceId'],
    ['a log body', 'logs', span(field(5, field(1, BAD))), 'logRecords[1].body.stringValue'],
  ]

  test.each(bad)('%s', (_name, signal, item, where) => {
    const buf = traces(good, item, good)
    expect(scanChecked(buf, signal, idle)).not.toBe(0)
    const { body, faults } = rejectFaultyItems(buf, signal)
    expect(plain(body)).toEqual(traces(good, good))
    expect(faults.rejectedItems).toBe(1)
    expect(faults.message).toContain(`rejected 1, first at resource`)
    expect(faults.message).toContain(where)
    expect(scanChecked(body, signal, idle)).toBe(0)
  })

  test('an exemplar’s id takes its data point, not the metric', () => {
    const point = (...content: Uint8Array[]): Uint8Array => field(1, ...content)
    const metric = (...points: Uint8Array[]): Uint8Array =>
      field(1, field(2, field(2, field(1, text('m')), field(5, ...points))))
    const buf = metric(point(field(5, id(4, 9))), point())
    const { body, faults } = rejectFaultyItems(buf, 'metrics')
    expect(plain(body)).toEqual(metric(point()))
    expect(faults.message).toContain('metrics[0].gauge.dataPoints[0].exemplars[0].spanId')
  })

  test.each([
    ['absent', span()],
    ['empty', span(field(1), field(2), field(4))],
    ['all zero', span(field(1, new Uint8Array(16)), field(2, new Uint8Array(8)))],
  ])('not for ids that are %s: they hold nothing, and every next hop takes them', (_name, item) => {
    const buf = traces(good, item)
    expect(scanChecked(buf, 'traces', idle)).toBe(0)
    expect(rejectFaultyItems(buf, 'traces').body).toBe(buf)
  })

  test('and counted once, by its first fault', () => {
    const twice = span(field(1, BAD), field(5, BAD), field(9, field(1, BAD)))
    const { faults } = rejectFaultyItems(traces(twice, span(field(5, BAD))), 'traces')
    expect([...faults.rejected]).toEqual([
      ['INVALID_ID', 1],
      ['INVALID_UTF8', 1],
    ])
  })
})

describe('text that belongs to no item is repaired', () => {
  const mended = new TextEncoder().encode('a\ufffdb')
  const resource = (content: Uint8Array): Uint8Array => field(1, field(1, content), field(2, good))
  test.each<[string, Signal, (text: Uint8Array) => Uint8Array, string]>([
    ['resource key', 'traces', (t) => resource(field(1, field(1, t))), 'resource.attributes[0].key'],
    [
      'resource value',
      'traces',
      (t) => resource(field(1, field(1), value(field(1, t)))),
      'resource.attributes[0].value.stringValue',
    ],
    ['entity type', 'traces', (t) => resource(field(3, field(2, t))), 'resource.entityRefs[0].type'],
    ['schema url', 'traces', (t) => field(1, field(3, t)), 'resourceSpans[0].schemaUrl'],
    ['scope name', 'logs', (t) => field(1, field(2, field(1, field(1, t)), good)), 'scope.name'],
    ['metric name', 'metrics', (t) => field(1, field(2, field(2, field(1, t)))), 'metrics[0].name'],
  ])('%s', (_name, signal, make, where) => {
    const buf = make(BAD)
    expect(scanChecked(buf, signal, idle)).toBe(Doubt.TEXT)
    const { body, faults } = rejectFaultyItems(buf, signal)
    expect(plain(body)).toEqual(make(mended))
    expect([faults.rejectedItems, faults.repairedTexts]).toEqual([0, 1])
    expect(faults.message).toContain(where)
  })
})

describe('the scan reports every unknown field', () => {
  const unknown = joined(0xca, 0x01, 1, text('x')) // field 25
  const places: [string, Signal, Uint8Array][] = [
    ['the request', 'traces', unknown],
    ['a resource group', 'traces', field(1, unknown)],
    ['a resource', 'traces', field(1, field(1, unknown))],
    ['a scope', 'logs', field(1, field(2, field(1, unknown)))],
    ['a span', 'traces', spanRequest(unknown)],
    ['a status', 'traces', spanRequest(field(15, unknown))],
    ['a key-value', 'traces', spanRequest(field(9, field(1, text('k')), unknown))],
    ['a value beside a string', 'traces', spanRequest(spanAttribute('k', field(1, text('v')), unknown))],
    ['a value of nothing else', 'traces', spanRequest(spanAttribute('k', unknown))],
    ['an array', 'traces', spanRequest(spanAttribute('k', field(5, unknown)))],
    ['a kvlist', 'traces', spanRequest(spanAttribute('k', field(6, unknown)))],
    ['a list entry', 'traces', spanRequest(spanAttribute('k', field(6, field(1, unknown))))],
  ]
  const isTaken = [false, true]
  test.each(places.flatMap((place) => isTaken.map((taken) => [...place, taken] as const)))(
    'in %s (%s, %#)',
    (_name, signal, buf, taken) => {
      const heard: string[] = []
      const visitor = {
        ...idle,
        attribute: () => taken,
        unknown: (wireType: number, start: number, end: number) =>
          void heard.push(`${wireType} ${Buffer.from(buf.subarray(start, end))}`),
      }
      scan(buf, signal, visitor)
      expect(heard).toEqual(['2 x'])
      const { body, faults } = removeUnknownFields(buf, signal, () => true)
      expect(faults.removedFields).toBe(1)
      expect(Buffer.from(body).includes('x')).toBe(false)
      expect(removeUnknownFields(buf, signal, () => false).body).toBe(buf)
    },
  )
})

/** Somewhere in a request, some bytes become others. */
const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0x00, 0x41, 0x80, 0xc3, 0xed, 0xff)), {
  minLength: 1,
  maxLength: 6,
})

describe.each(signals)('whatever is done to a request of %s', (signal) => {
  test('what the scan accepts and is cleaned is read by a strict runtime, with the same content but for the faults', () => {
    let [cleaned, untouched] = [0, 0]
    fc.assert(
      fc.property(request[signal], damage, (content, changes) => {
        const buf = encode(signal, content)
        if (buf.length === 0) return
        for (const [at, byte] of changes) buf[at % buf.length] = byte
        let doubts: number
        try {
          doubts = scanChecked(buf, signal, idle)
        } catch {
          return
        }
        const { body, faults } = rejectFaultyItems(buf, signal)
        expect(doubts === 0).toBe(faults.isEmpty)
        expect(body === buf).toBe(faults.isEmpty)
        expect(scanChecked(body, signal, idle)).toBe(0)
        expect(() => readStrictly(signal, body)).not.toThrow()
        if (faults.isEmpty) untouched++
        else cleaned++
        if (faults.isEmpty) expect(readStrictly(signal, body)).toEqual(read(signal, body))
      }),
      { seed, numRuns: 500 },
    )
    expect(cleaned).toBeGreaterThan(10)
    expect(untouched).toBeGreaterThan(10)
  })

  test('a request without a fault is not doubted, whatever characters it holds', () => {
    fc.assert(
      fc.property(request[signal], (content) => {
        const buf = encode(signal, content)
        const offset = joined(new Uint8Array(3), buf).subarray(3)
        expect(scanChecked(offset, signal, idle)).toBe(0)
        expect(rejectFaultyItems(offset, signal).body).toBe(offset)
      }),
      { seed, numRuns: 100 },
    )
  })
})
