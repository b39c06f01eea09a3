// The first bytes of every file of the store: what it is, which secret its records carry, and how far the file before it
// reached, so that a file that was cut short is known by the next one; the last is known by the mark.
//   "betrace" 0 | version 1 | log 1 | file 6 | secret 16 | extent of this file, or zeros 42 | extent of the one before 42 |
//   CRC-32 4
import { crc32 } from 'node:zlib'
import { SidecarError } from '../base/errors.ts'
import { EXTENT_BYTES, type Extent, readExtent, writeExtent } from './extent.ts'

export const FORMAT_VERSION = 1
export const SECRET_BYTES = 16
const MAGIC = Buffer.from('betrace\0')
const SECRET_AT = 16
const OWN_AT = SECRET_AT + SECRET_BYTES
const BEFORE_AT = OWN_AT + EXTENT_BYTES
const CRC_AT = BEFORE_AT + EXTENT_BYTES
export const FILE_HEAD_BYTES = CRC_AT + 4

export const LOGS = ['queue', 'evidence', 'keys'] as const
export type LogName = (typeof LOGS)[number]

export interface FileHead {
  readonly log: LogName
  readonly file: number
  readonly secret: Uint8Array
  /** Of a file that was written whole, and is never added to. */
  readonly whole: Extent | undefined
  readonly before: Extent
}

export function encodeFileHead(head: FileHead): Buffer {
  const bytes = Buffer.alloc(FILE_HEAD_BYTES)
  MAGIC.copy(bytes)
  bytes[8] = FORMAT_VERSION
  bytes[9] = LOGS.indexOf(head.log)
  bytes.writeUIntBE(head.file, 10, 6)
  bytes.set(head.secret, SECRET_AT)
  if (head.whole) writeExtent(head.whole, bytes, OWN_AT)
  writeExtent(head.before, bytes, BEFORE_AT)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT)
  return bytes
}

/** `undefined` when it is damaged. Throws STORE_CORRUPT when it is whole and of a version that we do not know. */
export function decodeFileHead(bytes: Buffer): FileHead | undefined {
  if (bytes.length < FILE_HEAD_BYTES || MAGIC.compare(bytes, 0, MAGIC.length) !== 0) return undefined
  if (bytes.readUInt32BE(CRC_AT) !== crc32(bytes.subarray(0, CRC_AT))) return undefined
  if (bytes[8] !== FORMAT_VERSION)
    throw new SidecarError('STORE_CORRUPT', 'the data folder was written by another version of betrace')
  const log = LOGS[bytes[9]]
  if (log === undefined) return undefined
  const whole = readExtent(bytes, OWN_AT)
  return {
    log,
    file: bytes.readUIntBE(10, 6),
    secret: new Uint8Array(bytes.subarray(SECRET_AT, OWN_AT)),
    whole: whole.endAt > 0 ? whole : undefined,
    before: readExtent(bytes, BEFORE_AT),
  }
}
