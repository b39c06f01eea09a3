// A key service behind its door, behind breakers, on timers that the test moves.
import { afterEach, beforeEach, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import type { KeyPurpose } from '../../../src/formats/key-context.ts'
import { BreakerKms, type BreakerKmsSettings } from '../../../src/kms/breaker-kms.ts'
import type { Kms } from '../../../src/kms/kms.ts'
import { DoorKms } from './key-service.ts'

export const never = new AbortController().signal
export const OPEN_MS = 5_000
const OPTIONS = { requestsMin: 10, failurePercent: 50, openMs: OPEN_MS, successesToClose: 3 }
const closers: (() => Promise<void>)[] = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  vi.useRealTimers()
})

/** Tenant `byok` has a master key of its own. */
export async function guarded(overrides: Partial<BreakerKmsSettings> = {}, door?: DoorKms) {
  const kms = door ?? (await DoorKms.open({ tenantKeyMapping: new Map([['byok', 'key-of-byok']]) }))
  const registry = new Registry()
  const guard = new BreakerKms({
    kms,
    options: OPTIONS,
    requestMsMax: 5_000,
    clock: systemClock,
    log: silentTelemetry().log,
    registry,
    ...overrides,
  })
  closers.push(() => guard.close())
  const gauge = async (name: string): Promise<number> => {
    const line = (await registry.metrics()).split('\n').find((each) => each.includes(`{name="${name}"}`))
    return Number(line?.split(' ').at(-1))
  }
  return { kms, guard, gauge, registry }
}

export const generate = (kms: Kms, tenantId: string, purpose: KeyPurpose = 'pii') =>
  kms.generateDataKey({ tenantId, purpose }, never)

export async function trip(kms: Kms, tenantId: string, purpose: KeyPurpose = 'pii'): Promise<void> {
  for (let count = 0; count < 10; count++) await generate(kms, tenantId, purpose).catch(() => {})
}
