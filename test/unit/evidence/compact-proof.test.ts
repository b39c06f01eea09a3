import { expect, test } from 'vitest'
import {
  formatResourceStatement,
  isReference,
  parseReference,
  parseResourceStatement,
  ROW_NODES_MAX,
  statementId,
} from '../../../src/evidence/compact-proof.ts'

const ID = statementId(Buffer.from('a statement'))
const node = (byte: number): string => Buffer.alloc(32, byte).toString('base64url')
const parts = {
  statement: Buffer.from('statement'),
  signature: Buffer.alloc(64, 7),
  policy: Buffer.from('policy'),
}

test('what a span carries reads as it was written', () => {
  const text = `v1.${ID}.0`
  expect(isReference(text)).toBe(true)
  expect(parseReference(text)).toEqual({ statementId: ID, index: 0, path: [] })
  const long = parseReference(`v1.${ID}.511.${node(1)}${node(2)}`)
  expect(long.index).toBe(511)
  expect(long.path.map((each) => each[0])).toEqual([1, 2])
})

test('what a resource carries reads as it was written', () => {
  expect(parseResourceStatement(formatResourceStatement(parts))).toEqual({
    ...parts,
    row: [],
  })
  const { row } = parseResourceStatement(`${formatResourceStatement(parts)}.${node(1)}${node(2)}`)
  expect(row.map((each) => each[0])).toEqual([1, 2])
})

const LAST_BITS = `${'A'.repeat(42)}B` // 258 bits: the last two are not zero

test.each([
  ['another version', `v2.${ID}.0`],
  ['no index', `v1.${ID}`],
  ['a leading zero', `v1.${ID}.00`],
  ['a sign', `v1.${ID}.+1`],
  ['a short id', `v1.${ID.slice(1)}.0`],
  ['an id with bits to spare', `v1.${ID.slice(0, 21)}B.0`],
  ['an empty path', `v1.${ID}.0.`],
  ['half a node', `v1.${ID}.0.${node(1).slice(1)}`],
  ['a node with bits to spare', `v1.${ID}.0.${LAST_BITS}`],
  ['a path longer than any', `v1.${ID}.0.${node(1).repeat(54)}`],
  ['a further part', `v1.${ID}.0.${node(1)}.x`],
  ['white space', `v1.${ID}.0\n`],
])('of a span %s is refused', (_, text) => {
  expect(() => parseReference(text)).toThrow('proof is not canonical')
})

const sound = formatResourceStatement(parts)

test.each([
  ['another version', sound.replace('v1.', 'v2.')],
  ['an empty row', `${sound}.`],
  ['a row of one node', `${sound}.${node(1)}`],
  ['a row longer than any', `${sound}.${node(1).repeat(ROW_NODES_MAX + 1)}`],
  ['a short signature', formatResourceStatement({ ...parts, signature: Buffer.alloc(63) })],
  ['no policy', sound.slice(0, sound.lastIndexOf('.'))],
  ['padding', `${sound}=`],
  ['a further part', `${sound}.${node(1)}${node(2)}.x`],
])('of a resource %s is refused', (_, text) => {
  expect(() => parseResourceStatement(text)).toThrow(/not canonical/)
})
