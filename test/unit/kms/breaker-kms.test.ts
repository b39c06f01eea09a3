import { expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys } from '../../../src/keys/keys.ts'
import { BreakerOpenError } from '../../../src/kms/breaker.ts'
import { BREAKER_NAMES } from '../../../src/kms/breaker-kms.ts'
import { KmsError } from '../../../src/kms/kms.ts'
import { MemoryKeyStore } from '../keys/memory-keystore.ts'
import { generate, guarded, never, trip } from './guarded-kms.ts'
import { DoorKms } from './key-service.ts'

test("one tenant's dead master key leaves the others untouched, and the gauge shows the worst", async () => {
  const { kms, guard, gauge } = await guarded()
  kms.fail('key_disabled')
  await trip(guard, 'byok')
  kms.failure = undefined
  const before = kms.calls.length
  await expect(generate(guard, 'byok')).rejects.toBeInstanceOf(BreakerOpenError)
  expect(kms.calls).toHaveLength(before)
  for (const tenant of ['a', 'b', '__proto__']) await generate(guard, tenant)
  expect(guard.states()).toEqual(
    new Map([
      ['kms-signing-key', 'closed'],
      ['kms-public-key', 'closed'],
      ['kms-encryption-key', 'open'],
    ]),
  )
  expect(guard.tripped()).toEqual([
    {
      name: 'kms-encryption-key',
      masterKeyId: kms.masterKeyOf('byok'),
      state: 'open',
      error: 'key_disabled',
    },
  ])
  expect(await Promise.all(BREAKER_NAMES.map(gauge))).toEqual([0, 0, 1])
})

test.each([
  ['pii', 'kms-encryption-key'],
  ['signing', 'kms-signing-key'],
  ['pseudonym', 'kms-signing-key'],
  ['secret', 'kms-signing-key'],
] as const)('calls for %s keys are watched by %s alone', async (purpose, name) => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  await trip(guard, 'a', purpose)
  for (const each of BREAKER_NAMES) expect(guard.states().get(each)).toBe(each === name ? 'open' : 'closed')
})

test('describe is watched by kms-public-key', async () => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  for (let count = 0; count < 10; count++) await guard.describe(never).catch(() => {})
  await expect(guard.describe(never)).rejects.toBeInstanceOf(BreakerOpenError)
  expect(guard.states().get('kms-public-key')).toBe('open')
})

test('a probe asks the service itself: it trips nothing, and an open breaker does not turn it away', async () => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  await trip(guard, 'a', 'probe')
  expect([...guard.states().values()]).toEqual(['closed', 'closed', 'closed'])
  await trip(guard, 'a')
  kms.failure = undefined
  await expect(generate(guard, 'a', 'probe')).resolves.toHaveProperty('wrapped')
})

test('the worst of open and half-open is open; the gauge says 0, 1, 2', async () => {
  const { kms, guard, gauge } = await guarded()
  kms.fail('network')
  await trip(guard, 'byok')
  await vi.advanceTimersByTimeAsync(3_000)
  await trip(guard, 'a')
  expect(await gauge('kms-encryption-key')).toBe(1)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(guard.tripped().map(({ state }) => state)).toEqual(['open', 'half-open']) // the newest first
  expect(await gauge('kms-encryption-key')).toBe(1)
  await vi.advanceTimersByTimeAsync(3_000)
  expect(await gauge('kms-encryption-key')).toBe(2)
  kms.failure = undefined
  for (const tenant of ['byok', 'a']) for (let count = 0; count < 3; count++) await generate(guard, tenant)
  expect(await gauge('kms-encryption-key')).toBe(0)
})

test('a call that hangs has failed after its time, and ten of them open the breaker', async () => {
  const { kms, guard } = await guarded()
  kms.gate = new Promise(() => {})
  const hung = Array.from({ length: 10 }, () => generate(guard, 'a').catch((thrown: unknown) => thrown))
  await vi.advanceTimersByTimeAsync(5_000)
  for (const error of await Promise.all(hung))
    expect(error).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 5000ms' })
  expect(guard.states().get('kms-encryption-key')).toBe('open')
})

test('reset closes every breaker of its name and no other, and says how many were not closed', async () => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  for (const tenant of ['a', 'byok']) {
    await trip(guard, tenant)
    await trip(guard, tenant, 'signing')
  }
  kms.failure = undefined
  expect(guard.reset('kms-encryption-key')).toBe(2)
  expect(guard.reset('kms-encryption-key')).toBe(0)
  expect(guard.reset('constructor')).toBeUndefined()
  await expect(generate(guard, 'a')).resolves.toHaveProperty('wrapped')
  await expect(generate(guard, 'a', 'signing')).rejects.toBeInstanceOf(BreakerOpenError)
})

test('state survives nothing: a new process starts closed', async () => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  await trip(guard, 'a')
  kms.failure = undefined
  const { guard: next } = await guarded({}, kms)
  expect([...next.states().values()]).toEqual(['closed', 'closed', 'closed'])
  await expect(generate(next, 'a')).resolves.toHaveProperty('wrapped')
})

test('of two thousand master keys a thousand are watched, and no open breaker is forgotten for a closed one', async () => {
  const { kms, guard } = await guarded()
  const unwrap = (id: number) =>
    guard.unwrap(new Uint8Array(8), `key-${id}`, { tenantId: 'a', purpose: 'pii' }, never).catch(() => {})
  const fail = async (id: number, times: number): Promise<void> => {
    kms.fail('key_not_found')
    for (let count = 0; count < times; count++) await unwrap(id)
    kms.fail('invalid_ciphertext')
  }
  const tripped = () => guard.tripped().map(({ masterKeyId }) => masterKeyId)
  await fail(0, 10)
  for (let id = 1; id < 2_000; id++) await unwrap(id)
  expect(tripped()).toEqual(['key-0'])
  // One that was used lately is not the one to go: its nine failures are remembered.
  await fail(1_500, 9)
  for (let id = 2_000; id < 2_998; id++) await unwrap(id)
  await fail(1_500, 1)
  expect(tripped()).toEqual(['key-1500', 'key-0'])
})

test('where a thousand breakers are open, one more key is not watched until they are reset', async () => {
  const { kms, guard } = await guarded()
  kms.fail('network')
  const unwrap = (id: number) =>
    guard.unwrap(new Uint8Array(8), `key-${id}`, { tenantId: 'a', purpose: 'pii' }, never).catch(() => {})
  for (let id = 0; id < 1_000; id++) for (let count = 0; count < 10; count++) await unwrap(id)
  const before = kms.calls.length
  for (let count = 0; count < 20; count++) await unwrap(1_000)
  expect(kms.calls.length - before).toBe(20)
  expect(guard.tripped()).toHaveLength(1_000)
  expect(guard.reset('kms-encryption-key')).toBe(1_000)
  for (let count = 0; count < 20; count++) await unwrap(1_000)
  expect(guard.tripped()).toMatchObject([{ masterKeyId: 'key-1000', state: 'open' }])
  expect(kms.calls.length - before).toBe(30)
})

test('asymmetric calls are offered exactly where the provider has them', async () => {
  const { guard } = await guarded()
  expect([guard.sign, guard.publicKey]).toEqual([undefined, undefined])
  const door = Object.assign(await DoorKms.open(), {
    sign: async (message: Uint8Array) => message,
    publicKey: () => Promise.reject(new KmsError('access_denied', 'get_public_key', 'no')),
  })
  const { guard: able } = await guarded({}, door)
  expect(await able.sign!(Uint8Array.of(7), 'k', never)).toEqual(Uint8Array.of(7))
  for (let count = 0; count < 10; count++) await able.publicKey!('k', never).catch(() => {})
  expect(able.tripped()).toMatchObject([{ name: 'kms-public-key', masterKeyId: 'k' }])
})

test('a cached key never meets a breaker, and turned-away calls count as no call', async () => {
  const { kms, guard, registry } = await guarded()
  const { log } = silentTelemetry()
  const keys = new Keys(
    { kms: guard, store: new MemoryKeyStore(), clock: systemClock, log, registry },
    { ...KEYS_DEFAULTS, dataClasses: ['person'] },
  )
  await keys.loadSealer('a', never)
  await keys.loadSigningKey('a', never)
  const asked = kms.calls.length
  kms.fail('network')
  for (const tenant of Array.from({ length: 30 }, (_, index) => `t${index}`)) {
    await keys.loadSealer(tenant, never).catch(() => {})
    await keys.loadSigningKey(tenant, never).catch(() => {})
  }
  expect([guard.states().get('kms-encryption-key'), guard.states().get('kms-signing-key')]).toEqual([
    'open',
    'open',
  ])
  // One success and nine failures fill each of the two windows.
  expect(kms.calls).toHaveLength(asked + 18)
  for (let count = 0; count < 1_000; count++) {
    expect(keys.sealer('a')).toBeDefined()
    expect(keys.signingKey('a')).toBeDefined()
  }
  await expect(keys.loadSealer('a', never)).resolves.toBeDefined()
  expect(kms.calls).toHaveLength(asked + 18)
  const page = await registry.metrics()
  const sum = (name: string) =>
    page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  expect(sum('kms_requests_total')).toBe(kms.calls.length)
  expect(sum('kms_errors_total')).toBe(18)
  expect(sum('circuit_breaker_rejections_total')).toBe(42)
  // What the service said last stands, not that nobody asked it.
  expect(keys.status().lastError).toMatchObject({ error: 'network' })
  await keys.close()
})
