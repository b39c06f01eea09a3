// The writer stands still wherever its buffer ends; what it has written must not depend on where that was.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { MESSAGE_DEPTH_MAX } from '../../../src/base/limits.ts'
import { JsonWriter, protobufToJson } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { request } from './arbitrary.ts'
import { referenceJson } from './json-reference.ts'
import { encode } from './oracle.ts'
import { field, joined, spanAttribute, spanRequest, text } from './recorder.ts'

const seed = Number(process.env.FC_SEED ?? (Date.now() % 1_000_000) + 1)
console.info(`json writer: FC_SEED=${seed}`)
const signals: Signal[] = ['traces', 'logs', 'metrics']

/** In pieces of the sizes that the function gives, as one text. */
function inPieces(body: Uint8Array, signal: Signal, sizeOf: () => number): string {
  const writer = new JsonWriter(body, signal)
  const pieces: Buffer[] = []
  while (!writer.isDone) {
    const out = Buffer.alloc(sizeOf(), 0x7e)
    const end = writer.fill(out, 0)
    expect(end, 'no piece is empty, so the writer gets on').toBeGreaterThan(0)
    expect(end).toBeLessThanOrEqual(out.length)
    pieces.push(out.subarray(0, end))
  }
  expect(writer.fill(Buffer.alloc(256), 3), 'nothing is left').toBe(3)
  return Buffer.concat(pieces).toString('utf8')
}

const isAlike = (body: Uint8Array, signal: Signal, sizeOf: () => number): void => {
  const whole = referenceJson(body, signal)
  expect(protobufToJson(body, signal)).toBe(whole)
  expect(inPieces(body, signal, sizeOf)).toBe(whole)
}

describe('pieces joined are the whole', () => {
  test.each(signals)('for any request of %s and pieces of any size', (signal) => {
    fc.assert(
      fc.property(
        request[signal],
        fc.array(fc.integer({ min: 256, max: 700 }), { minLength: 1 }),
        (content, sizes) => {
          let turn = 0
          isAlike(encode(signal, content), signal, () => sizes[turn++ % sizes.length])
        },
      ),
      { seed, numRuns: 300 },
    )
  })

  test('for a text of any bytes, UTF-8 or not', () => {
    const unit = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 4 }),
      fc.constantFrom(...['é', '€', '😀', '"', '\\', '\n', '\u0001', 'plain text'].map(text)),
      fc.constantFrom(
        Buffer.alloc(9, 0x80),
        Buffer.of(0xf0, 0x9f),
        Buffer.of(0xe2, 0x82),
        Buffer.of(0xed, 0xa0, 0x80),
      ),
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 400 }), fc.integer({ min: 256, max: 400 }), (units, size) => {
        const bytes = Buffer.concat(units)
        isAlike(spanRequest(spanAttribute('a', field(1, bytes)), field(5, bytes)), 'traces', () => size)
        isAlike(spanRequest(spanAttribute('a', field(7, bytes)), field(1, bytes)), 'traces', () => size)
      }),
      { seed, numRuns: 400 },
    )
  })

  test('for fields in any order, repeated ones scattered', () => {
    const parts = [
      spanAttribute('a', field(1, text('x'))),
      field(11, field(2, text('e'))),
      field(13),
      field(5, text('n')),
    ]
    fc.assert(
      fc.property(fc.array(fc.nat(parts.length - 1), { maxLength: 60 }), (order) => {
        isAlike(spanRequest(...order.map((index) => parts[index])), 'traces', () => 256)
      }),
      { seed, numRuns: 200 },
    )
  })

  test('for packed numbers, in one field and in several', () => {
    const bounds = Buffer.alloc(8 * 200)
    for (let i = 0; i < 200; i++) bounds.writeDoubleLE(i / 3, 8 * i)
    const point = joined(field(7, bounds), field(7), field(7, bounds.subarray(0, 16)), 0x39, Buffer.alloc(8))
    const body = field(1, field(2, field(2, field(9, field(1, point)))))
    isAlike(Buffer.from(body), 'metrics', () => 256)
  })

  test('for a request as services send it', () => {
    isAlike(makeTraces({ spans: 200, seed: 1 }), 'traces', () => 64 * 1024)
  })
})

describe('hostile requests', () => {
  test('messages nested too deep are refused', () => {
    let value: Uint8Array = Buffer.of()
    for (let i = 0; i < MESSAGE_DEPTH_MAX; i++) value = field(5, field(1, value))
    expect(() => protobufToJson(spanRequest(spanAttribute('a', value)), 'traces')).toThrow(
      expect.objectContaining({ code: 'TOO_DEEP' }),
    )
  })

  test('what is cut off is refused, wherever that is', () => {
    const body = makeTraces({ spans: 3, seed: 2 })
    for (let end = 1; end < body.length; end++) {
      try {
        JSON.parse(inPieces(body.subarray(0, end), 'traces', () => 300))
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'MALFORMED' })
      }
    }
  })

  test('a million empty messages take no more memory than a hundred', () => {
    const empty = Buffer.alloc(2_000_000)
    for (let i = 0; i < empty.length; i += 2) empty[i] = 0x12
    const writer = new JsonWriter(field(1, field(2, empty)), 'traces')
    const out = Buffer.alloc(64 * 1024)
    let bytes = 0
    const before = process.memoryUsage()
    while (!writer.isDone) bytes += writer.fill(out, 0)
    const after = process.memoryUsage()
    expect(bytes).toBeGreaterThan(10_000_000)
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(16 * 1024 * 1024)
  })
})
