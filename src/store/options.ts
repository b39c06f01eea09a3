import { QUEUE_BYTES_MAX } from '../base/limits.ts'

const MIB = 1024 * 1024

/** Where the store is and how large it may grow. Owner of the defaults under `storage` in the configuration. */
export interface StoreOptions {
  /** Folder of the environment; made with mode 0700. One process at a time may have it open. */
  readonly directory: string
  /** Bound of the queue: bodies, references and our own overhead, bytes. */
  readonly queueBytesMax?: number
  /** Bound of the statements table, bytes on disk. Evidence is never thinned out: when full, requests are refused. */
  readonly evidenceBytesMax?: number
  /** Records of data keys that key management keeps here at most; room in the map is made for them. */
  readonly announcementsMax?: number
  /** Bodies kept in memory after their commit, so that the drain need not read them back, bytes. 0 switches it off. */
  readonly readCacheBytesMax?: number
  /** A commit that takes longer than this has hung; the store then says so and takes nothing more, ms. */
  readonly commitMsMax?: number
}

export const STORE_DEFAULTS = {
  queueBytesMax: QUEUE_BYTES_MAX,
  evidenceBytesMax: 8192 * MIB,
  announcementsMax: 200_000,
  readCacheBytesMax: 8 * MIB,
  commitMsMax: 30_000,
} as const

/** Room in the map beside what is counted: long-lived keys, cursors, the free list, entries that were set aside. */
const MAP_BYTES_RESERVE = 256 * MIB
/** One is 700 bytes with a dozen data classes, and its page is rarely full. */
const ANNOUNCEMENT_BYTES = 2_048

/**
 * Size of the memory map, bytes. Twice the queue: values of many pages need runs of adjacent free pages, and pages of
 * the last two transactions cannot be used again yet. It is address space, not memory and not disk.
 */
export function mapBytes(bounds: {
  readonly queueBytesMax: number
  readonly evidenceBytesMax: number
  readonly announcementsMax: number
}): number {
  const keyBytes = bounds.announcementsMax * ANNOUNCEMENT_BYTES
  const bytes = 2 * bounds.queueBytesMax + bounds.evidenceBytesMax + keyBytes + MAP_BYTES_RESERVE
  return Math.ceil(bytes / MIB) * MIB
}
