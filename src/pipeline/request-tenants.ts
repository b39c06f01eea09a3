import { SidecarError } from '../base/errors.ts'
import { resourceStrings } from '../wire/resources.ts'
import type { TenantResolver } from './tenant.ts'

/** Whose the items of a request are. */
export interface RequestTenants {
  /** The tenant of each resource group, in order. */
  readonly groups: readonly string[]
  /** Each tenant once. */
  readonly different: readonly string[]
}

/**
 * A certificate that names a tenant is proof and wins; else the group's resource attribute, else what the transport
 * claims, else the default. Throws TENANT_DENIED, MALFORMED, and TOO_LARGE for more tenants than a request may have.
 */
export function requestTenants(
  resolver: TenantResolver,
  body: Uint8Array,
  claimed: string | undefined,
): RequestTenants {
  const { resourceAttribute, certificate, maxPerRequest } = resolver.options
  const attribute = Buffer.from(resourceAttribute)
  const isTransportProof = certificate !== 'none' || attribute.length === 0
  const groups = resourceStrings(body, attribute).map((name) =>
    resolver.resolve(isTransportProof ? claimed : (name ?? claimed)),
  )
  const different = new Set(groups)
  if (different.size > maxPerRequest) throw new SidecarError('TOO_LARGE', 'too many tenants in one request')
  return { groups, different: [...different] }
}
