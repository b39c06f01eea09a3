// The control over real keys, a real rotation and the local key service.
import { afterEach, expect, test } from 'vitest'
import { createKmsControl, createRotationControl } from '../../../src/admin/kms-control.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys } from '../../../src/keys/keys.ts'
import { ROTATION_DEFAULTS, Rotation } from '../../../src/keys/rotation/rotation.ts'
import { MemoryKeyStore } from '../keys/memory-keystore.ts'
import { DoorKms } from '../kms/key-service.ts'
import { ManualClock } from '../kms/manual-clock.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
const never = new AbortController().signal
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function create() {
  const kms = await DoorKms.open()
  const clock = new ManualClock()
  const store = new MemoryKeyStore()
  const { log } = silentTelemetry()
  const keys = new Keys(
    { kms, store, clock, log, registry: new Registry() },
    { ...KEYS_DEFAULTS, dataClasses: ['email'] },
  )
  closers.push(() => keys.close())
  let workingCount = 0
  const control = createKmsControl({
    keys,
    keyStore: store,
    kms,
    guardedKms: { reset: (name) => (name === 'kms-signing-key' ? 0 : undefined) },
    defaultTenant: 'default',
    clock,
    onWorking: () => workingCount++,
  })
  const rotation = new Rotation({ keys, clock, log }, ROTATION_DEFAULTS)
  closers.push(() => rotation.stop())
  const workings = () => workingCount
  return {
    kms,
    clock,
    keys,
    control,
    rotation,
    rotationControl: createRotationControl(rotation, { keys, clock }),
    workings,
  }
}

test('a retrieval asks the key service each time and leaves the cache as it is', async () => {
  const { kms, keys, control } = await create()
  await keys.loadSigningKey('acme', new AbortController().signal)
  const cached = keys.signingKey('acme')
  expect(cached).toBeDefined()
  for (const count of [1, 2]) {
    await control.retrieveKey('acme')
    expect(kms.count('decrypt')).toBe(count)
  }
  expect(keys.signingKey('acme')).toBe(cached)
  kms.fail('network')
  await expect(control.retrieveKey('acme')).rejects.toMatchObject({ kmsClass: 'network' })
  expect(keys.signingKey('acme')).toBe(cached)
})

test('a retrieval for a tenant that has no key proves the key service, and makes none', async () => {
  const { kms, keys, control } = await create()
  await control.retrieveKey('mistyped')
  expect(kms.calls.map(({ operation, context }) => `${operation} ${context?.purpose}`)).toEqual([
    'generate_data_key probe',
    'decrypt probe',
  ])
  expect(keys.publicKeys('mistyped')).toEqual([])
})

test('readiness hears of a service that works, and not of one that does not', async () => {
  const { kms, control, workings } = await create()
  kms.fail('timeout')
  await control.validate()
  await control.retrieveKey('acme').catch(() => {})
  expect(workings()).toBe(0)
  kms.failure = undefined
  await control.validate()
  await control.retrieveKey('other')
  expect(workings()).toBe(2)
})

test('a validation makes one record, however often it runs', async () => {
  const { keys, control } = await create()
  for (let count = 0; count < 3; count++) {
    const { results } = await control.validate()
    expect(Object.values(results).map(({ error }) => error)).toEqual(Array(5).fill(undefined))
  }
  expect(keys.publicKeys('default')).toHaveLength(1)
})

test('rotation by admin call: who is due, a run over those, and a forced one over all', async () => {
  const { clock, keys, rotation, rotationControl } = await create()
  await keys.loadSigningKey('old', never)
  clock.advance(91 * DAY_MS)
  await keys.loadSigningKey('young', never)
  expect(await rotationControl.progress()).toMatchObject({ isRunning: false, scope: undefined })
  expect(await rotationControl.tenantsDue()).toEqual([
    {
      tenant: 'old',
      keyId: keys.publicKeys('old')[0]!.keyId,
      createdMs: clock.ms - 91 * DAY_MS,
      ageDays: 91,
    },
  ])
  await rotationControl.rotateAll({ isForced: false, staggerMs: 0 })
  expect((await rotationControl.progress()).isRunning).toBe(true)
  await rotation.settled()
  expect(await rotationControl.progress()).toMatchObject({
    isRunning: false,
    tenantCount: 1,
    rotatedCount: 1,
    failedCount: 0,
  })
  expect(await rotationControl.tenantsDue()).toEqual([])
  expect(await rotationControl.progress()).toMatchObject({ scope: 'overdue', queued: undefined })
  await rotationControl.rotateAll({ isForced: false, staggerMs: 0 })
  await rotationControl.rotateAll({ isForced: true, staggerMs: 0 })
  expect(await rotationControl.progress()).toMatchObject({ scope: 'overdue', queued: 'all' })
  await rotation.settled()
  expect(await rotationControl.progress()).toMatchObject({ tenantCount: 2, rotatedCount: 2 })
  expect([keys.publicKeys('old').length, keys.publicKeys('young').length]).toEqual([3, 2])
})
