// Requests of many tenants wait for their keys while the key service is away. Time is counted in the breaker's own
// periods: whatever is configured, its return is noticed by the next trial, and that trial serves everybody.
import { expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys } from '../../../src/keys/keys.ts'
import { KeyResolver } from '../../../src/pipeline/request-keys.ts'
import { MemoryKeyStore } from '../keys/memory-keystore.ts'
import { guarded, OPEN_MS } from '../kms/guarded-kms.ts'
import { DoorKms } from '../kms/key-service.ts'

/** The longest pause that a waiting request makes between two tries. */
const RETRY_MS_MAX = 1_000
const CALL_MS = 40
const TENANTS = Array.from({ length: 60 }, (_, index) => `tenant-${index}`)
const abort = new AbortController().signal

async function open() {
  const door = await DoorKms.open()
  Object.defineProperty(door, 'gate', { get: () => new Promise((resolve) => setTimeout(resolve, CALL_MS)) })
  const { guard, registry } = await guarded({}, door)
  const keys = new Keys(
    { kms: guard, store: new MemoryKeyStore(), clock: systemClock, log: silentTelemetry().log, registry },
    { ...KEYS_DEFAULTS, dataClasses: ['person'] },
  )
  onTestFinished(() => keys.close())
  const desk = new KeyResolver({
    keys,
    clock: systemClock,
    onKmsFailure: 'refuse',
    startWaiting: () => () => undefined,
  })
  return { door, guard, keys, desk }
}

test.each([
  // [ms from one request's start to the next's, ms that the outage lasts, ms from the first that is served to the last]
  [0, 20_000, 2 * CALL_MS],
  [0, 33_333, 2 * CALL_MS],
  [17, 31_000, RETRY_MS_MAX],
])(
  'requests %i ms apart, an outage of %i ms: within a period the first is served, within %i ms the last, by one call each',
  async (apartMs, outageMs, spreadMsMax) => {
    const { door, guard, keys, desk } = await open()
    for (let outage = 1; outage <= 3; outage++) {
      door.fail('network')
      const servedMs: number[] = []
      let returnedMs = Number.POSITIVE_INFINITY
      for (const tenant of TENANTS) {
        const wait = desk.open({ deadlineMs: 1e9, abort })
        void wait
          .load([{ tenant, key: 'encryption' }])
          .then(() => servedMs.push(performance.now() - returnedMs))
        await vi.advanceTimersByTimeAsync(apartMs)
      }
      await vi.advanceTimersByTimeAsync(outageMs)
      expect(guard.states().get('kms-encryption-key')).not.toBe('closed')
      expect(servedMs).toEqual([])

      const before = door.calls.length
      door.failure = undefined
      returnedMs = performance.now()
      await vi.advanceTimersByTimeAsync(OPEN_MS + RETRY_MS_MAX + 2 * CALL_MS)
      expect(servedMs).toHaveLength(TENANTS.length)
      expect(servedMs.at(-1)! - servedMs[0]!).toBeLessThanOrEqual(spreadMsMax)
      expect(door.calls.length - before).toBe(TENANTS.length)
      expect(guard.states().get('kms-encryption-key')).toBe('closed')
      keys.flush()
    }
  },
)
