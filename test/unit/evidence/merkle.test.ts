import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  heightOfRow,
  MerkleTree,
  NODE_CHARS,
  nodeFromPath,
  pathLength,
  rootFromRow,
  rowHeight,
} from '../../../src/evidence/merkle.ts'
import { fromBase64url } from '../../../src/evidence/proof.ts'

const SIZE_MAX = 100
const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const leafOf = (index: number): Buffer => sha256(Buffer.from(`leaf ${index}`))

/** RFC 6962 §2.1 word for word. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!
  const half = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1)
  return sha256(Uint8Array.of(1), rootOf(leaves.slice(0, half)), rootOf(leaves.slice(half)))
}

function treeOf(count: number, tree = new MerkleTree()): { tree: MerkleTree; root: Buffer } {
  tree.reset()
  for (let i = 0; i < count; i++) tree.add(leafOf(i).toString('latin1'))
  const root = Buffer.from(tree.close())
  tree.encode()
  return { tree, root }
}

function pathOf(tree: MerkleTree, index: number, height?: number): Uint8Array[] {
  const out = Buffer.alloc(64 * NODE_CHARS)
  return nodesOf(out.toString('latin1', 0, tree.writePath(index, out, 0, height)))
}

function nodesOf(text: string): Uint8Array[] {
  return Array.from({ length: text.length / NODE_CHARS }, (_, i) =>
    fromBase64url(text.slice(i * NODE_CHARS, (i + 1) * NODE_CHARS)),
  )
}

test('for every size up to 100 the root is that of RFC 6962, and every path leads to it', () => {
  const reused = new MerkleTree()
  for (let count = 1; count <= SIZE_MAX; count++) {
    const { tree, root } = treeOf(count, reused)
    expect(root).toEqual(rootOf(Array.from({ length: count }, (_, i) => leafOf(i))))
    for (let index = 0; index < count; index++) {
      const path = pathOf(tree, index)
      expect(path.length).toBe(pathLength(index, count))
      expect(nodeFromPath(leafOf(index), index, count, path)).toEqual(root)
    }
  }
})

test('the row at every height leads to the root, and a path up to it to the node above its leaf', () => {
  for (let count = 1; count <= SIZE_MAX; count++) {
    const { tree, root } = treeOf(count)
    for (let height = 0; height === 0 || Math.ceil(count / 2 ** (height - 1)) > 1; height++) {
      const row = nodesOf(tree.rowText(height))
      expect(row.length).toBe(Math.ceil(count / 2 ** height))
      expect(Buffer.from(rootFromRow(row))).toEqual(root)
      expect(heightOfRow(count, row.length)).toBe(height)
      for (let index = 0; index < count; index++) {
        const path = pathOf(tree, index, height)
        expect(path.length).toBe(pathLength(index, count, height))
        expect(nodeFromPath(leafOf(index), index, count, path, height)).toEqual(row[index >> height])
      }
    }
  }
})

test('a row is the lowest that fits, and only some lengths are rows', () => {
  expect([1, 2, 32, 33, 64, 65, 512, 1000].map((count) => rowHeight(count, 32))).toEqual([
    0, 0, 0, 1, 1, 2, 4, 5,
  ])
  expect(rowHeight(512, 1)).toBe(9)
  expect([1, 2, 3, 4, 5].map((nodes) => heightOfRow(5, nodes))).toEqual([3, 2, 1, undefined, 0])
  expect(heightOfRow(5, 6)).toBeUndefined()
  expect(heightOfRow(Number.MAX_SAFE_INTEGER, 32)).toBe(48)
})

test('a path of another index, another count or another leaf never leads to the root', () => {
  for (let count = 2; count <= 20; count++) {
    const { tree, root } = treeOf(count)
    for (let index = 0; index < count; index++) {
      const path = pathOf(tree, index)
      for (let other = 0; other < count + 3; other++) {
        if (other === index) continue
        expect(nodeFromPath(leafOf(index), other, count, path)).not.toEqual(root)
        expect(nodeFromPath(leafOf(other), index, count, path)).not.toEqual(root)
      }
    }
  }
})

test('every flipped bit of leaf or path misses the root', () => {
  for (let count = 1; count <= 33; count++) {
    const { tree, root } = treeOf(count)
    for (let index = 0; index < count; index++) {
      const nodes = [leafOf(index), ...pathOf(tree, index).map((node) => Buffer.from(node))]
      for (const node of nodes) {
        const bit = (index * 37 + count) % 256
        node[bit >> 3]! ^= 1 << (bit & 7)
        expect(nodeFromPath(nodes[0]!, index, count, nodes.slice(1))).not.toEqual(root)
        node[bit >> 3]! ^= 1 << (bit & 7)
      }
    }
  }
  const { tree, root } = treeOf(7)
  const nodes = [leafOf(6), ...pathOf(tree, 6).map((node) => Buffer.from(node))]
  for (const node of nodes) {
    for (let bit = 0; bit < 256; bit++) {
      node[bit >> 3]! ^= 1 << (bit & 7)
      expect(nodeFromPath(nodes[0]!, 6, 7, nodes.slice(1))).not.toEqual(root)
      node[bit >> 3]! ^= 1 << (bit & 7)
    }
  }
})

test('a path one node too long or too short is refused, never computed', () => {
  for (let count = 1; count <= 20; count++) {
    const { tree } = treeOf(count)
    for (let index = 0; index < count; index++) {
      const path = pathOf(tree, index)
      expect(nodeFromPath(leafOf(index), index, count, [...path, leafOf(0)])).toBeUndefined()
      if (path.length > 0) expect(nodeFromPath(leafOf(index), index, count, path.slice(1))).toBeUndefined()
    }
  }
})

test('a leaf cannot pass for an inner node: the prefixes differ', () => {
  const { tree, root } = treeOf(4)
  const inner = sha256(Uint8Array.of(1), leafOf(0), leafOf(1))
  const sibling = sha256(Uint8Array.of(1), leafOf(2), leafOf(3))
  expect(nodeFromPath(inner, 0, 2, [sibling])).toEqual(root) // the maths alone would take it …
  expect(nodeFromPath(inner, 0, 4, [sibling])).toBeUndefined() // … the signed leaf count does not
  expect(pathOf(tree, 0).length).toBe(2)
})
