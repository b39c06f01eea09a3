import { resourceStrings } from '../wire/resources.ts'
import type { PipelineParts } from './pipeline.ts'
import type { TenantResolver } from './tenant.ts'

/**
 * The tenant of each resource group: a certificate that names one is proof and wins; else the group's resource
 * attribute, else what the transport claims, else the default.
 */
export function createTenantFinder(resolver: TenantResolver): PipelineParts['tenantsOf'] {
  const { resourceAttribute, certificate } = resolver.options
  const attribute = Buffer.from(resourceAttribute)
  const isTransportProof = certificate !== 'none' || attribute.length === 0
  return ({ body, tenant }) => {
    const named = resourceStrings(body, attribute)
    return named.map((name) => resolver.resolve(isTransportProof ? tenant : (name ?? tenant)))
  }
}
