// What the admin server needs to know, as functions: it reads the sidecar and never reaches into it.
import type { Logger, Registry } from '../telemetry.ts'

export interface AdminOptions {
  /** Bearer token of the admin calls; `undefined`: each of them is answered 401. */
  readonly token: { reveal(): string } | undefined
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
export type HealthProbe = (abort: AbortSignal) => readonly HealthCheck[] | Promise<readonly HealthCheck[]>

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
  /** Name → state; empty where no breaker is built in. */
  readonly breakers: ReadonlyMap<string, 'closed' | 'open' | 'half-open'>
  readonly lastRotationMs: number | undefined
  readonly lastError: { readonly errorType: string; readonly atMs: number } | undefined
  /** Sentences for an operator. */
  readonly issues: readonly string[]
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
  readonly kmsStatus: () => KmsStatus | Promise<KmsStatus>
  /** `undefined`: no such tenant. */
  readonly publicKeys: (tenant: string) => readonly PublicKeyView[] | undefined
  /** An OTLP/JSON trace request in, a verdict that JSON can hold out. Throws MALFORMED for anything else. */
  readonly verifySpan: (body: Uint8Array, abort: AbortSignal) => Promise<object>
  readonly summary: () => Summary
}
