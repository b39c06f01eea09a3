import { describe, expect, test } from 'vitest'
import { jsonToProtobuf, protobufToJson } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { scan } from '../../../src/wire/scan.ts'
import { collectorVectors } from './collector-vectors.ts'
import { read } from './oracle.ts'
import { field, idle, spanAttribute, spanRequest, text } from './recorder.ts'

const fromJson = (json: string, signal: Signal = 'traces'): Uint8Array => jsonToProtobuf(text(json), signal)
const span = (json: string): string => `{"resourceSpans":[{"scopeSpans":[{"spans":[${json}]}]}]}`
const attribute = (value: string): string => span(`{"attributes":[{"key":"a","value":${value}}]}`)

describe('requests that the Collector wrote', () => {
  test.each(['traces', 'logs', 'metrics'] as const)('are written alike, byte for byte: %s', (signal) => {
    const { protobufHex, json } = collectorVectors[signal]
    expect(protobufToJson(Buffer.from(protobufHex, 'hex'), signal)).toBe(json)
  })

  test.each(['traces', 'logs', 'metrics'] as const)(
    'are read from JSON with the content of their protobuf: %s',
    (signal) => {
      const { protobufHex, json } = collectorVectors[signal]
      const fromText = fromJson(json, signal)
      scan(fromText, signal, idle)
      expect(protobufToJson(fromText, signal)).toBe(json)
      // The Collector writes ids that are all zeros, and empty messages; JSON does not tell them from absent ones.
      const content = JSON.stringify(read(signal, Buffer.from(protobufHex, 'hex')))
      const zeroIds = /"(traceId|spanId|parentSpanId)":"(AAAAAAAAAAAAAAAAAAAAAA==|AAAAAAAAAAA=|)",?/g
      expect(JSON.stringify(read(signal, fromText))).toBe(content.replace(zeroIds, ''))
    },
  )

  test.each(['traces', 'logs', 'metrics'] as const)('pass the scan with values before keys: %s', (signal) => {
    expect(() => scan(Buffer.from(collectorVectors[signal].protobufHex, 'hex'), signal, idle)).not.toThrow()
  })
})

describe('reading OTLP/JSON', () => {
  const same: [string, string, Uint8Array][] = [
    ['an empty object is an empty request', '{}', new Uint8Array(0)],
    [
      'white space everywhere',
      ' {\t"resourceSpans" :\r\n[ { } , {} ] } ',
      new Uint8Array([0x0a, 0, 0x0a, 0]),
    ],
    ['null is absence', span('{"name":null,"attributes":null,"status":null}'), spanRequest()],
    [
      'ids in lower and upper case',
      span('{"spanId":"aBcDeF0123456789"}'),
      spanRequest(field(2, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89)),
    ],
    [
      '64-bit integers as strings',
      attribute('{"intValue":"300"}'),
      spanRequest(spanAttribute('a', 0x18, 0xac, 2)),
    ],
    [
      '64-bit integers as numbers',
      attribute('{"intValue":300}'),
      spanRequest(spanAttribute('a', 0x18, 0xac, 2)),
    ],
    [
      'integers with an exponent or a zero fraction',
      attribute('{"intValue":3e2}'),
      spanRequest(spanAttribute('a', 0x18, 0xac, 2)),
    ],
    [
      'negative integers',
      attribute('{"intValue":-1}'),
      spanRequest(spanAttribute('a', 0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1)),
    ],
    ['zero in a oneof is a value', attribute('{"intValue":0}'), spanRequest(spanAttribute('a', 0x18, 0))],
    [
      'empty text in a oneof is a value',
      attribute('{"stringValue":""}'),
      spanRequest(spanAttribute('a', field(1))),
    ],
    ['an empty AnyValue', attribute('{}'), spanRequest(spanAttribute('a'))],
    [
      'zero elsewhere is absence',
      span('{"kind":0,"droppedAttributesCount":0,"flags":0,"startTimeUnixNano":"0","name":""}'),
      spanRequest(),
    ],
    [
      'unknown keys that hold a scalar',
      span('{"x":"z\\"","y":1.5e-3,"z":true,"kind":2,"":false,"x_1":null}'),
      spanRequest(0x30, 2),
    ],
    ['keys with escapes', span('{"\\u006b\\u0069nd":2}'), spanRequest(0x30, 2)],
    [
      'escapes in text',
      attribute('{"stringValue":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00"}'),
      spanRequest(spanAttribute('a', field(1, text('"\\/\b\f\n\r\té😀')))),
    ],
    [
      'names as the .proto file has them',
      span('{"dropped_links_count":2,"status":{}}'),
      spanRequest(0x70, 2, 0x7a, 0),
    ],
    [
      'an enum by name',
      span('{"kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}}'),
      spanRequest(0x30, 2, 0x7a, 2, 0x18, 2),
    ],
    ['an enum by a number that has no name', span('{"kind":77}'), spanRequest(0x30, 77)],
    [
      'an integer with a fraction and an exponent',
      attribute('{"intValue":1.50e1}'),
      spanRequest(spanAttribute('a', 0x18, 15)),
    ],
    [
      'an integer with a negative exponent, as text',
      attribute('{"intValue":"1500e-2"}'),
      spanRequest(spanAttribute('a', 0x18, 15)),
    ],
    ['zero with any exponent', attribute('{"intValue":-0.0e999}'), spanRequest(spanAttribute('a', 0x18, 0))],
    [
      'bytes as base64, also url-safe and without padding',
      attribute('{"bytesValue":"-_8"}'),
      spanRequest(spanAttribute('a', field(7, 0xfb, 0xff))),
    ],
    [
      'doubles as strings',
      attribute('{"doubleValue":"-Infinity"}'),
      spanRequest(spanAttribute('a', 0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0xff)),
    ],
  ]

  test.each(same)('%s', (_name, json, protobuf) => {
    expect(Buffer.from(fromJson(json)).toString('hex')).toBe(Buffer.from(protobuf).toString('hex'))
  })

  test.each(['9007199254740993', '9223372036854775807', '-9223372036854775808'])(
    'keeps every digit of %s, given as a number',
    (digits) => {
      const json = protobufToJson(fromJson(attribute(`{"intValue":${digits}}`)), 'traces')
      expect(json).toContain(`"intValue":"${digits}"`)
    },
  )

  const secret = 'hunter2@example.com'
  const refused: [string, string][] = [
    ['nothing at all', ''],
    ['a text that is no JSON', secret],
    ['a request that is cut off', `{"resourceSpans":[{"${secret}`],
    ['an array', '[]'],
    ['null as the request', 'null'],
    ['bytes behind the end', `{} ${secret}`],
    ['a byte order mark', '\ufeff{}'],
    ['a trailing comma in an object', '{"resourceSpans":[],}'],
    ['a trailing comma in an array', '{"resourceSpans":[{},]}'],
    ['a leading comma', '{,"resourceSpans":[]}'],
    ['two elements without a comma', '{"resourceSpans":[{}{}]}'],
    ['a key without quotes', '{resourceSpans:[]}'],
    ['single quotes', "{'resourceSpans':[]}"],
    ['a comment', '{/**/}'],
    ['a control character in a string', span(`{"name":"a\u0001"}`)],
    ['an unknown escape', span('{"name":"\\x41"}')],
    ['an escape that is cut off', span('{"name":"\\u12"}')],
    ['a number with a leading zero', attribute('{"intValue":012}')],
    ['a number with a plus', attribute('{"intValue":+1}')],
    ['NaN without quotes', attribute('{"doubleValue":NaN}')],
    ['an object for an array', '{"resourceSpans":{}}'],
    ['an array for an object', '{"resourceSpans":[[]]}'],
    ['null inside an array', '{"resourceSpans":[null]}'],
    ['a number for text', span('{"name":1}')],
    ['text for a bool', attribute('{"boolValue":"true"}')],
    ['text that is no integer', attribute(`{"intValue":"${secret}"}`)],
    ['an empty integer', attribute('{"intValue":""}')],
    ['a fraction for an integer', attribute('{"intValue":1.5}')],
    ['an integer over 64 bits', attribute('{"intValue":"9223372036854775808"}')],
    ['a negative time', span('{"startTimeUnixNano":"-1"}')],
    ['a count over 32 bits', span('{"droppedAttributesCount":4294967296}')],
    ['an enum by a name of another', span('{"kind":"STATUS_CODE_OK"}')],
    ['an enum by a number as text', span('{"kind":"2"}')],
    ['an unknown list', `{"${secret}":[]}`],
    ['an unknown object', span(`{"x":1,"${secret}":{}}`)],
    ['the groups of another signal', '{"resourceLogs":[]}'],
    ['half a surrogate pair', attribute('{"stringValue":"\\ud83dx"}')],
    ['an integer with a leading zero, as text', attribute('{"intValue":"01"}')],
    ['a fraction by exponent', attribute('{"intValue":15e-1}')],
    ['an integer with a huge exponent', attribute('{"intValue":1e999999999}')],
    ['a number of more digits than any', attribute(`{"doubleValue":"0.${'1'.repeat(2000)}"}`)],
    ['a double over its range', attribute('{"doubleValue":1e999}')],
    ['an id that is no hex', span(`{"spanId":"${secret}"}`)],
    ['an id with half a byte', span('{"spanId":"abc"}')],
    ['bytes that are no base64', attribute(`{"bytesValue":"${secret}"}`)],
    ['a key given twice', span('{"name":"a","name":"b"}')],
    ['a list given twice', '{"resourceSpans":[],"resourceSpans":[]}'],
    ['two values in an AnyValue', attribute('{"stringValue":"a","intValue":"1"}')],
  ]

  test.each(refused)('refuses %s, and quotes none of it', (_name, json) => {
    let thrown: unknown
    try {
      fromJson(json)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ name: 'SidecarError', code: 'MALFORMED' })
    expect(thrown).not.toHaveProperty('cause')
    expect(String(thrown)).not.toContain('hunter2')
  })

  test('refuses bytes that are no utf-8', () => {
    expect(() => jsonToProtobuf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d), 'traces')).toThrow(
      'not utf-8',
    )
  })

  test.each([['values', attribute(`${'{"arrayValue":{"values":['.repeat(200)}{}${']}}'.repeat(200)}`)]])(
    'refuses %s nested too deep',
    (_name, json) => {
      expect(() => fromJson(json)).toThrow(expect.objectContaining({ code: 'TOO_DEEP' }))
    },
  )
})

describe('writing OTLP/JSON', () => {
  test('makes one line, also of text with line ends', () => {
    const json = protobufToJson(spanRequest(field(5, text('a\r\nb'))), 'traces')
    expect(json).toBe(
      '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{"name":"a\\r\\nb","status":{}}]}]}]}',
    )
  })

  test('joins packed and single numbers of one field', () => {
    const one = [1, 0, 0, 0, 0, 0, 0, 0]
    const point = field(1, field(6, ...one, ...one), 0x31, ...one)
    const json = protobufToJson(field(1, field(2, field(2, field(9, point)))), 'metrics')
    expect(json).toContain('"bucketCounts":["1","1","1"]')
  })

  test('writes bytes of text that are no utf-8 as U+FFFD', () => {
    expect(protobufToJson(spanRequest(field(5, 0x61, 0xff)), 'traces')).toContain('"name":"a\ufffd"')
  })
})
