import type { PipelineParts } from '../pipeline.ts'
import type { TenantResolver } from '../receivers/tenant.ts'
import { resourceStrings } from '../wire/resources.ts'

/** A resource attribute names the tenant of its group; where there is none, the transport; then the default. */
export function createTenantFinder(resolver: TenantResolver): PipelineParts['tenantsOf'] {
  const attribute = Buffer.from(resolver.options.resourceAttribute)
  return ({ body, tenant }) => {
    const named = resourceStrings(body, attribute)
    return named.map((name) => resolver.resolve(attribute.length === 0 ? tenant : (name ?? tenant)))
  }
}
