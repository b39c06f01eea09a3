// The Merkle tree of RFC 6962 §2.1 over one request's leaves. All nodes stand in one flat buffer, level by level; a
// last node without a sibling moves up unchanged, which gives RFC 6962's shape. Each slot is 33 bytes, the hash and
// a zero: 33 is a multiple of three, so one base64 call writes the text of every node and each takes 44 characters, of
// which the first 43 are those of its 32 bytes.
import { hash } from 'node:crypto'

export const HASH_BYTES = 32
/** Characters of one node in a proof. */
export const NODE_CHARS = 43
const SLOT_BYTES = 33
const SLOT_CHARS = 44
const LEAVES_MIN = 64

// The prefix of an inner node, then left and right.
const pair = Buffer.alloc(1 + 2 * HASH_BYTES)
pair[0] = 0x01

export class MerkleTree {
  leafCount = 0
  #nodes = Buffer.alloc(LEAVES_MIN * SLOT_BYTES)
  #text = Buffer.alloc(0)
  /** First slot of each level, and one past the last level. */
  readonly #levels: number[] = []

  reset(): void {
    this.leafCount = 0
    this.#levels.length = 0
  }

  /** Adds a leaf hash, 32 bytes as latin1. */
  add(leaf: string): void {
    this.#put(this.leafCount++, leaf)
  }

  leaf(index: number): Uint8Array {
    const at = index * SLOT_BYTES
    return this.#nodes.subarray(at, at + HASH_BYTES)
  }

  /** Computes all nodes; returns the root, a view that is valid until the next reset. At least one leaf. */
  close(): Uint8Array {
    let first = 0
    let count = this.leafCount
    this.#levels.push(first)
    while (count > 1) {
      const next = first + count
      for (let i = 0; i + 1 < count; i += 2) this.#put(next + (i >> 1), this.#pairHash(first + i))
      if (count % 2 === 1) this.#moveUp(first + count - 1, next + (count >> 1))
      this.#levels.push(next)
      first = next
      count = (count + 1) >> 1
    }
    this.#levels.push(first + 1)
    return this.leaf(first)
  }

  /** Encodes every node once, for `writePath`. After `close`. */
  encode(): void {
    const slots = this.#levels[this.#levels.length - 1]
    const chars = slots * SLOT_CHARS
    if (this.#text.length < chars) this.#text = Buffer.allocUnsafe(chars)
    this.#text.write(this.#nodes.toString('base64url', 0, slots * SLOT_BYTES), 0, chars, 'latin1')
  }

  /** The nodes at `height` in order, as text. After `encode`. */
  rowText(height: number): string {
    const [first, end] = [this.#levels[height], this.#levels[height + 1]]
    let text = ''
    for (let slot = first; slot < end; slot++)
      text += this.#text.toString('latin1', slot * SLOT_CHARS, slot * SLOT_CHARS + NODE_CHARS)
    return text
  }

  /** Writes the audit path of a leaf up to `height` as text to `target` and returns where it ends. After `encode`. */
  writePath(index: number, target: Buffer, at: number, height = Number.POSITIVE_INFINITY): number {
    const levels = this.#levels
    for (let level = 0; level + 2 < levels.length && level < height; level++, index >>= 1) {
      const sibling = levels[level] + (index ^ 1)
      if (sibling >= levels[level + 1]) continue
      const from = sibling * SLOT_CHARS
      this.#text.copy(target, at, from, from + NODE_CHARS)
      at += NODE_CHARS
    }
    return at
  }

  #pairHash(left: number): string {
    const at = left * SLOT_BYTES
    this.#nodes.copy(pair, 1, at, at + HASH_BYTES)
    this.#nodes.copy(pair, 1 + HASH_BYTES, at + SLOT_BYTES, at + SLOT_BYTES + HASH_BYTES)
    return hash('sha256', pair, 'binary')
  }

  #put(slot: number, node: string): void {
    const at = slot * SLOT_BYTES
    if (at + SLOT_BYTES > this.#nodes.length) this.#grow()
    this.#nodes.write(node, at, HASH_BYTES, 'latin1')
    this.#nodes[at + HASH_BYTES] = 0
  }

  #moveUp(from: number, to: number): void {
    this.#put(to, this.#nodes.toString('latin1', from * SLOT_BYTES, from * SLOT_BYTES + HASH_BYTES))
  }

  #grow(): void {
    const larger = Buffer.alloc(this.#nodes.length * 2)
    this.#nodes.copy(larger)
    this.#nodes = larger
  }
}

/** Number of nodes in the audit path of leaf `index` of `leafCount`, up to `height`; without one, up to the root. */
export function pathLength(index: number, leafCount: number, height = Number.POSITIVE_INFINITY): number {
  let nodes = 0
  for (let level = 0, count = leafCount; count > 1 && level < height; level++) {
    if (index % 2 === 1 || index + 1 < count) nodes++
    count = Math.ceil(count / 2)
    index = Math.floor(index / 2)
  }
  return nodes
}

/** Height of the lowest row with at most `nodesMax` nodes (proto/evidence.md §5). `nodesMax` is 1 or more. */
export function rowHeight(leafCount: number, nodesMax: number): number {
  let height = 0
  for (let count = leafCount; count > nodesMax; count = Math.ceil(count / 2)) height++
  return height
}

/** The height whose row has so many nodes; `undefined` when none has. */
export function heightOfRow(leafCount: number, nodes: number): number | undefined {
  const height = rowHeight(leafCount, nodes)
  return Math.ceil(leafCount / 2 ** height) === nodes ? height : undefined
}

/** The root that a whole row leads to. At least one node. */
export function rootFromRow(row: readonly Uint8Array[]): Uint8Array {
  let level = row
  while (level.length > 1) {
    const above: Uint8Array[] = []
    for (let i = 0; i + 1 < level.length; i += 2) above.push(nodeHash(level[i], level[i + 1]))
    if (level.length % 2 === 1) above.push(level[level.length - 1])
    level = above
  }
  return level[0]
}

/**
 * The node at `height` (without one: the root) that a leaf and its audit path lead to (RFC 9162 §2.1.3.2). `undefined`
 * when the path has not the length that index, leaf count and height ask for.
 */
export function nodeFromPath(
  leaf: Uint8Array,
  index: number,
  leafCount: number,
  path: readonly Uint8Array[],
  height = Number.POSITIVE_INFINITY,
): Uint8Array | undefined {
  if (index >= leafCount || path.length !== pathLength(index, leafCount, height)) return undefined
  let node = leaf
  let used = 0
  for (let level = 0, count = leafCount; count > 1 && level < height; level++) {
    const isRight = index % 2 === 1
    if (isRight || index + 1 < count) {
      const sibling = path[used++]
      node = isRight ? nodeHash(sibling, node) : nodeHash(node, sibling)
    }
    count = Math.ceil(count / 2)
    index = Math.floor(index / 2)
  }
  return node
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return hash('sha256', Buffer.concat([pair.subarray(0, 1), left, right]), 'buffer')
}
