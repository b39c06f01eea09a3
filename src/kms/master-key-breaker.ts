// What stands between one master key and those who need it, for one use: two breakers, since failures are about two things.
//
// An outage, a throttled account and a disabled key are everybody's, so that breaker turns everybody away. A denial may be
// one tenant's alone: a policy can allow the same master key tenant by tenant, by encryption context, and how many it leaves
// out nobody can tell from here. So the breaker of denials turns away only who was denied, until it next lets calls through
// to try. That costs one call per tenant and period when all are denied, and nobody waits for another's permission.
import { Breaker, type BreakerSettings, type BreakerState } from './breaker.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from './kms.ts'

export type MasterKeyBreakerSettings = Omit<BreakerSettings, 'counts'>

/** Names come from outside. Whoever is forgotten gets one call more. */
const DENIED_MAX = 1_000

export class MasterKeyBreaker {
  readonly #common: Breaker
  readonly #denials: Breaker
  /** Whose newest answer was a denial; since the breaker of denials last let calls through, while it is open. */
  readonly #denied = new Set<string | undefined>()

  constructor(parts: MasterKeyBreakerSettings) {
    this.#common = new Breaker({ ...parts, counts: isEverybodys })
    this.#denials = new Breaker({
      ...parts,
      counts: isDenial,
      onChange: (state, error) => {
        if (state !== 'open') this.#denied.clear()
        parts.onChange(state, error)
      },
    })
  }

  /** Those of the two that are not closed; an outage first. */
  get tripped(): readonly Breaker[] {
    return [this.#common, this.#denials].filter(({ state }) => state !== 'closed')
  }

  get worst(): BreakerState {
    const states = this.tripped.map(({ state }) => state)
    return states.includes('open') ? 'open' : (states[0] ?? 'closed')
  }

  /** As `Breaker.call`. No tenant where the call is for none. */
  call<T>(
    tenant: string | undefined,
    operation: string,
    abort: AbortSignal,
    run: () => Promise<T>,
  ): Promise<T> {
    const denials = this.#denials
    const watched = (): Promise<T> => this.#common.call(operation, abort, () => this.#noted(tenant, run))
    const isPassedBy = denials.state === 'open' ? !this.#denied.has(tenant) : denials.hasTrialsEnough
    return isPassedBy ? watched() : denials.call(operation, abort, watched)
  }

  reset(): void {
    this.#denied.clear()
    this.#common.reset()
    this.#denials.reset()
  }

  close(): void {
    this.#common.close()
    this.#denials.close()
  }

  async #noted<T>(tenant: string | undefined, run: () => Promise<T>): Promise<T> {
    try {
      const result = await run()
      this.#denied.delete(tenant)
      return result
    } catch (thrown) {
      if (thrown instanceof KmsError && isDenial(thrown.kmsClass)) this.#noteDenied(tenant)
      throw thrown
    }
  }

  #noteDenied(tenant: string | undefined): void {
    this.#denied.delete(tenant)
    this.#denied.add(tenant)
    if (this.#denied.size > DENIED_MAX) this.#denied.delete(this.#denied.keys().next().value)
  }
}

const isDenial = (kmsClass: KmsClass): boolean => kmsClass === 'access_denied'

const isEverybodys = (kmsClass: KmsClass): boolean =>
  KMS_CLASSES[kmsClass].countsForBreaker && !isDenial(kmsClass)
