import type { Signal } from './wire/otlp.ts'

/** One Export call, as a receiver hands it on. */
export interface ExportRequest {
  readonly signal: Signal
  /** Encoded Export…ServiceRequest, decompressed. The pipeline's from here on; the receiver keeps no reference. */
  readonly body: Uint8Array
  /** What the transport says of the tenant (header, metadata, certificate); `undefined` when it says nothing. */
  readonly tenant: string | undefined
  /** The client's deadline on `clock.monotonicMs()`, capped by the wait limit. */
  readonly deadlineMs: number
  /** Aborts when the client goes away. */
  readonly abort: AbortSignal
}

/** OK, with what OTLP's partial_success says: zero and empty leave it unset. */
export interface ExportAccepted {
  readonly rejectedItems: number
  readonly message: string
}

/** Resolves only when OK may be said; rejects with a SidecarError otherwise. */
export type Accept = (request: ExportRequest) => Promise<ExportAccepted>
