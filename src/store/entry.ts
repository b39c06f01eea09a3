// One queue entry is two records of the queue database, written in one transaction:
//   [0][signal][sequence, 8 bytes big-endian] → header     [1][signal][sequence] → body, as it was given
// Headers stand together, so that opening the store reads none of the bodies. Header, all numbers big-endian:
//   version 1 | signal 1 | itemCount 4 | acceptedAtMs 8 (double) | bodyBytes 4 | bodyCrc32 4 | refsBytes 4 | refs | crc32 4
// The last four bytes cover everything before them and the sequence, so a record under a wrong key does not pass.
import { crc32 } from 'node:zlib'
import type { Signal } from '../wire/otlp.ts'

/** What one Export request leaves in the queue. Nobody may change the bytes after `append`. */
export interface NewEntry {
  readonly signal: Signal
  /** Spans, log records or data points in the body. */
  readonly itemCount: number
  /** Wall clock when the request came, ms since the epoch. */
  readonly acceptedAtMs: number
  /** Encoded Export…ServiceRequest, redacted. */
  readonly body: Uint8Array
  /** What a tombstone needs later (references into the evidence); opaque here. */
  readonly refs: Uint8Array
}

export interface QueueEntry extends NewEntry {
  readonly sequence: number
}

export interface EntryHeader {
  readonly itemCount: number
  readonly acceptedAtMs: number
  readonly bodyBytes: number
  readonly bodyCrc: number
  readonly refs: Uint8Array
}

export const SIGNALS: readonly Signal[] = ['traces', 'logs', 'metrics']

export const Part = { HEADER: 0, BODY: 1 } as const
export type Part = (typeof Part)[keyof typeof Part]

const VERSION = 1
const FIXED_BYTES = 26
const CRC_BYTES = 4
const KEY_BYTES = 10

/** What an entry weighs beyond body and references: two keys, the header, page headers and slack, rounded up. */
export const ENTRY_OVERHEAD_BYTES = 128

export function entryBytes(bodyBytes: number, refsBytes: number): number {
  return bodyBytes + refsBytes + ENTRY_OVERHEAD_BYTES
}

export function entryKey(part: Part, signal: Signal, sequence: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES)
  key[0] = part
  key[1] = SIGNALS.indexOf(signal)
  key.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), 2)
  key.writeUInt32BE(sequence % 0x1_0000_0000, 6)
  return key
}

/** The sequence in a key of this file's making; `undefined` when it is not one. */
export function sequenceOf(key: Uint8Array): number | undefined {
  if (key.length !== KEY_BYTES) return undefined
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.length)
  return bytes.readUInt32BE(2) * 0x1_0000_0000 + bytes.readUInt32BE(6)
}

export function encodeHeader(entry: NewEntry, sequence: number): Buffer {
  const end = FIXED_BYTES + entry.refs.length
  const header = Buffer.allocUnsafe(end + CRC_BYTES)
  header[0] = VERSION
  header[1] = SIGNALS.indexOf(entry.signal)
  header.writeUInt32BE(entry.itemCount, 2)
  header.writeDoubleBE(entry.acceptedAtMs, 6)
  header.writeUInt32BE(entry.body.length, 14)
  header.writeUInt32BE(crc32(entry.body), 18)
  header.writeUInt32BE(entry.refs.length, 22)
  header.set(entry.refs, FIXED_BYTES)
  header.writeUInt32BE(headerCrc(header, end, entry.signal, sequence), end)
  return header
}

/** `undefined` when the record is not a header of that entry: damaged, torn or of an unknown version. Copies the refs. */
export function decodeHeader(record: Uint8Array, signal: Signal, sequence: number): EntryHeader | undefined {
  if (record.length < FIXED_BYTES + CRC_BYTES) return undefined
  const header = Buffer.from(record.buffer, record.byteOffset, record.length)
  const end = header.length - CRC_BYTES
  if (header[0] !== VERSION || header[1] !== SIGNALS.indexOf(signal)) return undefined
  if (header.readUInt32BE(22) !== end - FIXED_BYTES) return undefined
  if (header.readUInt32BE(end) !== headerCrc(header, end, signal, sequence)) return undefined
  return {
    itemCount: header.readUInt32BE(2),
    acceptedAtMs: header.readDoubleBE(6),
    bodyBytes: header.readUInt32BE(14),
    bodyCrc: header.readUInt32BE(18),
    refs: new Uint8Array(header.subarray(FIXED_BYTES, end)),
  }
}

/** Whether the body is the one that the header was made for. */
export function isBodyOf(header: EntryHeader, body: Uint8Array | undefined): body is Uint8Array {
  return body !== undefined && body.length === header.bodyBytes && crc32(body) === header.bodyCrc
}

function headerCrc(header: Buffer, end: number, signal: Signal, sequence: number): number {
  return crc32(header.subarray(0, end), crc32(entryKey(Part.HEADER, signal, sequence)))
}
