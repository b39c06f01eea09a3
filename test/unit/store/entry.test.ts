import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeHeader,
  encodeHeader,
  entryKey,
  isBodyOf,
  Part,
  SIGNALS,
  sequenceOf,
} from '../../../src/store/entry.ts'

const anyEntry = fc.record({
  signal: fc.constantFrom(...SIGNALS),
  itemCount: fc.nat(0xffff_ffff),
  acceptedAtMs: fc.integer({ min: 0, max: 4e12 }),
  body: fc.uint8Array({ maxLength: 200 }),
  refs: fc.uint8Array({ maxLength: 200 }),
})
const anySequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })

describe('a queue entry', () => {
  test('comes back from its header as it went in', () => {
    fc.assert(
      fc.property(anyEntry, anySequence, (entry, sequence) => {
        const header = decodeHeader(encodeHeader(entry, sequence), entry.signal, sequence)
        expect(header).toMatchObject({ itemCount: entry.itemCount, acceptedAtMs: entry.acceptedAtMs })
        expect(header?.refs).toEqual(entry.refs)
        expect(header && isBodyOf(header, entry.body)).toBe(true)
      }),
    )
  })

  test('with any bit of its header flipped is not a header', () => {
    const header = encodeHeader(
      {
        signal: 'logs',
        itemCount: 5,
        acceptedAtMs: 12.5,
        body: Buffer.from('abc'),
        refs: Buffer.from('ref'),
      },
      77,
    )
    for (let bit = 0; bit < header.length * 8; bit++) {
      const damaged = Buffer.from(header)
      damaged[bit >> 3] ^= 1 << (bit & 7)
      expect(decodeHeader(damaged, 'logs', 77), `bit ${bit}`).toBeUndefined()
    }
  })

  test('cut short anywhere is not a header', () => {
    const header = encodeHeader(
      { signal: 'logs', itemCount: 5, acceptedAtMs: 1, body: Buffer.from('abc'), refs: Buffer.from('ref') },
      77,
    )
    for (let end = 0; end < header.length; end++)
      expect(decodeHeader(header.subarray(0, end), 'logs', 77)).toBeUndefined()
  })

  test('under another sequence or signal is not accepted', () => {
    const header = encodeHeader(
      { signal: 'logs', itemCount: 5, acceptedAtMs: 1, body: Buffer.from('abc'), refs: Buffer.of() },
      77,
    )
    expect(decodeHeader(header, 'logs', 78)).toBeUndefined()
    expect(decodeHeader(header, 'traces', 77)).toBeUndefined()
  })

  test('does not take a body with a flipped bit, of another length, or none', () => {
    const body = Buffer.from('a body of some bytes')
    const header = decodeHeader(
      encodeHeader({ signal: 'metrics', itemCount: 1, acceptedAtMs: 1, body, refs: Buffer.of() }, 1),
      'metrics',
      1,
    )
    if (!header) throw new Error('the header must decode')
    const flipped = Buffer.from(body)
    flipped[3] ^= 4
    expect(isBodyOf(header, flipped)).toBe(false)
    expect(isBodyOf(header, body.subarray(1))).toBe(false)
    expect(isBodyOf(header, undefined)).toBe(false)
  })

  test('has keys that sort as the sequences do, headers before bodies', () => {
    fc.assert(
      fc.property(anySequence, anySequence, (a, b) => {
        const order = Math.sign(
          Buffer.compare(entryKey(Part.HEADER, 'logs', a), entryKey(Part.HEADER, 'logs', b)),
        )
        expect(order).toBe(Math.sign(a - b))
        expect(Buffer.compare(entryKey(Part.HEADER, 'metrics', a), entryKey(Part.BODY, 'traces', b))).toBe(-1)
        expect(sequenceOf(entryKey(Part.BODY, 'logs', a))).toBe(a)
      }),
    )
  })
})
