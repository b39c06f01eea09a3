// What every transport is given, and what the service holds of it.
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Accept } from '../pipeline/pipeline.ts'
import type { TenantResolver } from '../pipeline/tenant.ts'
import type { Admission } from './admission.ts'
import type { BoundAddress } from './listener.ts'
import type { ReceiverMetrics } from './metrics.ts'

/** What a receiver is given by the service. */
export interface ReceiverContext {
  readonly accept: Accept
  readonly admission: Admission
  readonly tenants: TenantResolver
  readonly metrics: ReceiverMetrics
  readonly clock: Clock
  readonly log: Logger
}

/** What the service holds of each transport. */
export interface Receiver {
  /** Rejects CONFIG with one line that names the setting. */
  start(): Promise<BoundAddress>
  /** Closes the listening socket and sends connections away; requests under way go on. */
  stopAccepting(): Promise<void>
  /** Waits for requests under way, at most so long, then cuts. Stops accepting if nobody has. */
  close(graceMs?: number): Promise<void>
}
