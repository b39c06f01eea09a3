// Where a request gets its keys: at once from the cache, or by waiting for the key service within its own deadline.
// A refusal is the last resort, since some clients never retry.

import { pause } from '../base/abort.ts'
import { forEachAtOnce } from '../base/at-once.ts'
import type { Clock } from '../base/clock.ts'
import { asSidecarError, SidecarError } from '../base/errors.ts'
import { KEY_LOADS_PER_REQUEST_MAX, WAITING_REQUESTS_MAX } from '../base/limits.ts'
import type { SigningKey } from '../evidence/evidence.ts'
import type { Pseudonymizer } from '../formats/pseudonym.ts'
import type { Sealer } from '../formats/sealed-value.ts'
import type { Keys } from '../keys/keys.ts'
import { BreakerOpenError } from '../kms/breaker.ts'
import type { MissingKey } from '../redaction/editor.ts'
import type { TenantKeys } from '../redaction/tenant-keys.ts'
import type { Waiting } from './delivery.ts'

/** What the pipeline uses of `Keys`: a synchronous hit, which is counted, or a promise. */
export type TenantKeySource = Pick<
  Keys,
  | 'sealer'
  | 'loadSealer'
  | 'pseudonymizer'
  | 'loadPseudonymizer'
  | 'signingKey'
  | 'loadSigningKey'
  | 'startWait'
>

export interface KeyResolverSettings {
  readonly keys: TenantKeySource
  readonly clock: Clock
  readonly onKmsFailure: 'refuse' | 'mask'
  /** Counts requests that wait; throws OVERLOADED when too many do. Returns the release. */
  readonly startWaiting: () => () => void
}

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000

export class KeyResolver {
  readonly #parts: KeyResolverSettings

  constructor(parts: KeyResolverSettings) {
    this.#parts = parts
  }

  open(waiting: Waiting): RequestKeys {
    return new RequestKeys(this.#parts, waiting)
  }
}

/**
 * The keys of one request. Keeps what it got: a request may have more tenants than the cache has room for, and would else
 * push its own keys out again; and it looks several times, but counts as one. Remembers also which tenants' values the
 * policy decided to mask.
 */
export class RequestKeys {
  readonly #parts: KeyResolverSettings
  readonly #waiting: Waiting
  readonly #sealers = new Map<string, Sealer | 'mask'>()
  readonly #pseudonymizers = new Map<string, Pseudonymizer | 'mask'>()
  readonly #signing = new Map<string, SigningKey>()

  constructor(parts: KeyResolverSettings, waiting: Waiting) {
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
          sealer: kept(this.#sealers, tenant, () => keys.sealer(tenant)),
          pseudonymizer: kept(this.#pseudonymizers, tenant, () => keys.pseudonymizer(tenant)),
        }
        byTenant.set(tenant, atHand)
      }
      return atHand
    })
  }

  signingKeys(tenants: readonly string[]): Map<string, SigningKey> {
    const { keys } = this.#parts
    const found = new Map<string, SigningKey>()
    for (const tenant of tenants) {
      if (found.has(tenant)) continue
      const key = kept(this.#signing, tenant, () => keys.signingKey(tenant))
      if (key !== undefined) found.set(tenant, key)
    }
    return found
  }

  /** Resolves when every missing key is at hand or the policy masks instead; rejects KEY_UNAVAILABLE at the deadline. */
  async load(missing: readonly MissingKey[]): Promise<void> {
    await this.#whileWaiting((abort) =>
      forEachAtOnce(missing, KEY_LOADS_PER_REQUEST_MAX, (each) => this.#loadOne(each, abort)),
    )
  }

  async #loadOne({ tenant, key }: MissingKey, abort: AbortSignal): Promise<void> {
    const { keys, onKmsFailure } = this.#parts
    if (key === 'encryption') {
      const mayMask = onKmsFailure === 'mask'
      const sealer = await this.#counted(key, () =>
        this.#orMask(mayMask, abort, (signal) => keys.loadSealer(tenant, signal, true)),
      )
      this.#sealers.set(tenant, sealer)
    } else {
      // A hash without its key falls to a mask, which reveals less; an encryption refuses unless told to mask.
      const pseudonymizer = await this.#counted(key, () =>
        this.#orMask(true, abort, (signal) => keys.loadPseudonymizer(tenant, signal, true)),
      )
      this.#pseudonymizers.set(tenant, pseudonymizer)
    }
  }

  async loadSigning(missing: readonly string[]): Promise<void> {
    const { keys } = this.#parts
    const load = async (tenant: string, abort: AbortSignal): Promise<void> => {
      const key = await this.#counted('signing', () =>
        this.#insist(abort, (signal) => keys.loadSigningKey(tenant, signal, true), healsByWaiting),
      )
      this.#signing.set(tenant, key)
    }
    await this.#whileWaiting((abort) =>
      forEachAtOnce(missing, KEY_LOADS_PER_REQUEST_MAX, (tenant) => load(tenant, abort)),
    )
  }

  async #counted<Key>(
    key: Parameters<TenantKeySource['startWait']>[0],
    attempts: () => Promise<Key>,
  ): Promise<Key> {
    const endWait = this.#parts.keys.startWait(key)
    try {
      return await attempts()
    } finally {
      endWait()
    }
  }

  /** What else a request asks of the key service: with the same patience, and under the same limit. */
  async ask<Answer>(fetch: (abort: AbortSignal) => Promise<Answer>): Promise<Answer> {
    return this.#whileWaiting((abort) => this.#insist(abort, fetch, healsByWaiting))
  }

  /** A mask loses what it hides for good, so a hiccup of the key service is waited out; an outage that is known is not. */
  async #orMask<Key>(
    mayMask: boolean,
    abort: AbortSignal,
    fetch: (abort: AbortSignal) => Promise<Key>,
  ): Promise<Key | 'mask'> {
    const isWorthWaiting = mayMask ? isHiccup : healsByWaiting
    try {
      return await this.#insist(abort, fetch, isWorthWaiting)
    } catch (thrown) {
      if (!mayMask) throw thrown
      return 'mask'
    }
  }

  /** Counted as one that waits. The signal ends all its loads when one of them has refused the request. */
  async #whileWaiting<Result>(work: (abort: AbortSignal) => Promise<Result>): Promise<Result> {
    const release = this.#parts.startWaiting()
    const over = new AbortController()
    try {
      return await work(AbortSignal.any([this.#waiting.abort, over.signal]))
    } finally {
      over.abort()
      release()
    }
  }

  /** Tries until the key is there, the failure is none that is worth waiting for, or the deadline has passed. */
  async #insist<Key>(
    abort: AbortSignal,
    fetch: (abort: AbortSignal) => Promise<Key>,
    isWorthWaiting: (error: SidecarError) => boolean,
  ): Promise<Key> {
    const { clock } = this.#parts
    const { deadlineMs } = this.#waiting
    for (let waitMs = RETRY_MS_MIN; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      const leftMs = deadlineMs - clock.monotonicMs()
      if (leftMs <= 0 || abort.aborted)
        throw new SidecarError('KEY_UNAVAILABLE', 'no usable key before the deadline')
      try {
        return await fetch(AbortSignal.any([abort, AbortSignal.timeout(Math.ceil(leftMs))]))
      } catch (thrown) {
        const error = asSidecarError(thrown)
        // A new key is stored before it is used. That is no question for the key service, and the client hears what it is.
        if (sourceOf(error).code === 'STORE_FAILED') throw sourceOf(error)
        if (!isWorthWaiting(error)) {
          throw new SidecarError('KEY_UNAVAILABLE', 'no usable key', { cause: error, retryAfterMs: 1_000 })
        }
        await pause(Math.min(waitMs, Math.max(0, deadlineMs - clock.monotonicMs())), abort)
      }
    }
  }
}

function kept<Key>(held: Map<string, Key>, tenant: string, ask: () => Key | undefined): Key | undefined {
  const known = held.get(tenant)
  if (known !== undefined) return known
  const atHand = ask()
  if (atHand !== undefined) held.set(tenant, atHand)
  return atHand
}

/** A throttled or unreachable key service may answer in a moment; a disabled key will not. */
function healsByWaiting(error: SidecarError): boolean {
  return sourceOf(error).isRetryable
}

/** Of these, what may pass within a request's time: an open breaker says that the service has been failing for a while. */
function isHiccup(error: SidecarError): boolean {
  return healsByWaiting(error) && !(sourceOf(error) instanceof BreakerOpenError)
}

/** A cache says "no usable key", and why as its cause. */
function sourceOf(error: SidecarError): SidecarError {
  return error.code === 'KEY_UNAVAILABLE' && error.cause instanceof SidecarError ? error.cause : error
}

/** Bounds how many requests wait for keys at once. */
export function waitLimit(): () => () => void {
  let waitingCount = 0
  return () => {
    if (waitingCount >= WAITING_REQUESTS_MAX) {
      throw new SidecarError('OVERLOADED', 'too many requests wait for keys', { retryAfterMs: 2_000 })
    }
    waitingCount++
    return () => void waitingCount--
  }
}
