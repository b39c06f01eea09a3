import type { AdminOptions, AdminProbes, CacheStatus } from '../../../src/admin/options.ts'
import { createAdmin } from '../../../src/admin/server.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'

export const TOKEN = 'correct-horse'
export const REVEAL_TOKEN = 'battery-staple'
const cache = (size: number, hits: number, misses: number): CacheStatus => ({
  size,
  sizeMax: 1000,
  hits,
  misses,
})

/** A whole admin server over figures of our own; a test replaces what it is about. */
export function admin(probes: Partial<AdminProbes> = {}, options: Partial<AdminOptions> = {}) {
  const { log } = silentTelemetry()
  const all: AdminProbes = {
    log,
    registry: new Registry(),
    health: { live: () => [], ready: () => [], started: () => [] },
    kmsStatus: () => ({
      provider: 'local',
      masterKeyId: 'local/1',
      caches: { signing: cache(2, 999, 1), public: cache(0, 0, 0), encryption: cache(3, 3, 1) },
      breakers: new Map([['kms-signing-key', 'closed']]),
      tripped: [],
      lastRotationMs: undefined,
      lastError: undefined,
      issues: [],
    }),
    clock: systemClock,
    kmsControl: {
      validate: () => Promise.reject(new Error('not asked for')),
      retrieveKey: () => Promise.reject(new Error('not asked for')),
      flush: () => undefined,
      resetBreaker: () => undefined,
    },
    publicKeys: () => undefined,
    verifySpan: async () => {
      throw new SidecarError('MALFORMED', 'not a trace request')
    },
    summary: () => ({
      version: '1.2.3',
      uptimeMs: 61_000,
      queueBytesUsed: 0,
      queueBytesMax: 1024 ** 3,
      queuedItems: 0,
      keyHitRatio: undefined,
    }),
    ...probes,
  }
  return createAdmin(
    { token: { reveal: () => TOKEN }, revealToken: { reveal: () => REVEAL_TOKEN }, ...options },
    all,
  )
}
