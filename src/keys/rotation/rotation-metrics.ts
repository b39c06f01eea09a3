// Metrics of rotation. Names are the runbooks'. No label has a tenant in it.
import { Counter, Gauge, Histogram, type Registry } from '../../base/telemetry.ts'

const BUCKETS_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export interface RotationMetrics {
  succeeded(seconds: number): void
  failed(seconds: number): void
  overdue(tenantCount: number): void
}

/** When the key of each kind that has been in use longest began; `undefined` where there is none. Milliseconds. */
export type OldestKeys = () => Readonly<Record<'signing' | 'encryption', number | undefined>>

export function createRotationMetrics(
  registry: Registry,
  ageMsMax: number,
  oldestKeys: OldestKeys,
): RotationMetrics {
  const registers = [registry]
  const successes = new Counter({
    name: 'kms_rotation_success_total',
    help: 'Tenants whose keys were rotated',
    registers,
  })
  const failures = new Counter({
    name: 'kms_rotation_failures_total',
    help: 'Rotations of one tenant that failed; each is tried again',
    registers,
  })
  const duration = new Histogram({
    name: 'kms_rotation_duration_seconds',
    help: 'Time to rotate the keys of one tenant',
    buckets: BUCKETS_SECONDS,
    registers,
  })
  const overdue = new Gauge({
    name: 'kms_rotation_overdue_tenants',
    help: 'Tenants whose signing key is older than kms.rotation.max_age_days, as of the last check',
    registers,
  })
  new Gauge({
    name: 'kms_rotation_max_age_seconds',
    help: 'kms.rotation.max_age_days, which no key in use passes while the checks come and succeed',
    registers,
  }).set(ageMsMax / 1_000)
  new Gauge({
    name: 'kms_last_rotation_timestamp_seconds',
    help: 'When the key that has been in use longest was made, per kind: no tenant was rotated longer ago',
    labelNames: ['key_type'],
    registers,
    collect() {
      this.reset()
      for (const [type, ms] of Object.entries(oldestKeys()))
        if (ms !== undefined) this.set({ key_type: type }, ms / 1_000)
    },
  })
  return {
    succeeded: (seconds) => {
      successes.inc()
      duration.observe(seconds)
    },
    failed: (seconds) => {
      failures.inc()
      duration.observe(seconds)
    },
    overdue: (tenantCount) => overdue.set(tenantCount),
  }
}
