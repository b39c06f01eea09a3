import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../../../src/base/clock.ts'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { parseCheckCron } from '../../../../src/keys/rotation/check-schedule.ts'
import { ROTATION_DEFAULTS, Rotation, type RotationOptions } from '../../../../src/keys/rotation/rotation.ts'
import type { RotatedKeys } from '../../../../src/keys/rotation/tenant-rotator.ts'
import type { TenantKeyAge } from '../../../../src/keys/signing/signing-ages.ts'
import { KmsError } from '../../../../src/kms/kms.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { ManualClock } from '../../kms/manual-clock.ts'
import { build, DAY_MS, HOUR_MS, never } from '../keys-fixture.ts'
import { MemoryKeyStore } from '../memory-keystore.ts'

const MONDAY = '2026-11-23T07:00:00Z'

/** Keys whose ages are given and whose rotations are watched. */
function givenKeys(ages: Map<string, number>, clock: Clock) {
  const state = {
    ages,
    atOnce: 0,
    atOnceMax: 0,
    startedMs: [] as number[],
    rotated: [] as string[],
    failing: new Set<string>(),
    ms: 0,
  }
  const all = (): TenantKeyAge[] =>
    [...ages].map(([tenant, createdMs]) => ({ tenant, keyId: `key-${tenant}`, createdMs }))
  const keys = {
    rotatableTenants: async () => [...ages.keys()],
    tenantsNeedingRotation: async (withinMs = 0) =>
      all().filter(({ createdMs }) => clock.nowMs() - createdMs >= 90 * DAY_MS - withinMs),
    rotate: async (tenant: string): Promise<RotatedKeys> => {
      state.atOnceMax = Math.max(state.atOnceMax, ++state.atOnce)
      state.startedMs.push(clock.nowMs())
      await new Promise((resolve) => setTimeout(resolve, state.ms))
      state.atOnce--
      if (state.failing.has(tenant)) throw new KmsError('throttled', 'encrypt', 'told to')
      ages.set(tenant, clock.nowMs())
      state.rotated.push(tenant)
      return { tenant, signing: undefined, encryption: undefined, pseudonym: undefined }
    },
  }
  return { keys, state }
}

describe('the scheduler', () => {
  const clock: Clock = {
    nowMs: () => Date.now(),
    nowNs: () => BigInt(Date.now()) * 1_000_000n,
    monotonicMs: () => Date.now(),
  }
  beforeEach(() => void vi.useFakeTimers({ now: Date.parse(MONDAY) }))
  afterEach(() => void vi.useRealTimers())

  function scheduled(ages: Record<string, number>, options: Partial<RotationOptions> = {}, random = 0) {
    const given = givenKeys(
      new Map(Object.entries(ages).map(([tenant, days]) => [tenant, Date.now() - days * DAY_MS])),
      clock,
    )
    const { log } = silentTelemetry()
    const rotation = new Rotation(
      { keys: given.keys, clock, log, random: () => random },
      { ...ROTATION_DEFAULTS, ...options },
    )
    return { ...given, rotation }
  }

  test('catches up soon after the start, whatever the hour, and then waits for the hour', async () => {
    const { rotation, state } = scheduled({ late: 120, early: 10 })
    rotation.start()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(state.rotated).toEqual(['late'])
    expect(new Date(rotation.state().nextCheckMs!).toISOString()).toBe('2026-11-24T02:00:00.000Z')
    await vi.advanceTimersByTimeAsync(81 * DAY_MS)
    expect(state.rotated).toEqual(['late', 'early'])
    await rotation.stop()
  })

  test('a key is rotated in the night before its ninetieth day is over', async () => {
    const { rotation, state } = scheduled({ acme: 88 })
    rotation.start()
    await vi.advanceTimersByTimeAsync(42 * HOUR_MS)
    expect(state.rotated).toEqual([])
    await vi.advanceTimersByTimeAsync(2 * HOUR_MS)
    expect(state.rotated).toEqual(['acme'])
    await rotation.stop()
  })

  test('a check that failed, and is made up for by its retry, still comes before the ninetieth day is over', async () => {
    const { rotation, state } = scheduled({}, {}, 0.999)
    // Over at 02:48 in two nights, so the first night's check may leave it to the second's.
    state.ages.set('acme', Date.now() - 90 * DAY_MS + 43.8 * HOUR_MS)
    rotation.start()
    await vi.advanceTimersByTimeAsync(42 * HOUR_MS)
    state.failing.add('acme')
    await vi.advanceTimersByTimeAsync(1.1 * HOUR_MS)
    expect(rotation.state()).toMatchObject({ failed: 1 })
    state.failing.clear()
    await vi.advanceTimersByTimeAsync(0.7 * HOUR_MS)
    expect(state.rotated).toEqual(['acme'])
    await rotation.stop()
  })

  test('jitter moves the first check and each later one, within its bound', async () => {
    const { rotation, state } = scheduled({ late: 120 }, { jitterMsMax: 600_000 }, 0.5)
    rotation.start()
    await vi.advanceTimersByTimeAsync(299_999)
    expect(state.rotated).toEqual([])
    await vi.advanceTimersByTimeAsync(10)
    expect(state.rotated).toEqual(['late'])
    expect(new Date(rotation.state().nextCheckMs!).toISOString()).toBe('2026-11-24T02:05:00.000Z')
    await rotation.stop()
  })

  test('switched off, nothing happens by itself, and a request still rotates', async () => {
    const { rotation, state } = scheduled({ late: 120, early: 10 }, { enabled: false })
    rotation.start()
    await vi.advanceTimersByTimeAsync(30 * DAY_MS)
    expect(state.rotated).toEqual([])
    expect(rotation.state()).toMatchObject({ isEnabled: false, nextCheckMs: undefined })
    expect(rotation.rotateAll({ force: true })).toMatchObject({ isRunning: true })
    await vi.advanceTimersByTimeAsync(10)
    expect(state.rotated.toSorted()).toEqual(['early', 'late'])
    await rotation.stop()
  })

  test('one tenant’s failure is not another’s, and it is tried again in a quarter of an hour', async () => {
    const { rotation, state } = scheduled({ bad: 100, good: 100 })
    state.failing.add('bad')
    rotation.start()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(state.rotated).toEqual(['good'])
    expect(rotation.state()).toMatchObject({
      total: 2,
      rotated: 1,
      failed: 1,
      remaining: 0,
      failures: [{ tenant: 'bad', error: 'throttled' }],
    })
    const retryInMs = rotation.state().nextCheckMs! - Date.now()
    expect(retryInMs).toBeGreaterThan(14 * 60_000 - 1_000)
    expect(retryInMs).toBeLessThanOrEqual(15 * 60_000)
    state.failing.clear()
    await vi.advanceTimersByTimeAsync(15 * 60_000)
    expect(state.rotated).toEqual(['good', 'bad'])
    await rotation.stop()
  })

  test('few tenants at once, with progress and an estimate, and a second like request joins the first', async () => {
    const tenants = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`t${index}`, 100]))
    const { rotation, state } = scheduled(tenants, { tenantsAtOnceMax: 4 })
    state.ms = 1_000
    rotation.rotateAll()
    await vi.advanceTimersByTimeAsync(10_500)
    expect(rotation.rotateAll()).toMatchObject({ scope: 'overdue', queued: undefined })
    const progress = rotation.state()
    expect(progress).toMatchObject({ isRunning: true, total: 100, rotated: 40, remaining: 60 })
    expect(progress.estimatedEndMs! - progress.startedMs!).toBeGreaterThan(24_000)
    expect(progress.estimatedEndMs! - progress.startedMs!).toBeLessThan(28_000)
    await vi.advanceTimersByTimeAsync(20_000)
    await rotation.settled()
    expect(rotation.state()).toMatchObject({ isRunning: false, rotated: 100, remaining: 0 })
    expect(state.atOnceMax).toBe(4)
    expect(state.rotated).toHaveLength(100)
  })

  test('a forced request during a run over the overdue follows it, once, and takes every tenant', async () => {
    const { rotation, state } = scheduled({ late: 100, young: 10, new: 1 })
    state.ms = 1_000
    rotation.rotateAll()
    await vi.advanceTimersByTimeAsync(500)
    for (let request = 0; request < 3; request++)
      expect(rotation.rotateAll({ force: true })).toMatchObject({ scope: 'overdue', queued: 'all' })
    await vi.advanceTimersByTimeAsync(1_000)
    expect(rotation.state()).toMatchObject({ isRunning: true, scope: 'all', queued: undefined, total: 3 })
    await vi.advanceTimersByTimeAsync(10_000)
    expect(rotation.state()).toMatchObject({ isRunning: false, rotated: 3 })
    expect(state.rotated.toSorted()).toEqual(['late', 'late', 'new', 'young'])
  })

  test('a check that comes during a run over the overdue follows it, so that what is due soon is not left', async () => {
    const { rotation, state } = scheduled({ late: 100, soon: 89.5 })
    state.ms = 1_000
    rotation.rotateAll()
    await vi.advanceTimersByTimeAsync(10)
    const checked = rotation.check()
    await vi.advanceTimersByTimeAsync(5_000)
    await checked
    expect(state.rotated).toEqual(['late', 'soon'])
  })

  test('a check that comes after a request leaves its outcome in the state, and has its own place there', async () => {
    const { rotation, state } = scheduled({ late: 100, young: 10 })
    state.ms = 1_000
    state.failing.add('young')
    rotation.rotateAll({ force: true })
    await vi.advanceTimersByTimeAsync(5_000)
    const outcome = { reason: 'requested', scope: 'all', total: 2, rotated: 1, failed: 1, isRunning: false }
    expect(rotation.state()).toMatchObject({ ...outcome, lastCheck: undefined })
    const checked = rotation.check()
    expect(rotation.state()).toMatchObject({ ...outcome, lastCheck: { isRunning: true, scope: 'due' } })
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await checked).toMatchObject({ reason: 'scheduled', scope: 'due', total: 0, failed: 0 })
    expect(rotation.state()).toMatchObject({ ...outcome, lastCheck: { scope: 'due', total: 0 } })
    rotation.rotateAll()
    await vi.advanceTimersByTimeAsync(5_000)
    expect(rotation.state()).toMatchObject({ reason: 'requested', scope: 'overdue', total: 0, rotated: 0 })
  })

  test('a request during a check is told of while it waits, and before any request the check is', async () => {
    const { rotation, state } = scheduled({ late: 100, young: 10 })
    state.ms = 1_000
    const checked = rotation.check()
    await vi.advanceTimersByTimeAsync(10)
    expect(rotation.state()).toMatchObject({ scope: 'due', isRunning: true, total: 1 })
    expect(rotation.rotateAll({ force: true })).toMatchObject({
      scope: 'due',
      isRunning: true,
      queued: 'all',
    })
    await vi.advanceTimersByTimeAsync(10_000)
    await checked
    expect(rotation.state()).toMatchObject({
      scope: 'all',
      rotated: 2,
      isRunning: false,
      lastCheck: { rotated: 1 },
    })
  })

  test('a stagger spaces the starts of all tenants, whatever their number at once', async () => {
    const tenants = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`t${index}`, 100]))
    const { rotation, state } = scheduled(tenants)
    state.ms = 2_500
    const startMs = Date.now()
    rotation.rotateAll({ staggerMs: 1_000 })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(state.startedMs.map((ms) => ms - startMs)).toEqual(
      Array.from({ length: 12 }, (_, index) => index * 1_000),
    )
    expect(state.atOnceMax).toBe(3)
  })

  test('a stagger that is shorter than a rotation goes on as places get free', async () => {
    const tenants = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`t${index}`, 100]))
    const { rotation, state } = scheduled(tenants)
    state.ms = 10_000
    const startMs = Date.now()
    rotation.rotateAll({ staggerMs: 1_000 })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(state.startedMs.map((ms) => ms - startMs)).toEqual([
      0, 1_000, 2_000, 3_000, 10_000, 11_000, 12_000, 13_000,
    ])
  })

  test('stop ends the pauses of a stagger at once, and begins no tenant after them', async () => {
    const tenants = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`t${index}`, 100]))
    const { rotation, state } = scheduled(tenants)
    rotation.rotateAll({ staggerMs: 60_000 })
    rotation.rotateAll({ force: true })
    await vi.advanceTimersByTimeAsync(100)
    const startMs = Date.now()
    const stopped = rotation.stop().then(() => Date.now())
    await vi.advanceTimersByTimeAsync(10_000)
    expect((await stopped) - startMs).toBe(0)
    await vi.advanceTimersByTimeAsync(DAY_MS)
    expect(state.startedMs).toHaveLength(1)
    expect(rotation.state()).toMatchObject({ isRunning: false, rotated: 1, remaining: 11, queued: undefined })
  })

  test('stop takes up no further tenant, ends in time although one hangs, and starts nothing more', async () => {
    const { rotation, state } = scheduled({ a: 100, b: 100, c: 100 }, { tenantsAtOnceMax: 1 })
    state.ms = 2_000
    rotation.start()
    await vi.advanceTimersByTimeAsync(10)
    const stopped = rotation.stop()
    await vi.advanceTimersByTimeAsync(2_000)
    await stopped
    expect(state.rotated).toEqual(['a'])
    rotation.rotateAll({ force: true })
    await vi.advanceTimersByTimeAsync(30 * DAY_MS)
    expect(state.rotated).toEqual(['a'])
  })

  test('keys that cannot be listed are a failure that is tried again, not an end', async () => {
    const { rotation, state, keys } = scheduled({ late: 120 })
    const list = keys.tenantsNeedingRotation
    keys.tenantsNeedingRotation = async () => {
      throw new Error('store is closed')
    }
    rotation.start()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(rotation.state()).toMatchObject({ failed: 1, isRunning: false })
    keys.tenantsNeedingRotation = list
    await vi.advanceTimersByTimeAsync(30 * 60_000)
    expect(state.rotated).toEqual(['late'])
    await rotation.stop()
  })
})

test('with real keys: a check after downtime rotates what is overdue, once, and counts the calls', async () => {
  const kms = await DoorKms.open()
  const store = new MemoryKeyStore()
  const clock = new ManualClock()
  const before = await build({ kms, store, clock })
  for (let tenant = 0; tenant < 20; tenant++) await before.keys.loadSigningKey(`t${tenant}`, never)
  clock.advance(95 * DAY_MS)
  await before.keys.loadSigningKey('young', never)
  const { keys, logger, log } = await build({ kms, store, clock })
  kms.calls.length = 0
  const rotation = new Rotation({ keys, clock, log: logger }, { ...ROTATION_DEFAULTS, jitterMsMax: 0 })
  expect(await rotation.check()).toMatchObject({ total: 20, rotated: 20, failed: 0 })
  expect(await rotation.check()).toMatchObject({ total: 0, rotated: 0 })
  expect(kms.count('decrypt')).toBe(20)
  expect(kms.count('encrypt')).toBe(20)
  expect(log()).toContain('Key rotation complete')
  expect(keys.publicKeys('t0')).toHaveLength(2)
  expect(keys.publicKeys('young')).toHaveLength(1)
})

test('with real keys: all, by request, are those who sign and those who only seal', async () => {
  const { keys, clock, logger } = await build()
  await keys.loadSigningKey('signs', never)
  await keys.loadSealer('seals', never)
  await keys.loadSealer('signs', never)
  const before = [keys.sealer('seals'), keys.sealer('signs')]
  const rotation = new Rotation({ keys, clock, log: logger }, ROTATION_DEFAULTS)
  rotation.rotateAll()
  await rotation.settled()
  expect(rotation.state()).toMatchObject({ total: 0 })
  rotation.rotateAll({ force: true })
  await rotation.settled()
  expect(rotation.state()).toMatchObject({ total: 2, rotated: 2, failed: 0 })
  const after = [keys.sealer('seals'), keys.sealer('signs')]
  for (const [index, sealer] of after.entries()) expect(sealer).not.toBe(before[index])
  expect(keys.publicKeys('signs')).toHaveLength(2)
  expect(keys.publicKeys('seals')).toHaveLength(0)
  await rotation.stop()
})

test('with real keys: switched off, the metrics still tell of keys that are too old', async () => {
  const kms = await DoorKms.open()
  const store = new MemoryKeyStore()
  const clock = new ManualClock()
  await (await build({ kms, store, clock })).keys.loadSigningKey('acme', never)
  const madeSeconds = clock.ms / 1_000
  clock.advance(100 * DAY_MS)
  const { keys, logger, value } = await build({ kms, store, clock })
  const rotation = new Rotation({ keys, clock, log: logger }, { ...ROTATION_DEFAULTS, enabled: false })
  rotation.start()
  await vi.waitFor(async () => expect(await value('kms_rotation_overdue_tenants')).toBe('1'))
  expect(await value('kms_last_rotation_timestamp_seconds{key_type="signing"}')).toBe(String(madeSeconds))
  expect(keys.publicKeys('acme')).toHaveLength(1)
  await rotation.stop()
})

describe('the age that the alert looks at, under a regular schedule', () => {
  const RULES: [claim: string, line: string, days: number][] = [
    ['the defaults', ROTATION_DEFAULTS.checkCron, 90],
    ['a check a week', '0 0 2 ? * MON', 90],
    ['a check a month', '0 0 2 1 * ?', 90],
    ['a day of life and three checks a day', '0 0 0/8 * * ?', 1],
  ]
  for (const [claim, checkCron, days] of RULES)
    test(`never passes the limit that is exported: ${claim}`, async () => {
      const clock = new ManualClock()
      const { keys, logger, value } = await build({ clock, options: { signingKeyAgeMsMax: days * DAY_MS } })
      const random = (): number => (clock.ms % 997) / 997
      const rotation = new Rotation({ keys, clock, log: logger, random }, { ...ROTATION_DEFAULTS, checkCron })
      const schedule = parseCheckCron(checkCron)
      const limit = Number(await value('kms_rotation_max_age_seconds'))
      expect(limit).toBe((days * DAY_MS) / 1_000)
      let oldestSeconds = 0
      let checks = 0
      const endMs = clock.ms + 4 * days * DAY_MS
      for (let tenant = 0; clock.ms < endMs; tenant++) {
        // Tenants begin at every hour of the day; each keeps its key until a check takes it.
        if (tenant < 24) await keys.loadSigningKey(`t${tenant}`, never)
        const checkMs = schedule.nextMs(clock.ms)! + Math.floor(60_000 * random())
        clock.advance(Math.min(checkMs - clock.ms, tenant < 24 ? 61 * 60_000 : Number.POSITIVE_INFINITY))
        const oldest = Number(await value('kms_last_rotation_timestamp_seconds{key_type="signing"}'))
        oldestSeconds = Math.max(oldestSeconds, clock.ms / 1_000 - oldest)
        if (clock.ms < checkMs) continue
        await rotation.check()
        checks++
      }
      expect(checks).toBeGreaterThan(3)
      expect(oldestSeconds).toBeLessThanOrEqual(limit)
      expect(oldestSeconds).toBeGreaterThan(limit / 2)
      await rotation.stop()
    })

  test('is not kept young by rotating at every start, where checks are rarer than keys are old', async () => {
    const clock = new ManualClock()
    const { keys, logger } = await build({ clock })
    await keys.loadSigningKey('acme', never)
    for (let start = 0; start < 44; start++) {
      const rotation = new Rotation(
        { keys, clock, log: logger },
        { ...ROTATION_DEFAULTS, checkCron: '0 0 2 1 1 ?' },
      )
      clock.advance(DAY_MS)
      expect(await rotation.check()).toMatchObject({ total: 0 })
    }
  })
})
