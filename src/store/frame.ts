// How one record stands in a file of the store: a head of 40 bytes, then part `a` (what is known of the record, read when
// the file is opened), then part `b` (the bytes it carries). All numbers are big-endian.
//   tag 8 | number 6 | back 4 | kind 1 | version 1 | bytes of a 4 | bytes of b 4 | CRC-32 of a 4 | of b 4 | of the head 4
// Records of a file are numbered from 1 without gaps, so a missing one is known by its neighbours. `back` says how many
// records before this one were written by the same write. The tag is a secret of the file: after damage the next record
// is found by it, and what clients send cannot pass for a record.
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export const TAG_BYTES = 8
export const HEAD_BYTES = 40
const VERSION = 1
const CRC_AT = 36

export const Kind = { DATA: 1, CURSORS: 2, STATEMENTS: 3, TIPS: 4, PUT: 5, REMOVE: 6 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export interface Frame {
  readonly number: number
  readonly back: number
  readonly kind: Kind
  readonly metaBytes: number
  readonly bodyBytes: number
  readonly metaCrc: number
  readonly bodyCrc: number
}

export interface FrameDraft {
  readonly number: number
  readonly back: number
  readonly kind: Kind
  readonly meta: readonly Uint8Array[]
  readonly body: Uint8Array
}

/** The secret of one file, from the secret of the folder. */
export function tagOf(secret: Uint8Array, log: string, file: number): Buffer {
  return createHash('sha256').update(secret).update(`${log}/${file}`).digest().subarray(0, TAG_BYTES)
}

export function frameBytes(frame: Pick<Frame, 'metaBytes' | 'bodyBytes'>): number {
  return HEAD_BYTES + frame.metaBytes + frame.bodyBytes
}

/** Head, meta and body as they go to the file; nothing is copied but the head. */
export function encodeFrame(draft: FrameDraft, tag: Uint8Array): Uint8Array[] {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.set(tag, 0)
  head.writeUIntBE(draft.number, 8, 6)
  head.writeUInt32BE(draft.back, 14)
  head[18] = draft.kind
  head[19] = VERSION
  let metaBytes = 0
  let metaCrc = 0
  for (const part of draft.meta) {
    metaBytes += part.length
    metaCrc = crc32(part, metaCrc)
  }
  head.writeUInt32BE(metaBytes, 20)
  head.writeUInt32BE(draft.body.length, 24)
  head.writeUInt32BE(metaCrc, 28)
  head.writeUInt32BE(crc32(draft.body), 32)
  head.writeUInt32BE(crc32(head.subarray(0, CRC_AT)), CRC_AT)
  return [head, ...draft.meta, draft.body]
}

/** `undefined` when these bytes are no head of this file. */
export function decodeHead(head: Buffer, tag: Buffer): Frame | undefined {
  if (head.length < HEAD_BYTES || tag.compare(head, 0, TAG_BYTES) !== 0) return undefined
  if (head[19] !== VERSION || head.readUInt32BE(CRC_AT) !== crc32(head.subarray(0, CRC_AT))) return undefined
  return {
    number: head.readUIntBE(8, 6),
    back: head.readUInt32BE(14),
    // Anything else was never written under this checksum; whoever reads a kind it does not know skips it.
    kind: head[18] as Kind,
    metaBytes: head.readUInt32BE(20),
    bodyBytes: head.readUInt32BE(24),
    metaCrc: head.readUInt32BE(28),
    bodyCrc: head.readUInt32BE(32),
  }
}
