import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeData, decodePairs, encodeData, encodePairs } from '../../../src/store/data-record.ts'
import { SIGNALS } from '../../../src/store/entry.ts'
import { NO_EXTENT, plus, readExtent, writeExtent } from '../../../src/store/extent.ts'
import { decodeFileHead, encodeFileHead, FILE_HEAD_BYTES } from '../../../src/store/file-head.ts'
import { decodeHead, encodeFrame, HEAD_BYTES, Kind, tagOf } from '../../../src/store/frame.ts'
import { readRecord, scanRecords } from '../../../src/store/scan.ts'
import { testFolder } from './folder.ts'

const SECRET = Buffer.alloc(16, 5)
const TAG = tagOf(SECRET, 'queue', 7)
const bytes = fc.uint8Array({ maxLength: 300 })

function frame(number: number, meta: Uint8Array, body: Uint8Array): Buffer {
  return Buffer.concat(encodeFrame({ number, back: 0, kind: Kind.DATA, meta: [meta], body }, TAG))
}

describe('the head of a record', () => {
  test('with any bit flipped is none, and neither is one of another file', () => {
    const whole = frame(3, Buffer.from('meta'), Buffer.from('body')).subarray(0, HEAD_BYTES)
    expect(decodeHead(whole, TAG)).toMatchObject({ number: 3, metaBytes: 4, bodyBytes: 4 })
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = Buffer.from(whole)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      expect(decodeHead(damaged, TAG), `bit ${bit}`).toBeUndefined()
    }
    for (let end = 0; end < whole.length; end++)
      expect(decodeHead(whole.subarray(0, end), TAG)).toBeUndefined()
    expect(decodeHead(whole, tagOf(SECRET, 'queue', 8))).toBeUndefined()
    expect(decodeHead(whole, tagOf(SECRET, 'keys', 7))).toBeUndefined()
  })
})

describe('the head of a file', () => {
  test('comes back as it went in, and with any bit flipped is none', () => {
    const extent = { endAt: 77, records: 5, totals: plus(NO_EXTENT.totals, 'logs', 9) }
    const head = { log: 'evidence', file: 12, secret: SECRET, whole: extent, before: extent } as const
    const whole = encodeFileHead(head)
    expect(whole.length).toBe(FILE_HEAD_BYTES)
    expect(decodeFileHead(whole)).toEqual({ ...head, secret: new Uint8Array(SECRET) })
    expect(decodeFileHead(encodeFileHead({ ...head, whole: undefined }))?.whole).toBeUndefined()
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = Buffer.from(whole)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      expect(decodeFileHead(damaged), `bit ${bit}`).toBeUndefined()
    }
  })
})

describe('what records say', () => {
  test('comes back as it went in', () => {
    const anyData = fc.record({
      signal: fc.constantFrom(...SIGNALS, undefined),
      sequence: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
      acceptedAtMs: fc.integer({ min: 0, max: 4e12 }),
      itemCount: fc.nat(0xffff_ffff),
      refs: bytes,
    })
    const anyPairs = fc.array(fc.record({ key: bytes, value: bytes }), { maxLength: 5 })
    fc.assert(
      fc.property(anyData, anyPairs, (data, pairs) => {
        const totals = plus(plus(NO_EXTENT.totals, 'traces', data.itemCount), 'metrics', 1)
        const meta = Buffer.concat([encodeData({ ...data, totals }), encodePairs(pairs)])
        const { statements, ...found } = decodeData(meta)
        expect(found).toEqual({ ...data, totals })
        const read = [...decodePairs(statements)].map(({ key, value }) => [[...key], [...value]])
        expect(read).toEqual(pairs.map(({ key, value }) => [[...key], [...value]]))
        const at = Buffer.alloc(100)
        writeExtent({ endAt: data.sequence, records: 3, totals }, at, 7)
        expect(readExtent(at, 7)).toEqual({ endAt: data.sequence, records: 3, totals })
      }),
    )
  })
})

describe('a scan', () => {
  test('finds every record that is whole, whatever stands between, also what looks like a record in a body', () => {
    const file = join(testFolder(), 'file')
    const piece = fc.oneof(
      fc.record({ meta: bytes, body: fc.oneof(bytes, fc.constant(Buffer.alloc(300_000, 1))) }),
      // What a client may put into a body: a record of a file whose secret it cannot know.
      fc.record({
        meta: bytes,
        body: bytes.map((body) =>
          Buffer.concat(
            encodeFrame({ number: 1, back: 0, kind: Kind.DATA, meta: [], body }, Buffer.alloc(8, 9)),
          ),
        ),
      }),
      fc.record({ junk: bytes }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        let number = 0
        const parts = pieces.map((each) =>
          'junk' in each ? Buffer.from(each.junk) : frame(++number, each.meta, each.body),
        )
        const whole = Buffer.concat(parts)
        writeFileSync(file, whole)
        const fd = openSync(file, 'r')
        const found = [...scanRecords(fd, TAG, 0, whole.length)]
        expect(found.map((record) => [record.frame.number, record.isBodyGood])).toEqual(
          Array.from({ length: number }, (_, i) => [i + 1, true]),
        )
        const bodies = pieces.flatMap((each) => ('junk' in each ? [] : [Buffer.from(each.body)]))
        for (const [i, { at }] of found.entries())
          expect(readRecord(fd, TAG, at)?.body.equals(bodies[i]!)).toBe(true)
        closeSync(fd)
      }),
      { numRuns: 60 },
    )
  })
})
