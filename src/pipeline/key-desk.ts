// Where a request gets its keys: at once from the cache, or by waiting for the key service within its own deadline.
// A refusal is the last resort, since some clients never retry.
import type { Clock } from '../clock.ts'
import { asSidecarError, SidecarError } from '../errors.ts'
import type { SigningKey } from '../evidence/evidence.ts'
import type { Pseudonymizer, Sealer, TenantKeys } from '../redaction/tenant-keys.ts'
import type { Waiting } from './delivery.ts'
import { pause } from './pause.ts'

/** The part of `Keys` that the pipeline uses: a synchronous hit, or a promise. */
export interface KeyCache {
  sealer(tenant: string): Sealer | undefined
  loadSealer(tenant: string, abort: AbortSignal): Promise<unknown>
  pseudonymizer(tenant: string): Pseudonymizer | undefined
  loadPseudonymizer(tenant: string, abort: AbortSignal): Promise<unknown>
  signingKey(tenant: string): SigningKey | undefined
  loadSigningKey(tenant: string, abort: AbortSignal): Promise<unknown>
}

export interface KeyDeskParts {
  readonly keys: KeyCache
  readonly clock: Clock
  readonly onKmsFailure: 'refuse' | 'mask'
  /** Counts requests that wait; throws OVERLOADED when too many do. Returns the release. */
  readonly startWaiting: () => () => void
}

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000

export class KeyDesk {
  readonly #parts: KeyDeskParts

  constructor(parts: KeyDeskParts) {
    this.#parts = parts
  }

  open(waiting: Waiting): KeyWait {
    return new KeyWait(this.#parts, waiting)
  }
}

/** One request at the desk. Remembers which tenants' values the policy decided to mask. */
export class KeyWait {
  readonly #parts: KeyDeskParts
  readonly #waiting: Waiting
  readonly #masked = new Set<string>()

  constructor(parts: KeyDeskParts, waiting: Waiting) {
    this.#parts = parts
    this.#waiting = waiting
  }

  tenantKeys(tenants: readonly string[]): TenantKeys[] {
    const { keys } = this.#parts
    const byTenant = new Map<string, TenantKeys>()
    return tenants.map((tenant) => {
      let atHand = byTenant.get(tenant)
      if (atHand === undefined) {
        atHand = {
          tenant,
          sealer: this.#masked.has(`encryption ${tenant}`) ? 'mask' : keys.sealer(tenant),
          pseudonymizer: this.#masked.has(`pseudonym ${tenant}`) ? 'mask' : keys.pseudonymizer(tenant),
        }
        byTenant.set(tenant, atHand)
      }
      return atHand
    })
  }

  signingKeys(tenants: readonly string[]): Map<string, SigningKey> {
    const found = new Map<string, SigningKey>()
    for (const tenant of tenants) {
      if (found.has(tenant)) continue
      const key = this.#parts.keys.signingKey(tenant)
      if (key !== undefined) found.set(tenant, key)
    }
    return found
  }

  /** Resolves when every missing key is at hand or the policy masks instead; rejects KEY_UNAVAILABLE at the deadline. */
  async load(
    missing: readonly { readonly tenant: string; readonly key: 'encryption' | 'pseudonym' }[],
  ): Promise<void> {
    const { keys, onKmsFailure } = this.#parts
    const wanted = missing.map(({ tenant, key }) => ({
      id: `${key} ${tenant}`,
      // A hash without its key falls to a mask, which reveals less; an encryption refuses unless told to mask.
      mayMask: key === 'pseudonym' || onKmsFailure === 'mask',
      fetch: (abort: AbortSignal) =>
        key === 'encryption' ? keys.loadSealer(tenant, abort) : keys.loadPseudonymizer(tenant, abort),
    }))
    await this.#whileWaiting(() =>
      Promise.all(
        wanted.map(async ({ id, mayMask, fetch }) => {
          try {
            await this.#insist(fetch, mayMask)
          } catch (thrown) {
            if (!mayMask) throw thrown
            this.#masked.add(id)
          }
        }),
      ),
    )
  }

  async loadSigning(missing: readonly string[]): Promise<void> {
    const { keys } = this.#parts
    await this.#whileWaiting(() =>
      Promise.all(
        missing.map((tenant) => this.#insist((abort) => keys.loadSigningKey(tenant, abort), false)),
      ),
    )
  }

  async #whileWaiting(work: () => Promise<unknown>): Promise<void> {
    const release = this.#parts.startWaiting()
    try {
      await work()
    } finally {
      release()
    }
  }

  /** Tries until the key is there, the failure is one that waiting cannot heal, or the deadline has passed. */
  async #insist(fetch: (abort: AbortSignal) => Promise<unknown>, once: boolean): Promise<void> {
    const { clock } = this.#parts
    const { deadlineMs, abort } = this.#waiting
    for (let waitMs = RETRY_MS_MIN; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      const leftMs = deadlineMs - clock.monotonicMs()
      if (leftMs <= 0 || abort.aborted)
        throw new SidecarError('KEY_UNAVAILABLE', 'no usable key before the deadline')
      try {
        await fetch(AbortSignal.any([abort, AbortSignal.timeout(Math.ceil(leftMs))]))
        return
      } catch (thrown) {
        const error = asSidecarError(thrown)
        if (once || !healsByWaiting(error)) {
          throw new SidecarError('KEY_UNAVAILABLE', 'no usable key', { cause: error, retryAfterMs: 1_000 })
        }
        await pause(Math.min(waitMs, leftMs), abort)
      }
    }
  }
}

/** A throttled or unreachable key service may answer in a moment; a disabled key will not. */
function healsByWaiting(error: SidecarError): boolean {
  const source = error.cause instanceof SidecarError ? error.cause : error
  const kmsClass = 'kmsClass' in source ? source.kmsClass : undefined
  return kmsClass === undefined
    ? error.isRetryable
    : kmsClass === 'throttled' || kmsClass === 'network' || kmsClass === 'timeout'
}
