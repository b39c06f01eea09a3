import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import {
  Fields,
  readDouble,
  readFixed64,
  readInt32,
  readInt64,
  readUint64,
  varintEnd,
} from '../../../src/wire/reader.ts'
import {
  bytesAttribute,
  messageField,
  stringAttribute,
  stringKeyValue,
  stringValue,
  varintSize,
  Writer,
  writeVarint,
} from '../../../src/wire/write.ts'
import { field, spanAttribute, text } from './recorder.ts'

const bounds = [
  0,
  1,
  127,
  128,
  16383,
  16384,
  2 ** 28 - 1,
  2 ** 28,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
]

test.each(bounds)('the varint of %i is as long as it says, and reads back', (value) => {
  const out = new Uint8Array(12)
  const end = writeVarint(out, 0, value)
  expect(end).toBe(varintSize(value))
  expect(varintEnd(out, 0, end)).toBe(end)
  expect(readUint64(out, 0, end)).toBe(BigInt(value))
})

test('numbers of every kind are what protobufjs writes, and read back', () => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.double(), (integer, double) => {
      const theirs = protobuf.Writer.create()
      theirs.int64(integer.toString()).fixed64(BigInt.asUintN(64, integer).toString()).double(double)
      const writer = new Writer()
      writer.varint64(integer)
      const fixedAt = writer.size
      writer.fixed64(integer)
      writer.double(double)
      const ours = writer.finish()
      expect(Buffer.compare(ours, theirs.finish())).toBe(0)
      expect(readInt64(ours, 0, fixedAt)).toBe(integer)
      expect(readInt32(ours, 0, fixedAt)).toBe(Number(BigInt.asIntN(32, integer)))
      expect(BigInt.asIntN(64, readFixed64(ours, fixedAt))).toBe(integer)
      expect(readDouble(ours, fixedAt + 8)).toBe(double)
    }),
    { seed: 3, numRuns: 300 },
  )
})

describe('nested messages', () => {
  interface Tree {
    readonly size: number
    readonly children: readonly Tree[]
  }
  const sizeOf = fc.constantFrom(0, 1, 120, 125, 127, 128, 300, 16380)
  const grow = (child: fc.Arbitrary<Tree>): fc.Arbitrary<Tree> =>
    fc.record({ size: sizeOf, children: fc.array(child, { maxLength: 3 }) })
  const leaf: fc.Arbitrary<Tree> = fc.record({ size: sizeOf, children: fc.constant([]) })
  const tree = grow(grow(grow(leaf)))

  function write(writer: Writer, { size, children }: Tree): void {
    const mark = writer.open(1)
    writer.raw(messageField(2, new Uint8Array(size)))
    for (const child of children) write(writer, child)
    writer.close(mark)
  }
  const expected = ({ size, children }: Tree): Uint8Array =>
    field(1, field(2, new Uint8Array(size)), ...children.map(expected))

  test('have the right lengths at any depth, and size is known before finish', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 3 }), (trees) => {
        const writer = new Writer()
        for (const one of trees) write(writer, one)
        const { size } = writer
        const out = writer.finish()
        expect(out.length).toBe(size)
        expect(Buffer.compare(out, Buffer.concat(trees.map(expected)))).toBe(0)
        writer.clear()
        expect(writer.finish().length).toBe(0)
      }),
      { seed: 5, numRuns: 100 },
    )
  })
})

test('the helpers write what they are called', () => {
  expect(stringValue('v')).toEqual(field(1, text('v')))
  expect(stringKeyValue('k', 'é')).toEqual(
    new Uint8Array([...field(1, text('k')), ...field(2, field(1, text('é')))]),
  )
  expect(stringAttribute(9, 'k', 'v')).toEqual(spanAttribute('k', field(1, text('v'))))
  expect(bytesAttribute(9, 'k', Uint8Array.of(0, 255))).toEqual(spanAttribute('k', field(7, 0, 255)))
  expect(stringValue('\ud800')).toEqual(field(1, text('\ufffd')))
})

test('a cursor walks the fields of a message with their payloads', () => {
  const fields = new Fields(Uint8Array.of(0x08, 0x96, 0x01, 0x12, 2, 7, 8, 0x1d, 1, 2, 3, 4))
  const seen: number[][] = []
  while (fields.next())
    seen.push([fields.field, fields.wireType, fields.fieldStart, fields.start, fields.end])
  expect(seen).toEqual([
    [1, 0, 0, 1, 3],
    [2, 2, 3, 5, 7],
    [3, 5, 7, 8, 12],
  ])
})
