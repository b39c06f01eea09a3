// Which tenant a request or a resource belongs to. Free of transports: receivers ask it for headers and certificates,
// the pipeline for resource attributes, and both get the same answer for the same name.
import { SidecarError } from '../base/errors.ts'
import { TENANTS_MAX } from '../base/limits.ts'
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
  certificate: 'none',
}

export class TenantResolver {
  readonly options: TenantOptions
  readonly #allowed: ReadonlySet<string> | undefined
  // Tenants are never forgotten: each has keys and a signed stream for the life of the process.
  readonly #seen: Set<string>

  constructor(options: TenantOptions) {
    if (!isTenantId(options.default))
      throw new SidecarError('CONFIG', 'tenants.default is not a valid tenant name')
    this.options = options
    this.#allowed = options.allow.length === 0 ? undefined : new Set([...options.allow, options.default])
    this.#seen = new Set([options.default])
    this.resolve = this.resolve.bind(this)
  }

  /** Different tenants seen, the default included. */
  get tenantCount(): number {
    return this.#seen.size
  }

  /**
   * The tenant that a name stands for. `undefined` and '' name none: the default. Throws TENANT_DENIED when the
   * policy says so. Bound, so it can be handed on as a function.
   */
  resolve(name: string | undefined): string {
    if (name === undefined || name === '') return this.options.default
    if (this.#seen.has(name)) return name
    if (!isTenantId(name)) return this.#unknown('tenant name is not valid')
    if (this.#allowed && !this.#allowed.has(name)) return this.#unknown('tenant is not allowed')
    if (this.#seen.size >= this.options.max) return this.#unknown('too many tenants')
    this.#seen.add(name)
    return name
  }

  #unknown(message: string): string {
    if (this.options.unknown === 'default') return this.options.default
    throw new SidecarError('TENANT_DENIED', message)
  }
}
