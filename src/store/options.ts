import { QUEUE_BYTES_MAX } from '../base/limits.ts'

const MIB = 1024 * 1024

/** Where the store is and how large it may grow. Owner of the defaults under `storage` in the configuration. */
export interface StoreOptions {
  /** Made with mode 0700. One process at a time may have it open. */
  readonly directory: string
  /** Bound of the queue: bodies, references and our own overhead, bytes. */
  readonly queueBytesMax?: number
  /** Bound of the evidence, bytes on disk. Evidence is never thinned out: when full, requests are refused. */
  readonly evidenceBytesMax?: number
  /** Bodies kept in memory after their commit, so that the drain need not read them back, bytes. 0 switches it off. */
  readonly readCacheBytesMax?: number
  /** A file of the queue is closed when it has grown to this size; with one request in it, it may be larger. */
  readonly segmentBytes?: number
  /** A commit that takes longer than this has hung; the store then says so and takes nothing more, ms. */
  readonly commitMsMax?: number
}

export const STORE_DEFAULTS = {
  queueBytesMax: QUEUE_BYTES_MAX,
  evidenceBytesMax: 8192 * MIB,
  readCacheBytesMax: 8 * MIB,
  segmentBytes: 16 * MIB,
  commitMsMax: 30_000,
} as const
