// Which tenant a request or a resource belongs to. Free of transports: receivers ask it for headers and certificates,
// the pipeline for resource attributes, and both get the same answer for the same name.
//
// A name takes nothing. A tenant takes its place when a request of its is valid, and keeps it when that was accepted:
//
//   resolve ────── enter ────────── mayLoad ────────────── leave(accepted) ──── idle
//   a name; free   valid: a place   first keys: a token    the place stays      it goes to who needs one
import { type Clock, systemClock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import {
  NEW_TENANTS_MAX,
  NEW_TENANTS_PER_SECOND,
  TENANT_IDLE_MS,
  TENANTS_MAX,
  TENANTS_PER_REQUEST_MAX,
} from '../base/limits.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { isTenantId } from '../formats/tenant-id.ts'

export interface TenantOptions {
  /** The tenant of whoever names none. */
  readonly default: string
  /** Request header or gRPC metadata that names the tenant, lower case; '' switches it off. */
  readonly header: string
  /** Resource attribute that names the tenant. Read by the pipeline. */
  readonly resourceAttribute: string
  /** Only these and the default; empty: everybody, up to `max`. */
  readonly allow: readonly string[]
  /** What becomes of a tenant that is not allowed, not a valid name, or one too many. */
  readonly unknown: 'deny' | 'default'
  /** Different tenants that one process serves, the default included. */
  readonly max: number
  /** Different tenants in one request. */
  readonly maxPerRequest: number
  /** Where a verified client certificate names the tenant; it then wins over the header. */
  readonly certificate: 'none' | 'cn' | 'san'
}

export const tenantDefaults: TenantOptions = {
  default: 'default',
  header: 'x-betrace-tenant',
  resourceAttribute: 'betrace.tenant',
  allow: [],
  unknown: 'deny',
  max: TENANTS_MAX,
  maxPerRequest: TENANTS_PER_REQUEST_MAX,
  certificate: 'none',
}

export interface TenantSurroundings {
  readonly clock: Clock
  /** Whether a tenant has had keys before. Reading those costs a call too, but nobody makes up their number. */
  readonly hasKeys: (tenant: string) => boolean
  /** Whether a tenant still holds something that must not be forgotten. */
  readonly isActive: (tenant: string) => boolean
}

const ALONE: TenantSurroundings = { clock: systemClock, hasKeys: () => false, isActive: () => false }
/** A tenant that is used all the time moves to the end of the line so often, ms. */
const TOUCH_MS = 60_000
/** Of those used longest ago, how many are looked at for one that may go. */
const FORGET_TRIES_MAX = 16

export class TenantResolver {
  readonly options: TenantOptions
  readonly #surroundings: TenantSurroundings
  readonly #allowed: ReadonlySet<string> | undefined
  /** Without the default: when a request of theirs was last accepted, the one longest ago first. */
  readonly #acceptedAtMs = new Map<string, number>()
  /** Those that are new, by how many of their requests are under way. */
  readonly #entering = new Map<string, number>()
  readonly #newTenants: TokenBucket

  constructor(options: TenantOptions, surroundings: Partial<TenantSurroundings> = {}) {
    if (!isTenantId(options.default))
      throw new SidecarError('CONFIG', 'tenants.default is not a valid tenant name')
    this.options = options
    this.#surroundings = { ...ALONE, ...surroundings }
    this.#newTenants = new TokenBucket(this.#surroundings.clock, NEW_TENANTS_MAX, NEW_TENANTS_PER_SECOND)
    this.#allowed = options.allow.length === 0 ? undefined : new Set([...options.allow, options.default])
    this.resolve = this.resolve.bind(this)
  }

  /** Tenants that hold a place, the default included. */
  get tenantCount(): number {
    return 1 + this.#acceptedAtMs.size + this.#entering.size
  }

  /**
   * The tenant that a name stands for. `undefined` and '' name none: the default. Throws TENANT_DENIED when the
   * policy says so. Bound, so it can be handed on as a function.
   */
  resolve(name: string | undefined): string {
    if (name === undefined || name === '') return this.options.default
    if (this.#isKnown(name)) return name
    if (!isTenantId(name)) return this.#unknown('tenant name is not valid')
    if (this.#allowed && !this.#allowed.has(name)) return this.#unknown('tenant is not allowed')
    if (this.tenantCount >= this.options.max && this.#longestIdle() === undefined)
      return this.#unknown('too many tenants')
    return name
  }

  /**
   * Gives the tenants of a valid request their places until `leave`, before anything is asked for them. Throws
   * TENANT_DENIED where there are not enough.
   */
  enter(tenants: readonly string[]): void {
    const fresh = tenants.filter((tenant) => !this.#isKnown(tenant))
    while (fresh.length > 0 && this.tenantCount + fresh.length > this.options.max) {
      const tenant = this.#longestIdle()
      if (tenant === undefined) throw new SidecarError('TENANT_DENIED', 'too many tenants')
      this.#acceptedAtMs.delete(tenant)
    }
    for (const tenant of tenants) {
      if (tenant === this.options.default || this.#acceptedAtMs.has(tenant)) continue
      this.#entering.set(tenant, (this.#entering.get(tenant) ?? 0) + 1)
    }
  }

  /** Ends what `enter` began. Only who was accepted keeps a place. */
  leave(tenants: readonly string[], isAccepted: boolean): void {
    const nowMs = this.#surroundings.clock.monotonicMs()
    for (const tenant of tenants) {
      const count = this.#entering.get(tenant) ?? 0
      if (count > 1 && !isAccepted) this.#entering.set(tenant, count - 1)
      else this.#entering.delete(tenant)
      if (isAccepted && tenant !== this.options.default) this.#touch(tenant, nowMs)
    }
  }

  /** Before keys are loaded. Throws OVERLOADED while more tenants want their first keys than the key service is asked for. */
  mayLoad(tenants: readonly string[]): void {
    const { hasKeys } = this.#surroundings
    const first = new Set(tenants.filter((tenant) => tenant !== this.options.default && !hasKeys(tenant)))
    const tokenCount = Math.min(first.size, NEW_TENANTS_MAX)
    if (this.#newTenants.take(tokenCount)) return
    const retryAfterMs = this.#newTenants.waitMs(tokenCount)
    throw new SidecarError('OVERLOADED', 'too many new tenants at once', { retryAfterMs })
  }

  #isKnown(name: string): boolean {
    return name === this.options.default || this.#acceptedAtMs.has(name) || this.#entering.has(name)
  }

  #touch(tenant: string, nowMs: number): void {
    const beforeMs = this.#acceptedAtMs.get(tenant)
    if (beforeMs !== undefined && nowMs - beforeMs < TOUCH_MS) return
    this.#acceptedAtMs.delete(tenant)
    this.#acceptedAtMs.set(tenant, nowMs)
  }

  /** One that may be forgotten. */
  #longestIdle(): string | undefined {
    const { clock, isActive } = this.#surroundings
    const sinceMs = clock.monotonicMs() - TENANT_IDLE_MS
    let triesLeft = FORGET_TRIES_MAX
    for (const [tenant, acceptedAtMs] of this.#acceptedAtMs) {
      if (acceptedAtMs > sinceMs || triesLeft-- === 0) return undefined
      if (!isActive(tenant)) return tenant
    }
    return undefined
  }

  #unknown(message: string): string {
    if (this.options.unknown === 'default') return this.options.default
    throw new SidecarError('TENANT_DENIED', message)
  }
}
