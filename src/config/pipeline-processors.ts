// Which processors the pipelines name.
import type { PolicyOptions } from '../evidence/policy.ts'
import type { Signal } from '../wire/otlp.ts'
import type { PiiConfig, ProcessorConfig, SidecarConfig } from './schema.ts'

/** What the pipelines do with a request, in the terms of who does it. */
export function processorSettings(config: SidecarConfig): {
  readonly redaction: ReadonlyMap<Signal, PiiConfig>
  readonly signing: PolicyOptions | undefined
  readonly tenantsMax: number
} {
  const redaction = new Map<Signal, PiiConfig>()
  for (const signal of config.service.pipelines.keys()) {
    const pii = processorOf(config, signal, 'pii')
    if (pii) redaction.set(signal, pii)
  }
  const signing = processorOf(config, 'traces', 'signing')
  const { resourceAttribute: tenantAttribute, max: tenantsMax } = config.tenants
  return { redaction, signing: signing && { ...signing, tenantAttribute }, tenantsMax }
}

/** The pipeline's one processor of a type; the configuration was checked to have no second. */
export function processorOf<Type extends ProcessorConfig['type']>(
  config: SidecarConfig,
  signal: Signal,
  type: Type,
): Extract<ProcessorConfig, { type: Type }> | undefined {
  const ids = config.service.pipelines.get(signal)?.processors ?? []
  for (const id of ids) {
    const processor = config.processors.get(id)
    // The type tells which member of the union it is.
    if (processor?.type === type) return processor as Extract<ProcessorConfig, { type: Type }>
  }
  return undefined
}
