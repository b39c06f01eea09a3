import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import {
  decodeResponse,
  decodeStatus,
  encodeResponse,
  encodeStatus,
  parseResponseJson,
  parseStatusJson,
  responseJson,
  statusJson,
} from '../../../src/wire/reply.ts'
import { root } from './oracle.ts'
import { field, joined, text } from './recorder.ts'

const responseType = root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse')
/** google.rpc.Status, Any, RetryInfo and Duration, from their definitions. */
const rpc = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }`).root
const statusType = rpc.lookupType('Status')
const retryInfoType = rpc.lookupType('RetryInfo')
const typeUrl = 'type.googleapis.com/google.rpc.RetryInfo'

describe('a response', () => {
  test('of full success has no bytes and no JSON fields', () => {
    const full = { rejectedItems: 0, message: '' }
    expect(encodeResponse(full).length).toBe(0)
    expect(responseJson(full, 'traces')).toBe('{}')
  })

  test('of partial success is what protobufjs reads', () => {
    const decoded = responseType.decode(encodeResponse({ rejectedItems: 300, message: 'quota' }))
    expect(responseType.toObject(decoded, { longs: String })).toEqual({
      partialSuccess: { rejectedSpans: '300', errorMessage: 'quota' },
    })
  })

  test('of partial success names what was rejected, by signal, in JSON', () => {
    const partial = { rejectedItems: 3, message: '' }
    expect(responseJson(partial, 'traces')).toBe('{"partialSuccess":{"rejectedSpans":"3"}}')
    expect(responseJson(partial, 'logs')).toBe('{"partialSuccess":{"rejectedLogRecords":"3"}}')
    expect(responseJson(partial, 'metrics')).toBe('{"partialSuccess":{"rejectedDataPoints":"3"}}')
    expect(responseJson({ rejectedItems: 0, message: 'w' }, 'logs')).toBe(
      '{"partialSuccess":{"errorMessage":"w"}}',
    )
  })

  test.each(['traces', 'logs', 'metrics'] as const)('comes back from both encodings: %s', (signal) => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.string({ unit: 'grapheme' }), (rejectedItems, message) => {
        const partial = { rejectedItems, message }
        expect(decodeResponse(encodeResponse(partial))).toEqual(partial)
        expect(parseResponseJson(Buffer.from(responseJson(partial, signal)), signal)).toEqual(partial)
      }),
      { seed: 7, numRuns: 100 },
    )
  })

  test.each<[string, Uint8Array, number]>([
    ['nothing', new Uint8Array(0), 0],
    ['an empty partial_success', field(1), 0],
    ['a negative count', field(1, 0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1), 0],
    [
      'a count over what a number holds',
      field(1, 0x08, 255, 255, 255, 255, 255, 255, 255, 255, 127),
      Number.MAX_SAFE_INTEGER,
    ],
    ['unknown fields', joined(field(5, 1, 2), field(1, 0x08, 4, 0x18, 9)), 4],
  ])('that holds %s is read', (_name, body, rejectedItems) => {
    expect(decodeResponse(body)).toEqual({ rejectedItems, message: '' })
  })

  test.each([
    ['a count that is text', '{"partialSuccess":{"rejectedSpans":"many"}}'],
    ['a fraction', '{"partialSuccess":{"rejectedSpans":1.5}}'],
    ['a list', '[]'],
    ['a page of HTML', '<html>secret</html>'],
    ['a message that is no text', '{"partialSuccess":{"errorMessage":{}}}'],
  ])('in JSON with %s is refused without a quote of it', (_name, json) => {
    expect(() => parseResponseJson(Buffer.from(json), 'traces')).toThrow(
      expect.objectContaining({ code: 'MALFORMED', message: expect.not.stringContaining('secret') }),
    )
  })
})

describe('a status', () => {
  test('with a delay is what protobufjs reads', () => {
    const decoded = statusType.decode(encodeStatus({ code: 14, message: 'overloaded', retryDelayMs: 1500 }))
    const status = statusType.toObject(decoded)
    expect(status).toMatchObject({ code: 14, message: 'overloaded', details: [{ typeUrl }] })
    const info = retryInfoType.toObject(retryInfoType.decode(status.details[0].value), { longs: Number })
    expect(info).toEqual({ retryDelay: { seconds: 1, nanos: 500_000_000 } })
  })

  test('with a delay writes it in JSON as seconds', () => {
    const status = { code: 14, message: 'overloaded', retryDelayMs: 1005 }
    expect(JSON.parse(statusJson(status))).toEqual({
      code: 14,
      message: 'overloaded',
      details: [{ '@type': typeUrl, retryDelay: '1.005s' }],
    })
  })

  test('comes back from both encodings', () => {
    const delay = fc.option(fc.nat({ max: 1e9 }), { nil: undefined })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 16 }), fc.string(), delay, (code, message, retryDelayMs) => {
        const status = retryDelayMs === undefined ? { code, message } : { code, message, retryDelayMs }
        expect(decodeStatus(encodeStatus(status))).toEqual(status)
        expect(parseStatusJson(Buffer.from(statusJson(status)))).toEqual(status)
      }),
      { seed: 7, numRuns: 200 },
    )
  })

  test('rounds a delay up, and a negative one to none', () => {
    expect(decodeStatus(encodeStatus({ code: 1, message: '', retryDelayMs: 0.2 })).retryDelayMs).toBe(1)
    expect(decodeStatus(encodeStatus({ code: 1, message: '', retryDelayMs: -5 })).retryDelayMs).toBe(0)
  })

  test('finds RetryInfo among other details, and with its value in front of its type', () => {
    const retryInfo = field(1, 0x08, 2)
    const other = field(3, field(1, text('type.googleapis.com/google.rpc.Help')), field(2, 0xff, 0xff))
    const retry = field(3, field(2, retryInfo), field(1, text(typeUrl)))
    expect(decodeStatus(joined(0x08, 14, other, retry, other))).toEqual({
      code: 14,
      message: '',
      retryDelayMs: 2000,
    })
  })

  test('takes any bytes in, and answers with a status or MALFORMED', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (body) => {
        for (const read of [decodeStatus, decodeResponse, parseStatusJson]) {
          try {
            read(body)
          } catch (error) {
            expect(error).toBeInstanceOf(SidecarError)
          }
        }
      }),
      { seed: 11, numRuns: 1000 },
    )
  })

  test('in JSON nested ten thousand deep is refused', () => {
    expect(() => parseStatusJson(Buffer.from(`{"details":${'['.repeat(10_000)}`))).toThrow(SidecarError)
  })
})
