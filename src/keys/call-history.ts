// How the calls to the key service went last, by kind: an operation for one purpose. That the master key can be described
// says nothing of who may generate under it, so only the same kind of call takes back a refusal.
import type { KeyPurpose } from './context.ts'
import type { KmsError } from './kms.ts'

export interface FailedCall {
  readonly error: KmsError
  readonly purpose: KeyPurpose | undefined
  /** Milliseconds since the epoch. */
  readonly atMs: number
}

export class CallHistory {
  /** The newest last. */
  readonly #failed = new Map<string, FailedCall>()
  /** On `clock.monotonicMs()`: when a call for a key last succeeded. */
  lastKeyMs = Number.NEGATIVE_INFINITY

  /** The newest failure that stands. */
  get last(): FailedCall | undefined {
    return this.lastFor(undefined)
  }

  /** The newest failure that stands of calls for one purpose, or of all. */
  lastFor(purpose: KeyPurpose | undefined): FailedCall | undefined {
    return [...this.#failed.values()].findLast((call) => purpose === undefined || call.purpose === purpose)
  }

  failed(operation: string, call: FailedCall): void {
    const kind = kindOf(operation, call.purpose)
    this.#failed.delete(kind)
    this.#failed.set(kind, call)
  }

  succeeded(operation: string, purpose: KeyPurpose | undefined, nowMs: number): void {
    if (purpose !== undefined) this.lastKeyMs = nowMs
    for (const [kind, { error }] of this.#failed) {
      // Whoever answers one call can be reached for all of them.
      if (error.isRetryable || kind === kindOf(operation, purpose)) this.#failed.delete(kind)
    }
  }
}

const kindOf = (operation: string, purpose: KeyPurpose | undefined): string => `${operation} ${purpose ?? ''}`
