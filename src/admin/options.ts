// What the admin server needs to know, as functions: it reads the sidecar and never reaches into it.
import type { Clock } from '../base/clock.ts'
import type { Logger, Registry } from '../base/telemetry.ts'
import type { RotationScope } from '../keys/rotation/rotation-run.ts'
import type { KmsClass } from '../kms/kms.ts'
import type { KeyOperationsControl } from './keys.ts'
import type { KmsValidation } from './kms-validation.ts'
import type { RevealControl } from './reveal.ts'

export interface AdminOptions {
  /** Bearer token of the admin calls; `undefined`: each of them is answered 401. */
  readonly token: { reveal(): string } | undefined
  /** Bearer token of `POST /api/admin/reveal` alone, a role of its own; the admin token does not open values. */
  readonly revealToken?: { reveal(): string } | undefined
  /** Where it listens; decides which hosts a request may name. */
  readonly endpoint?: { readonly host: string }
  /** Further names by which it may be asked, see `createHostCheck`. */
  readonly allowedHosts?: readonly string[]
  /** Largest request body, bytes. */
  readonly bodyBytesMax?: number
  /** How long a health check may take before it counts as down, ms. */
  readonly probeMsMax?: number
  /** How long a client may take to send its request, ms. */
  readonly requestMsMax?: number
}

export const ADMIN_DEFAULTS = {
  bodyBytesMax: 4 * 1024 * 1024,
  // Longer than one call to a key service may take, so that its own error is what is shown.
  probeMsMax: 6_000,
  requestMsMax: 15_000,
} as const

/** One line of a health answer. Neither `data` nor a failure's text may hold what was received or a secret. */
export interface HealthCheck {
  readonly name: string
  readonly isUp: boolean
  /** Printed as it is; a check that is down adds `error`, `error_type`, `help_url`. */
  readonly data?: Readonly<Record<string, string | number | boolean>>
}

/** One probe; its checks are answered in the order of the list. */
/** `exclude` names checks that the asker does not want, so that the expensive ones among them need not be made. */
export type HealthProbe = (
  abort: AbortSignal,
  exclude: readonly string[],
) => readonly HealthCheck[] | Promise<readonly HealthCheck[]>

export interface HealthProbes {
  /** Whether the process makes progress; a failure means: restart it. Must not depend on anything outside. */
  readonly live: HealthProbe
  /** Whether requests would be taken now. */
  readonly ready: HealthProbe
  /** Whether start-up is over. */
  readonly started: HealthProbe
}

export type KeyType = 'signing' | 'public' | 'encryption'

export interface CacheStatus {
  readonly size: number
  readonly sizeMax: number
  readonly hits: number
  readonly misses: number
}

export interface KmsStatus {
  readonly provider: string
  readonly masterKeyId: string
  readonly caches: Readonly<Record<KeyType, CacheStatus>>
  /** Name → the worst state over its master keys. */
  readonly breakers: ReadonlyMap<string, BreakerState>
  /** The breakers that are not closed, each with its master key. */
  readonly tripped: readonly {
    readonly name: string
    readonly masterKeyId: string
    readonly state: BreakerState
    readonly error: KmsClass | undefined
  }[]
  readonly lastRotationMs: number | undefined
  readonly lastError: LastError | undefined
  /** Sentences for an operator. */
  readonly issues: readonly string[]
}

type BreakerState = 'closed' | 'open' | 'half-open'

export interface LastError {
  readonly errorType: string
  readonly operation: string
  readonly helpUrl: string
  readonly atMs: number
}

export interface KmsControl {
  /** Runs every test of the key service; what fails is in the answer. */
  readonly validate: () => Promise<KmsValidation>
  /** Gets a tenant's signing key from the key service, past the cache; makes the first one. Rejects with a SidecarError. */
  readonly retrieveKey: (tenant: string) => Promise<void>
  /** Forgets one tenant's cached keys, or all. */
  readonly flush: (tenant: string | undefined) => void
  /** How many breakers of the name were not closed; `undefined`: no such name. */
  readonly resetBreaker: (name: string) => number | undefined
}

export interface RotationProgress {
  readonly isRunning: boolean
  /** Of this run, or of the last one; `undefined`: there was none. */
  readonly scope: RotationScope | undefined
  /** Of the run that follows this one. */
  readonly queued: RotationScope | undefined
  /** Tenants of this run, or of the last one. */
  readonly tenantCount: number
  readonly rotatedCount: number
  readonly failedCount: number
  /** Milliseconds since the epoch; `undefined` when nothing runs. */
  readonly estimatedEndMs: number | undefined
  /** The last check that came by itself, which is not what was asked for; `undefined`: there was none. */
  readonly lastCheck: RotationCheck | undefined
}

export interface RotationCheck {
  readonly isRunning: boolean
  readonly tenantCount: number
  readonly rotatedCount: number
  readonly failedCount: number
  readonly startedMs: number | undefined
}

export interface RotationControl {
  /**
   * Starts a run and does not wait for its end; a run under way that leaves these tenants out is followed by one. `isForced`:
   * also tenants whose keys are young enough.
   */
  readonly rotateAll: (options: {
    readonly isForced: boolean
    readonly staggerMs: number
  }) => Promise<void> | void
  readonly progress: () => RotationProgress | Promise<RotationProgress>
  /** Tenants whose signing key is over its age, oldest first. */
  readonly tenantsDue: () => Promise<
    readonly {
      readonly tenant: string
      readonly keyId: string
      readonly createdMs: number
      readonly ageDays: number
    }[]
  >
}

export interface PublicKeyView {
  readonly keyId: string
  readonly algorithm: string
  /** Raw public key. */
  readonly publicKey: Uint8Array
  readonly createdAtMs: number
  readonly notAfterMs: number | undefined
  readonly status: 'ACTIVE' | 'ROTATED' | 'REVOKED'
  readonly endorsedBy: string | undefined
  /** Base64, see proto/key-endorsement.md. */
  readonly endorsement: string | undefined
}

/** Figures of the status page. */
export interface Summary {
  readonly version: string
  readonly uptimeMs: number
  readonly queueBytesUsed: number
  readonly queueBytesMax: number
  readonly queuedItems: number
  /** Of all key look-ups, those that a cache answered, 0 to 1; `undefined` before the first. */
  readonly keyHitRatio: number | undefined
}

export interface AdminProbes {
  readonly log: Logger
  readonly registry: Registry
  readonly health: HealthProbes
  readonly clock: Clock
  readonly kmsStatus: () => KmsStatus | Promise<KmsStatus>
  readonly kmsControl: KmsControl
  /** Absent: the rotation calls answer 501. */
  readonly rotation?: RotationControl | undefined
  /** Absent: there are no calls that end or move keys. */
  readonly keyOperations?: KeyOperationsControl | undefined
  /** Absent: opening values over HTTP answers 501, as where no signature would witness it. */
  readonly reveal?: RevealControl | undefined
  /** `undefined`: no such tenant. */
  readonly publicKeys: (tenant: string) => readonly PublicKeyView[] | undefined
  /** An OTLP/JSON trace request in, a verdict that JSON can hold out. Throws MALFORMED for anything else. */
  readonly verifySpan: (body: Uint8Array, abort: AbortSignal) => Promise<object>
  readonly summary: () => Summary
}
