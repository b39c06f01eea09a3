// A look at lmdb's data file before lmdb maps it. A file that was cut short ends the process (SIGBUS, or an assertion in
// the library) as soon as a missing page is touched, so the pages that are in use are followed here first. A file may
// rightly be shorter than its meta page says, when its last pages are free; it is then filled up with a hole.
// Layout (data version 2, little-endian): a page header is 24 bytes (pgno 8, txnid 8, pad 2, flags 2, lower 2, upper 2);
// MDB_meta follows it on pages 0 and 1; a tree is an MDB_db of 48 bytes with its root page last.
import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { SidecarError } from '../base/errors.ts'

const MAGIC = 0xbeefc0de
const HEADER_BYTES = 24
const META_BYTES = 136
const NODE_HEADER_BYTES = 8
const ROOT_IN_TREE = 40
const NO_PAGE = 0xffff_ffff_ffff_ffffn
const PAGE = { BRANCH: 0x01, LEAF: 0x02 } as const
const NODE = { BIG_DATA: 0x01, SUB_TREE: 0x02 } as const

interface Meta {
  readonly pageBytes: number
  readonly lastPage: number
  readonly transaction: bigint
  readonly freeRoot: bigint
  readonly mainRoot: bigint
}

/** Throws STORE_CORRUPT when the file is no data file or lacks pages that are in use. No file is fine. */
export function guardDataFile(path: string): void {
  let fd: number
  try {
    fd = openSync(path, 'r+')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return
    throw new SidecarError('STORE_FAILED', 'cannot open the data file', { cause })
  }
  try {
    const size = fstatSync(fd).size
    if (size > 0) guard(fd, size)
  } finally {
    closeSync(fd)
  }
}

function guard(fd: number, size: number): void {
  const first = readMeta(fd, 0)
  const second = first && readMeta(fd, first.pageBytes)
  if (!first || !second) throw damaged()
  const meta = second.transaction > first.transaction ? second : first
  const bytes = (meta.lastPage + 1) * meta.pageBytes
  if (bytes <= size) return
  const pages = Math.floor(size / meta.pageBytes)
  for (const root of [meta.freeRoot, meta.mainRoot]) followTree(fd, meta.pageBytes, pages, root)
  ftruncateSync(fd, bytes)
}

/** Reads every page of a tree and of the trees in it. A page number is checked before it is used. */
function followTree(fd: number, pageBytes: number, pages: number, root: bigint): void {
  const waiting = root === NO_PAGE ? [] : [root]
  const page = Buffer.alloc(pageBytes)
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    if (number >= BigInt(pages)) throw damaged()
    const at = Number(number) * pageBytes
    if (readSync(fd, page, 0, pageBytes, at) < pageBytes || page.readBigUInt64LE(0) !== number)
      throw damaged()
    const flags = page.readUInt16LE(18)
    if ((flags & (PAGE.BRANCH | PAGE.LEAF)) === 0) throw damaged()
    const count = page.readUInt16LE(20) >> 1
    for (let index = 0; index < count; index++) {
      const node = page.readUInt16LE(HEADER_BYTES + 2 * index) + HEADER_BYTES
      if (node + NODE_HEADER_BYTES > pageBytes) throw damaged()
      if ((flags & PAGE.BRANCH) !== 0) waiting.push(branchTarget(page, node))
      else followLeaf(page, node, pageBytes, pages, waiting)
    }
  }
}

function branchTarget(page: Buffer, node: number): bigint {
  return BigInt(page.readUInt32LE(node)) | (BigInt(page.readUInt16LE(node + 4)) << 32n)
}

/** A leaf's value stands in it, on pages of its own, or is a tree. */
function followLeaf(page: Buffer, node: number, pageBytes: number, pages: number, waiting: bigint[]): void {
  const size = page.readUInt32LE(node)
  const flags = page.readUInt16LE(node + 4)
  const data = node + NODE_HEADER_BYTES + page.readUInt16LE(node + 6)
  if ((flags & NODE.BIG_DATA) !== 0) {
    if (data + 8 > pageBytes) throw damaged()
    const last = page.readBigUInt64LE(data) + BigInt(Math.ceil((HEADER_BYTES + size) / pageBytes)) - 1n
    if (last >= BigInt(pages)) throw damaged()
  } else if ((flags & NODE.SUB_TREE) !== 0) {
    if (data + ROOT_IN_TREE + 8 > pageBytes) throw damaged()
    const root = page.readBigUInt64LE(data + ROOT_IN_TREE)
    if (root !== NO_PAGE) waiting.push(root)
  }
}

function readMeta(fd: number, at: number): Meta | undefined {
  const meta = Buffer.alloc(META_BYTES)
  if (readSync(fd, meta, 0, META_BYTES, at + HEADER_BYTES) < META_BYTES) return undefined
  if (meta.readUInt32LE(0) !== MAGIC) return undefined
  const pageBytes = meta.readUInt32LE(24)
  const lastPage = Number(meta.readBigUInt64LE(120))
  if (pageBytes < 512 || pageBytes > 65_536 || lastPage > Number.MAX_SAFE_INTEGER / pageBytes)
    return undefined
  return {
    pageBytes,
    lastPage,
    transaction: meta.readBigUInt64LE(128),
    freeRoot: meta.readBigUInt64LE(24 + ROOT_IN_TREE),
    mainRoot: meta.readBigUInt64LE(72 + ROOT_IN_TREE),
  }
}

function damaged(): SidecarError {
  return new SidecarError('STORE_CORRUPT', 'the data file is damaged')
}
