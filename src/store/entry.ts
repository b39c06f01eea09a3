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

export const SIGNALS: readonly Signal[] = ['traces', 'logs', 'metrics']

/** What an entry weighs beyond body and references: heads, its place in the index and slack, rounded up. */
export const ENTRY_OVERHEAD_BYTES = 128

export function entryBytes(bodyBytes: number, refsBytes: number): number {
  return bodyBytes + refsBytes + ENTRY_OVERHEAD_BYTES
}
