// A multi-Region key and its replicas, tried in order. A region that failed is asked last for a while, so that an outage
// costs one slow call and not every call.
import type { Clock } from '../../base/clock.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../kms.ts'
import type { AwsKey } from './arn.ts'

/** How long a region that failed is asked only after the others. */
const AVOID_MS = 30_000
/** How long a call must have gone unanswered for its end by the caller to count as the region's failure. */
const TELLING_MS = 1_000

/** Failures that a replica in another region may not share. Whoever is denied here is denied there, as a rule. */
const PASSED_ON: ReadonlySet<KmsClass> = new Set(['network', 'timeout', 'throttled', 'key_disabled'])

/** A failure that ends the search. A replica that may not be used says less than the primary that is out of reach. */
function isVerdict(kmsClass: KmsClass, isPrimary: boolean): boolean {
  if (kmsClass === 'invalid_ciphertext' || kmsClass === 'bad_request') return true
  return isPrimary && !PASSED_ON.has(kmsClass)
}

export interface Attempt {
  readonly key: AwsKey
  /** Whether another region comes after this one, so that patience is better spent there. */
  readonly hasNext: boolean
  /** How many regions there are in all. */
  readonly count: number
}

export class AwsFailover {
  readonly #clock: Clock
  readonly #onChange: (region: string, failure: KmsClass | undefined) => void
  readonly #avoidUntilMs = new Map<string, number>()

  /** `onChange` hears of a region that is avoided from now on, and (with no failure) of one that works again. */
  constructor(clock: Clock, onChange: (region: string, failure: KmsClass | undefined) => void) {
    this.#clock = clock
    this.#onChange = onChange
  }

  /** The first answer of `keys`, in order. Rejects with the failure that says most: one that may pass, or the first. */
  async first<T>(
    keys: readonly AwsKey[],
    abort: AbortSignal,
    call: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const failures: KmsError[] = []
    const ordered = this.#order(keys)
    for (const [index, key] of ordered.entries()) {
      const startMs = this.#clock.monotonicMs()
      try {
        const hasNext = index < ordered.length - 1
        const result = await call({ key, hasNext, count: ordered.length })
        this.#succeeded(key.region)
        return result
      } catch (thrown) {
        if (!(thrown instanceof KmsError) || isVerdict(thrown.kmsClass, key === keys[0])) throw thrown
        failures.push(thrown)
        // A caller that left at once says nothing about the region.
        const isTelling = !abort.aborted || this.#clock.monotonicMs() - startMs >= TELLING_MS
        if (keys.length > 1 && isTelling) this.#failed(key.region, thrown.kmsClass)
        if (abort.aborted) break
      }
    }
    throw failures.find(({ kmsClass }) => KMS_CLASSES[kmsClass].retryable) ?? failures[0]!
  }

  #order(keys: readonly AwsKey[]): readonly AwsKey[] {
    if (this.#avoidUntilMs.size === 0) return keys
    const nowMs = this.#clock.monotonicMs()
    const isAvoided = ({ region }: AwsKey): boolean => (this.#avoidUntilMs.get(region) ?? nowMs) > nowMs
    return [...keys.filter((key) => !isAvoided(key)), ...keys.filter(isAvoided)]
  }

  #failed(region: string, failure: KmsClass): void {
    const isNews = !this.#avoidUntilMs.has(region)
    this.#avoidUntilMs.set(region, this.#clock.monotonicMs() + AVOID_MS)
    if (isNews) this.#onChange(region, failure)
  }

  #succeeded(region: string): void {
    if (this.#avoidUntilMs.delete(region)) this.#onChange(region, undefined)
  }
}
