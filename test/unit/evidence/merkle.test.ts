import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { MerkleTree, NODE_CHARS, pathLength, rootFromPath } from '../../../src/evidence/merkle.ts'
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

function pathOf(tree: MerkleTree, index: number): Uint8Array[] {
  const out = Buffer.alloc(64 * NODE_CHARS)
  const text = out.toString('latin1', 0, tree.writePath(index, out, 0))
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
      expect(rootFromPath(leafOf(index), index, count, path)).toEqual(root)
    }
  }
})

test('a path of another index, another count or another leaf never leads to the root', () => {
  for (let count = 2; count <= 20; count++) {
    const { tree, root } = treeOf(count)
    for (let index = 0; index < count; index++) {
      const path = pathOf(tree, index)
      for (let other = 0; other < count + 3; other++) {
        if (other === index) continue
        expect(rootFromPath(leafOf(index), other, count, path)).not.toEqual(root)
        expect(rootFromPath(leafOf(other), index, count, path)).not.toEqual(root)
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
        expect(rootFromPath(nodes[0]!, index, count, nodes.slice(1))).not.toEqual(root)
        node[bit >> 3]! ^= 1 << (bit & 7)
      }
    }
  }
  const { tree, root } = treeOf(7)
  const nodes = [leafOf(6), ...pathOf(tree, 6).map((node) => Buffer.from(node))]
  for (const node of nodes) {
    for (let bit = 0; bit < 256; bit++) {
      node[bit >> 3]! ^= 1 << (bit & 7)
      expect(rootFromPath(nodes[0]!, 6, 7, nodes.slice(1))).not.toEqual(root)
      node[bit >> 3]! ^= 1 << (bit & 7)
    }
  }
})

test('a path one node too long or too short is refused, never computed', () => {
  for (let count = 1; count <= 20; count++) {
    const { tree } = treeOf(count)
    for (let index = 0; index < count; index++) {
      const path = pathOf(tree, index)
      expect(rootFromPath(leafOf(index), index, count, [...path, leafOf(0)])).toBeUndefined()
      if (path.length > 0) expect(rootFromPath(leafOf(index), index, count, path.slice(1))).toBeUndefined()
    }
  }
})

test('a leaf cannot pass for an inner node: the prefixes differ', () => {
  const { tree, root } = treeOf(4)
  const inner = sha256(Uint8Array.of(1), leafOf(0), leafOf(1))
  const sibling = sha256(Uint8Array.of(1), leafOf(2), leafOf(3))
  expect(rootFromPath(inner, 0, 2, [sibling])).toEqual(root) // the maths alone would take it …
  expect(rootFromPath(inner, 0, 4, [sibling])).toBeUndefined() // … the signed leaf count does not
  expect(pathOf(tree, 0).length).toBe(2)
})
