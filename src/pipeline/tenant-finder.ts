import { SidecarError } from '../base/errors.ts'
import { resourceStrings } from '../wire/resources.ts'
import type { PipelineParts } from './pipeline.ts'
import type { TenantResolver } from './tenant.ts'

/**
 * The tenant of each resource group: a certificate that names one is proof and wins; else the group's resource
 * attribute, else what the transport claims, else the default.
 */
export function createTenantFinder(resolver: TenantResolver): PipelineParts['tenantsOf'] {
  const { resourceAttribute, certificate, maxPerRequest } = resolver.options
  const attribute = Buffer.from(resourceAttribute)
  const isTransportProof = certificate !== 'none' || attribute.length === 0
  return ({ body, tenant }) => {
    const groups = resourceStrings(body, attribute).map((name) =>
      resolver.resolve(isTransportProof ? tenant : (name ?? tenant)),
    )
    const different = new Set(groups)
    if (different.size > maxPerRequest) throw new SidecarError('TOO_LARGE', 'too many tenants in one request')
    return { groups, different: [...different] }
  }
}
