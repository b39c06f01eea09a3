import type { Signal } from '../wire/otlp.ts'

/** What became of one request at one next hop. */
export type SendOutcome =
  /** The peer has it. `rejectedItems` comes from its partial_success; those are lost for good and counted. */
  | { readonly kind: 'ok'; readonly rejectedItems: number; readonly message: string }
  /**
   * Not now. `afterMs` is the peer's own hint (RetryInfo, Retry-After) and wins over our back-off. `needsMending`: it
   * will not pass by itself.
   */
  | {
      readonly kind: 'retry'
      readonly afterMs: number | undefined
      readonly reason: string
      readonly needsMending?: true
    }
  /** Never: the same bytes will be refused again. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface SenderProblem {
  /** As an outcome's: a constant word. */
  readonly reason: string
  /** For an operator: names the setting. */
  readonly message: string
}

/** One next hop. Implementations: grpc, http, file, debug. */
export interface Sender {
  /** The id in the configuration, for example `otlp_grpc/primary`. */
  readonly id: string
  start(): Promise<void>
  /** What keeps it from sending anything now and is waited for; it may be mended while we run. */
  problem?(): SenderProblem | undefined
  /** `body` is an encoded Export…ServiceRequest; it stays the caller's and must not change until the promise settles.
   *  Settles with an outcome; rejects only on `abort`. Calls `onHandedOver` when our own work is done and only the peer's
   *  answer is waited for. */
  send(signal: Signal, body: Uint8Array, abort: AbortSignal, onHandedOver?: () => void): Promise<SendOutcome>
  /** Flushes and closes. Safe after a failed start, and twice. */
  close(): Promise<void>
}
