import { join } from 'node:path'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { decodeRefs, encodeRefs } from '../../../src/evidence/refs.ts'
import {
  DEFAULT_COVERAGE,
  decodeStatement,
  encodeStatement,
  Kind,
  pae,
  Reason,
  type Statement,
} from '../../../src/evidence/statement.ts'

const batch: Statement = {
  kind: Kind.BATCH,
  instanceId: 'sidecar-1',
  bootId: Buffer.alloc(16, 1),
  tenant: 'acme',
  number: 7,
  timeNs: 1_732_345_678_901_234_567n,
  previous: Buffer.alloc(32, 2),
  policyId: Buffer.alloc(32, 3),
  keyId: 'k1',
  leafCount: 512,
  root: Buffer.alloc(32, 4),
}
const { leafCount: _count, root: _root, ...bare } = batch
const tombstone = {
  bootId: Buffer.alloc(16, 5),
  number: 3,
  ranges: [{ first: 0, count: 9 }],
  reason: Reason.DROPPED,
}
const encoded = Buffer.from(encodeStatement(batch))

test('evidence.proto describes the same bytes: a general runtime reads them and writes them again', () => {
  const root = protobuf.loadSync(join(import.meta.dirname, '../../../proto/evidence.proto'))
  const Type = root.lookupType('betrace.evidence.v1.Statement')
  const coverage = { resourceAttributes: ['a'], mutable: ['b.*', 'c'] }
  const statements: Statement[] = [
    batch,
    { ...batch, coverage },
    { ...bare, kind: Kind.TOMBSTONE, tombstone },
  ]
  for (const statement of statements) {
    const bytes = Buffer.from(encodeStatement(statement))
    const read = Type.decode(bytes)
    expect(Buffer.from(Type.encode(read).finish())).toEqual(bytes)
    const plain = Type.toObject(read, { longs: String, enums: String })
    expect(plain).toMatchObject({
      tenant: 'acme',
      number: '7',
      keyId: 'k1',
      timeUnixNano: '1732345678901234567',
    })
  }
})

describe('only the one form is read', () => {
  test.each<[name: string, bytes: Uint8Array]>([
    ['nothing', Buffer.alloc(0)],
    ['an unknown field', Buffer.concat([encoded, Buffer.from('f00101', 'hex')])],
    ['a field twice', Buffer.concat([encoded.subarray(0, 2), encoded])],
    ['a field out of order', Buffer.concat([encoded.subarray(2), encoded.subarray(0, 2)])],
    [
      'a default written out',
      Buffer.concat([encoded.subarray(0, 2), Buffer.from('1200', 'hex'), encoded.subarray(13)]),
    ],
    ['a varint longer than it need be', Buffer.concat([Buffer.from('088100', 'hex'), encoded.subarray(2)])],
    [
      'a number over 2^53',
      replaced(Buffer.from('2807', 'hex'), Buffer.from('28ffffffffffffffffff01', 'hex')),
    ],
    ['text that is not UTF-8', replaced(Buffer.from('acme'), Buffer.from('61ff6d65', 'hex'))],
    ['a byte more', Buffer.concat([encoded, Buffer.alloc(1)])],
    ['a byte less', encoded.subarray(0, -1)],
  ])('%s is refused', (_name, bytes) => {
    expect(() => decodeStatement(bytes)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })

  test.each<[name: string, statement: Statement]>([
    ['of an unknown kind', { ...bare, kind: 6 as Kind }],
    ['without a kind', { ...bare, kind: 0 as Kind }],
    ['with a short boot id', { ...batch, bootId: Buffer.alloc(15, 1) }],
    ['with a short root', { ...batch, root: Buffer.alloc(31, 1) }],
    ['of a batch of no leaves', { ...batch, leafCount: 0 }],
    ['of a heartbeat with a root', { ...batch, kind: Kind.HEARTBEAT }],
    ['of a batch that is the first of its stream', { ...batch, number: 0 }],
    ['of a boot that is not the first', { ...bare, kind: Kind.BOOT }],
    ['without the hash of the one before', { ...batch, previous: Buffer.alloc(0) }],
    ['of a tombstone that names nothing', { ...bare, kind: Kind.TOMBSTONE }],
    ['with the default coverage written out', { ...batch, coverage: DEFAULT_COVERAGE }],
    [
      'of a tombstone without a reason',
      { ...bare, kind: Kind.TOMBSTONE, tombstone: { ...tombstone, reason: 0 as Reason } },
    ],
  ])('a statement %s is refused', (_name, statement) => {
    expect(() => decodeStatement(encodeStatement(statement))).toThrow(
      expect.objectContaining({ code: 'MALFORMED' }),
    )
  })

  test('whatever bytes are read are written the same again', () => {
    fc.assert(
      fc.property(fc.nat({ max: encoded.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const changed = Buffer.from(encoded)
        changed[at] = byte
        try {
          expect(Buffer.from(encodeStatement(decodeStatement(changed)))).toEqual(changed)
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'MALFORMED' })
        }
      }),
      { numRuns: 1000 },
    )
  })

  function replaced(old: Uint8Array, by: Uint8Array): Uint8Array {
    const at = encoded.indexOf(old)
    return Buffer.concat([encoded.subarray(0, at), by, encoded.subarray(at + old.length)])
  }
})

test('PAE counts bytes, not characters', () => {
  expect(Buffer.from(pae('http://example.com/HelloWorld', Buffer.from('hello world'))).toString()).toBe(
    'DSSEv1 29 http://example.com/HelloWorld 11 hello world',
  )
  expect(Buffer.from(pae('é', Buffer.from('é'))).toString()).toBe('DSSEv1 2 é 2 é')
})

test('batch references come back as they went, and broken ones are told apart from none', () => {
  expect(encodeRefs([])).toHaveLength(0)
  expect(decodeRefs(new Uint8Array(0))).toEqual([])
  const refs = [{ tenant: '__proto__', bootId: new Uint8Array(16).fill(9), number: 2 ** 40, leafCount: 1 }]
  expect(decodeRefs(encodeRefs(refs))).toEqual(refs)
  expect(() => decodeRefs(Buffer.from('0aff', 'hex'))).toThrow(
    expect.objectContaining({ code: 'STORE_CORRUPT' }),
  )
})
