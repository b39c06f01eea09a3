// How the calls to the key service went last, by kind: an operation for one purpose. That the master key can be described
// says nothing of who may generate under it, so only the same kind of call takes back a refusal.
import type { KeyPurpose } from '../formats/key-context.ts'
import type { KmsError } from './kms.ts'

export interface CallKind {
  readonly operation: string
  readonly purpose: KeyPurpose | undefined
  /** For a tenant with a master key of its own, so that it says nothing of the others. */
  readonly isOfOne: boolean
}

export interface FailedCall extends CallKind {
  /** For whom. */
  readonly tenant: string | undefined
  readonly error: KmsError
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
    return [...this.#failed.values()].at(-1)
  }

  /** The newest failure that stands of calls for these purposes, under the master key that is everybody's. */
  lastFor(purposes: readonly KeyPurpose[]): FailedCall | undefined {
    return [...this.#failed.values()].findLast(
      ({ purpose, isOfOne }) => !isOfOne && purpose !== undefined && purposes.includes(purpose),
    )
  }

  failed(call: FailedCall): void {
    const name = nameOf(call)
    this.#failed.delete(name)
    this.#failed.set(name, call)
  }

  succeeded(call: CallKind, nowMs: number): void {
    const { operation, purpose, isOfOne } = call
    if (purpose !== undefined) this.lastKeyMs = nowMs
    for (const [name, failed] of this.#failed) {
      const isSameKind = failed.operation === operation && failed.purpose === purpose
      // Whoever answers one call can be reached for all of them.
      if (failed.error.isRetryable || (isSameKind && (failed.isOfOne || !isOfOne))) this.#failed.delete(name)
    }
  }
}

const nameOf = ({ operation, purpose, isOfOne }: CallKind): string =>
  JSON.stringify([operation, purpose, isOfOne])
