// Calls to the key service, counted once for the process, whoever makes them.
import { Counter, type Registry } from '../base/telemetry.ts'
import { KMS_CLASSES, type KmsClass } from './kms.ts'

const OPERATIONS = ['generate_data_key', 'encrypt', 'decrypt', 'describe_key']

/** Where calls are counted. */
export interface KmsCallMetrics {
  request(operation: string): void
  error(operation: string, kmsClass: KmsClass): void
}

const created = new WeakMap<Registry, KmsCallMetrics>()

/** The counters of a registry: made by the first who asks, the same for all. */
export function kmsCallMetrics(registry: Registry): KmsCallMetrics {
  const known = created.get(registry)
  if (known) return known
  const metrics = createKmsCallMetrics(registry)
  created.set(registry, metrics)
  return metrics
}

function createKmsCallMetrics(registry: Registry): KmsCallMetrics {
  const requests = new Counter({
    name: 'kms_requests_total',
    help: 'Calls to the key service',
    labelNames: ['operation'],
    registers: [registry],
  })
  const errors = new Counter({
    name: 'kms_errors_total',
    help: 'Failed calls to the key service',
    labelNames: ['operation', 'error'],
    registers: [registry],
  })
  // There from the start, so that rates have a beginning.
  for (const operation of OPERATIONS) {
    requests.inc({ operation }, 0)
    for (const error of Object.keys(KMS_CLASSES)) errors.inc({ operation, error }, 0)
  }
  return {
    request: (operation) => requests.inc({ operation }),
    error: (operation, kmsClass) => errors.inc({ operation, error: kmsClass }),
  }
}
