import { isAscii, isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAsciiRange, isUtf8Range, repairedUtf8, wordsOf } from '../../../src/wire/utf8.ts'
import { joined } from './recorder.ts'

const seed = Number(process.env.FC_SEED ?? 20_260_701)
console.info(`utf-8 properties: FC_SEED=${seed}`)

/** Bytes near the borders of RFC 3629, so that random strings hit them. */
const border = fc.constantFrom(
  ...[0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef],
  ...[0xf0, 0xf4, 0xf5, 0xff],
)
const piece = fc.oneof(
  border.map((byte) => Uint8Array.of(byte)),
  fc.string({ unit: 'binary', maxLength: 4 }).map((text) => new TextEncoder().encode(text)),
  fc.constantFrom(1, 15, 16, 96, 97).map((size) => new Uint8Array(size).fill(0x61)),
)
const bytes = fc.array(piece, { maxLength: 12 }).map((pieces) => new Uint8Array(Buffer.concat(pieces)))

const whole = (buf: Uint8Array): boolean => isUtf8Range(buf, 0, buf.length)

describe('text is UTF-8', () => {
  test('where the runtime says so, for every pair of bytes and every border of three and four', () => {
    const borders = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
    const differing: string[] = []
    const compare = (...content: number[]): void => {
      const buf = Uint8Array.from(content)
      if (whole(buf) !== isUtf8(buf)) differing.push(content.join())
    }
    for (let a = 0x7f; a < 0x100; a++) {
      for (let b = 0; b < 0x100; b++) compare(a, b)
      for (const b of borders) for (const c of borders) compare(a, b, c)
      for (const b of borders)
        for (const c of [0x7f, 0x80, 0xbf]) for (const d of [0x80, 0xbf, 0xc0]) compare(a, b, c, d)
    }
    expect(differing).toEqual([])
  })

  test('and ASCII, at any offset of any buffer', () => {
    fc.assert(
      fc.property(bytes, fc.nat(20), fc.nat(20), fc.nat(7), (made, from, less, offset) => {
        const content = joined(new Uint8Array(offset), made).subarray(offset)
        const end = Math.max(0, content.length - less)
        const start = Math.min(from, end)
        const part = content.subarray(start, end)
        const words = wordsOf(content)
        expect(isUtf8Range(content, start, end)).toBe(isUtf8(part))
        expect(isAsciiRange(content, words, start, end)).toBe(isAscii(part))
      }),
      { seed, numRuns: 2_000 },
    )
  })
})

describe('repaired text', () => {
  test.each([
    ['a lone byte', [0x61, 0xff, 0x62], 'a\ufffdb'],
    ['a run of them, as one', [0x61, 0xff, 0xfe, 0x80, 0x62], 'a\ufffdb'],
    ['Latin-1', [0x4a, 0x6f, 0x73, 0xe9], 'Jos\ufffd'],
    ['a surrogate', [0xed, 0xa0, 0xbd, 0x21], '\ufffd!'],
    ['an overlong slash', [0xc0, 0xaf], '\ufffd'],
    ['a character cut off', [0xf0, 0x9f, 0x98], '\ufffd'],
    ['two runs around a character', [0xff, 0xc3, 0xa9, 0xff], '\ufffdé\ufffd'],
  ])('has one U+FFFD for %s', (_name, content, expected) => {
    const buf = Uint8Array.from(content)
    expect(Buffer.from(repairedUtf8(buf, 0, buf.length)).toString()).toBe(expected)
  })

  test('is UTF-8, keeps every character, is at most twice as long and two bytes, and repairs itself to itself', () => {
    fc.assert(
      fc.property(bytes, (content) => {
        const repaired = repairedUtf8(content, 0, content.length)
        expect(isUtf8(repaired)).toBe(true)
        expect(repaired.length).toBeLessThanOrEqual(2 * content.length + 2)
        expect(repairedUtf8(repaired, 0, repaired.length)).toEqual(repaired)
        const runs = (text: string): string => text.replace(/\ufffd+/g, '\ufffd')
        expect(runs(Buffer.from(repaired).toString())).toBe(runs(Buffer.from(content).toString()))
      }),
      { seed, numRuns: 2_000 },
    )
  })
})
