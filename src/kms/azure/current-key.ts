// Which version of a key is the current one, read at most every few minutes: Key Vault wraps only under a version that
// the caller names.
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../kms.ts'
import type { WrapAlgorithm } from './envelope.ts'
import type { AzureKeyId } from './key-id.ts'
import type { AzureVault } from './vault.ts'

export interface CurrentKey {
  readonly id: AzureKeyId & { readonly version: string }
  readonly algorithm: WrapAlgorithm
}

interface Entry {
  readonly key: Promise<CurrentKey>
  readonly startMs: number
}

/** How long a new version may stay unused. Old ones go on to wrap and unwrap. */
const KEY_AGE_MS_MAX = 5 * 60_000

export class CurrentKeys {
  readonly #vault: AzureVault
  readonly #timeoutMs: number
  readonly #clock: Clock
  /** One for each configured key. */
  readonly #entries = new Map<AzureKeyId, Entry>()

  constructor(vault: AzureVault, timeoutMs: number, clock: Clock) {
    this.#vault = vault
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /** Rejects with what the client threw, or bad_request for a key that cannot wrap. Callers at once share one read. */
  get(reference: AzureKeyId, operation: string): Promise<CurrentKey> {
    const known = this.#entries.get(reference)
    if (known !== undefined && this.#clock.monotonicMs() - known.startMs < KEY_AGE_MS_MAX) return known.key
    // What is known goes on serving when it cannot be read again; should it be of no more use, wrapping says so.
    const key = this.#read(reference, operation).catch((thrown: unknown) => {
      if (known === undefined) throw thrown
      return known.key
    })
    this.#entries.set(reference, { key, startMs: this.#clock.monotonicMs() })
    key.catch(() => this.forget(reference, key))
    return key
  }

  /** The next `get` reads again, unless another read has taken this one's place. */
  forget(reference: AzureKeyId, key: Promise<CurrentKey>): void {
    if (this.#entries.get(reference)?.key === key) this.#entries.delete(reference)
  }

  // Bounded by itself: a caller that gives up must not take the read away from the others.
  async #read(reference: AzureKeyId, operation: string): Promise<CurrentKey> {
    const { vaultUrl, name, version } = reference
    const key = await this.#vault.keyClient(vaultUrl).getKey(name, {
      abortSignal: AbortSignal.timeout(this.#timeoutMs),
      ...(version === undefined ? {} : { version }),
    })
    const current = key.properties?.version
    if (key.keyType === undefined || current === undefined || current === '') {
      throw new KmsError('network', operation, 'the answer is no key: half of one, or another server')
    }
    return { id: { vaultUrl, name, version: current }, algorithm: algorithmOf(key.keyType, operation) }
  }
}

function algorithmOf(keyType: string, operation: string): WrapAlgorithm {
  if (keyType === 'RSA' || keyType === 'RSA-HSM') return 'RSA-OAEP-256'
  if (keyType === 'oct-HSM') return 'A256KW'
  throw new KmsError('bad_request', operation, 'the master key must be of type RSA, RSA-HSM or oct-HSM')
}
