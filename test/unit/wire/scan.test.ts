import { describe, expect, test } from 'vitest'
import { MESSAGE_DEPTH_MAX } from '../../../src/base/limits.ts'
import { Edits } from '../../../src/wire/edits.ts'
import { scan } from '../../../src/wire/scan.ts'
import { read } from './oracle.ts'
import { field, idle, joined, record, spanAttribute, spanRequest, text } from './recorder.ts'

const key = (name: string): Uint8Array => field(1, text(name))
const stringValue = (value: string): Uint8Array => field(2, field(1, text(value)))

describe('a scan reports', () => {
  test('an attribute with the ranges of its field, key and value, then its scalar', () => {
    expect(record(spanRequest(spanAttribute('ab', field(1, text('xyz')))))).toEqual([
      'enter RESOURCE_GROUP 2-19',
      'enter SCOPE_GROUP 4-19',
      'enter ITEM 6-19',
      'attribute SPAN_ATTRIBUTE 0 ab 6-19 value 14-19',
      'scalar SPAN_ATTRIBUTE STRING 16-19 in 14-19',
      'end 0',
      'leave ITEM 6-19',
      'leave SCOPE_GROUP 4-19',
      'leave RESOURCE_GROUP 2-19',
    ])
  })

  test('a value that stands before its key', () => {
    const lines = record(spanRequest(field(9, stringValue('xyz'), key('ab'))))
    expect(lines).toContain('attribute SPAN_ATTRIBUTE 0 ab 6-19 value 10-15')
    expect(lines).toContain('scalar SPAN_ATTRIBUTE STRING 12-15 in 10-15')
  })

  test('key and value between unknown fields', () => {
    const lines = record(spanRequest(field(9, 0x20, 1, key('ab'), field(7, 1, 2), stringValue('x'), 0x28, 5)))
    expect(lines.filter((line) => line.startsWith('attribute'))).toEqual([
      'attribute SPAN_ATTRIBUTE 0 ab 6-25 value 20-23',
    ])
  })

  test('an attribute without a value, without a key, and without either', () => {
    const buf = spanRequest(field(9, key('ab')), field(9, stringValue('x')), field(9))
    expect(record(buf).filter((line) => line.startsWith('attribute'))).toEqual([
      'attribute SPAN_ATTRIBUTE 0 ab 6-12 value 12-12',
      'attribute SPAN_ATTRIBUTE 0  6-19 value 16-19'.replace('6-19', '12-19'),
      'attribute SPAN_ATTRIBUTE 0  19-21 value 21-21',
    ])
  })

  test('every type of scalar with its payload', () => {
    const lines = record(
      spanRequest(
        spanAttribute('s', field(1)),
        spanAttribute('b', 0x10, 1),
        spanAttribute('i', 0x18, 0x96, 0x01),
        spanAttribute('d', 0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f),
        spanAttribute('y', field(7, 1, 2, 3)),
        spanAttribute('x', 0x40, 9),
        spanAttribute('e'),
      ),
    ).filter((line) => line.startsWith('scalar'))
    expect(lines.map((line) => line.split(' ')[2])).toEqual([
      'STRING',
      'BOOL',
      'INT',
      'DOUBLE',
      'BYTES',
      'INT',
    ])
    const lengths = lines
      .map((line) => line.split(' ')[3].split('-').map(Number))
      .map(([start, end]) => end - start)
    expect(lengths).toEqual([0, 1, 2, 8, 3, 1])
  })

  test('arrays and kvlists as their entries and scalars, with the depth of keys', () => {
    const inner = field(6, field(1, key('k'), field(2, field(5, field(1, 0x18, 7))))) // { k: [7] }
    const lines = record(
      spanRequest(spanAttribute('a', field(5, field(1, inner), field(1, field(1, text('z')))))),
    )
    expect(
      lines.filter((line) => !/enter|leave/.test(line)).map((line) => line.replace(/ [0-9]+-.*/, '')),
    ).toEqual([
      'attribute SPAN_ATTRIBUTE 0 a',
      'attribute SPAN_ATTRIBUTE 1 k',
      'scalar SPAN_ATTRIBUTE INT',
      'end 1',
      'scalar SPAN_ATTRIBUTE STRING',
      'end 0',
    ])
  })

  test('nothing from inside a value that was taken, but its end', () => {
    const list = field(6, field(1, key('k'), stringValue('v')))
    const lines = record(spanRequest(spanAttribute('a', list)), 'traces', (name) => name === 'a')
    expect(lines.filter((line) => !/enter|leave/.test(line))).toEqual([
      expect.stringContaining('attribute SPAN_ATTRIBUTE 0 a '),
      'end 0',
    ])
  })

  test('a log body as scalars, and the entries of its kvlist from depth 1', () => {
    const body = field(5, field(6, field(1, key('k'), stringValue('v'))))
    const lines = record(field(1, field(2, field(2, body))), 'logs')
    expect(
      lines.filter((line) => !/enter|leave/.test(line)).map((line) => line.replace(/ [0-9]+-.*/, '')),
    ).toEqual(['attribute LOG_BODY 1 k', 'scalar LOG_BODY STRING', 'end 1'])
  })

  test('fields in any order: scope groups before the resource', () => {
    const lines = record(field(1, field(2, field(2, field(5, text('n')))), field(1, field(1, key('r')))))
    expect(lines.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'enter RESOURCE_GROUP',
      'enter SCOPE_GROUP',
      'enter ITEM',
      'text SPAN_NAME',
      'leave ITEM',
      'leave SCOPE_GROUP',
      'enter RESOURCE',
      'attribute RESOURCE_ATTRIBUTE',
      'end 0',
      'leave RESOURCE',
      'leave RESOURCE_GROUP',
    ])
  })

  test('nothing for an empty request', () => {
    expect(record(new Uint8Array(0))).toEqual([])
  })

  test('bytes of strings that are no utf-8', () => {
    expect(record(spanRequest(spanAttribute('a', field(1, 0xff, 0xfe))))).toContain(
      'scalar SPAN_ATTRIBUTE STRING 15-17 in 13-17',
    )
  })
})

/** `count` AnyValues inside each other, each in an array, around a string. */
function nested(count: number, wrap: (value: Uint8Array) => Uint8Array): Uint8Array {
  let value = field(1, text('x'))
  for (let i = 1; i < count; i++) value = wrap(value)
  return spanRequest(spanAttribute('a', value))
}
const inArray = (value: Uint8Array): Uint8Array => field(5, field(1, value))
const inKvlist = (value: Uint8Array): Uint8Array => field(6, field(1, field(2, value)))

/** Named byte strings that some parser somewhere reads in its own way. All are MALFORMED. */
const hostile: [string, Uint8Array][] = [
  ['field number 0', joined(0x02, 0)],
  ['field number 0 in two bytes', joined(0x82, 0x00, 0)],
  ['a group start', joined(0x0b)],
  ['a group with its end', joined(0x2b, 0x2c)],
  ['wire type 6', joined(0x2e, 0)],
  ['wire type 7', joined(0x2f, 0)],
  ['a tag that is cut off', joined(0x8a)],
  ['a tag of six bytes', joined(0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0)],
  ['a tag over 32 bits', joined(0x8a, 0x80, 0x80, 0x80, 0x10, 0)],
  ['no length behind a tag', joined(0x0a)],
  ['a length that is cut off', joined(0x0a, 0x80)],
  ['a length of six bytes', joined(0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)],
  ['a length over 2 GiB', joined(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)],
  ['a child that overruns the request', joined(0x0a, 2, 0)],
  ['a child that overruns its parent into a sibling', joined(0x0a, 2, 0x12, 3, 0x0a, 1, 0)],
  ['a key that overruns its attribute', spanRequest(joined(0x4a, 3, 0x0a, 5, 0x61), spanAttribute('pad'))],
  [
    'a value that overruns its attribute',
    spanRequest(joined(0x4a, 5, 0x0a, 1, 0x61, 0x12, 4), spanAttribute('pad')),
  ],
  [
    'a string that overruns its value',
    spanRequest(field(9, key('a'), field(2, 0x0a, 3, 0x61)), spanAttribute('pad')),
  ],
  ['a varint over 64 bits', spanRequest(0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02)],
  [
    'a varint of eleven bytes',
    spanRequest(0x30, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
  ],
  ['a varint that is cut off', spanRequest(0x30, 0x80)],
  [
    'a varint in an unknown field over 64 bits',
    spanRequest(0xa0, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  ],
  ['a fixed64 that is cut off', spanRequest(0x39, 1, 2, 3, 4, 5, 6, 7)],
  ['a fixed32 that is cut off', spanRequest(0x85, 0x01, 1, 2, 3)],
  ['an unknown field that is cut off', spanRequest(0xa2, 0x06, 5, 1)],
  ['a span as a varint', field(1, field(2, 0x10, 1))],
  ['a resource group as fixed32', joined(0x0d, 0, 0, 0, 0)],
  ['an attribute as a varint', spanRequest(0x48, 1)],
  ['a span name as a varint', spanRequest(0x28, 1)],
  ['a kind with a length', spanRequest(0x32, 1, 1)],
  ['a time as a varint', spanRequest(0x38, 1)],
  ['a key as a varint', spanRequest(field(9, 0x08, 1))],
  ['a value as a varint', spanRequest(field(9, key('a'), 0x10, 1))],
  ['an int value with a length', spanRequest(spanAttribute('a', 0x1a, 1, 1))],
  ['a string value as a varint', spanRequest(spanAttribute('a', 0x08, 1))],
  ['an array entry as a varint', spanRequest(spanAttribute('a', field(5, 0x08, 1)))],
  ['a kvlist entry as a varint', spanRequest(spanAttribute('a', field(6, 0x08, 1)))],
  ['two keys', spanRequest(field(9, key('a'), key('b'), stringValue('x')))],
  ['the same key twice', spanRequest(field(9, key('a'), key('a'), stringValue('x')))],
  ['two values', spanRequest(field(9, key('a'), stringValue('x'), stringValue('y')))],
  [
    'two values of one type in an AnyValue',
    spanRequest(spanAttribute('a', field(1, text('x')), field(1, text('y')))),
  ],
  [
    'two values of different types in an AnyValue',
    spanRequest(spanAttribute('a', field(1, text('x')), 0x18, 1)),
  ],
  ['a string and a string index', spanRequest(spanAttribute('a', 0x40, 1, field(1, text('x'))))],
  ['two values in a taken AnyValue', spanRequest(spanAttribute('taken', 0x18, 1, 0x18, 2))],
  [
    'two values deep in a taken AnyValue',
    spanRequest(spanAttribute('taken', inArray(joined(0x18, 1, 0x18, 2)))),
  ],
  ['two resources', field(1, field(1), field(1))],
  ['two scopes', field(1, field(2, field(1), field(1)))],
  ['two statuses', spanRequest(field(15), field(15))],
  ['two span names', spanRequest(field(5, text('a')), field(5, text('b')))],
  ['two trace ids', spanRequest(field(1, 1), field(1, 2))],
  ['two flags', spanRequest(0x85, 0x01, 0, 0, 0, 0, 0x85, 0x01, 0, 0, 0, 0)],
]

describe('a scan refuses', () => {
  test.each(hostile)('%s', (_name, buf) => {
    expect(() => record(buf, 'traces', (name) => name === 'taken')).toThrow(
      expect.objectContaining({ name: 'SidecarError', code: 'MALFORMED' }),
    )
  })

  test.each(['logs', 'metrics'] as const)('two bodies, two data, two point values: %s', (signal) => {
    const requests = {
      logs: [field(1, field(2, field(2, field(5), field(5))))],
      metrics: [
        field(1, field(2, field(2, field(5), field(7)))),
        field(
          1,
          field(2, field(2, field(5, field(1, 0x21, ...new Uint8Array(8), 0x31, ...new Uint8Array(8))))),
        ),
        field(1, field(2, field(2, field(9, field(1, field(7, 1, 2, 3)))))), // packed doubles of three bytes
        field(1, field(2, field(2, field(10, field(1, field(8, field(2, 0x80))))))), // packed varints cut off
      ],
    }
    for (const request of requests[signal]) {
      expect(() => record(request, signal)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    }
  })

  test.each([
    ['arrays', inArray],
    ['kvlists', inKvlist],
  ])('%s nested deeper than protobuf runtimes read, and nothing that is shallower', (_name, wrap) => {
    let accepted = 0
    for (let count = 1; count <= MESSAGE_DEPTH_MAX + 2; count++) {
      const buf = nested(count, wrap)
      let code = 'none'
      try {
        scan(buf, 'traces', idle)
      } catch (error) {
        code = (error as { code: string }).code // what scan throws has one
      }
      if (code === 'none') {
        read('traces', buf) // throws when protobufjs refuses what we accept
        accepted = count
        expect(accepted).toBe(count)
      } else {
        expect(code).toBe('TOO_DEEP')
      }
    }
    expect(accepted).toBeGreaterThanOrEqual(30)
    expect(accepted).toBeLessThanOrEqual(MESSAGE_DEPTH_MAX)
  })

  test('64 MiB of opening arrays without a deep stack', () => {
    // Each level claims what is left of the buffer; none of it is ever there.
    const deep = new Uint8Array(64 * 1024 * 1024).fill(0x2a)
    expect(() => scan(deep, 'traces', idle)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })
})

describe('a scan accepts', () => {
  const longKey = 'k'.repeat(200)
  const accepted: [string, Uint8Array, 'traces' | 'metrics'][] = [
    [
      'lengths and tags in more bytes than they need',
      joined(0x8a, 0x00, 0x82, 0x80, 0x00, 0x12, 0x00),
      'traces',
    ],
    ['keys over 127 bytes', spanRequest(spanAttribute(longKey, field(1, text('v')))), 'traces'],
    ['values over 127 bytes', spanRequest(spanAttribute('a', field(1, text(longKey)))), 'traces'],
    [
      'values over 16383 bytes',
      spanRequest(spanAttribute('a', field(1, text(longKey.repeat(100))))),
      'traces',
    ],
    [
      'unknown fields of every wire type',
      spanRequest(
        0xa0,
        6,
        1,
        0xa1,
        6,
        ...new Uint8Array(8),
        field(14 + 0, 0).subarray(0, 0),
        0xa2,
        6,
        0,
        0xa5,
        6,
        0,
        0,
        0,
        0,
      ),
      'traces',
    ],
    ['a bool of any varint', spanRequest(spanAttribute('a', 0x10, 0x80, 0x80, 0x01)), 'traces'],
    [
      'a varint of ten bytes',
      spanRequest(spanAttribute('a', 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)),
      'traces',
    ],
    [
      'packed numbers',
      field(1, field(2, field(2, field(9, field(1, field(6, ...new Uint8Array(16))))))),
      'metrics',
    ],
    [
      'numbers that are not packed',
      field(
        1,
        field(2, field(2, field(9, field(1, 0x31, ...new Uint8Array(8), 0x31, ...new Uint8Array(8))))),
      ),
      'metrics',
    ],
  ]

  test.each(accepted)('%s, and so does protobufjs', (_name, buf, signal) => {
    expect(() => scan(buf, signal, idle)).not.toThrow()
    expect(() => read(signal, buf)).not.toThrow()
  })

  test('a Buffer inside a larger one', () => {
    const request = spanRequest(spanAttribute('ab', field(1, text('xyz'))))
    const shifted = Buffer.concat([Buffer.alloc(3, 0xff), request, Buffer.alloc(3, 0xff)]).subarray(3, -3)
    expect(record(shifted)).toEqual(record(request))
  })

  test('the next request after one that was refused half-way, with the same edits', () => {
    const edits = new Edits()
    expect(() => scan(joined(0x0a, 2, 0x12, 3), 'traces', idle, edits)).toThrow()
    const request = spanRequest(spanAttribute('ab', field(1, text('xyz'))))
    expect(() => scan(request, 'traces', idle, edits)).not.toThrow()
    expect(edits.openFrameCount).toBe(0)
  })
})
