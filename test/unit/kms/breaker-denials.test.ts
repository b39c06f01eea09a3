// A policy may allow one master key tenant by tenant, by encryption context (deploy/terraform makes such policies). So a
// denial says something of who was denied, and what it says of others nobody knows before they ask.
import { expect, test, vi } from 'vitest'
import { BreakerOpenError } from '../../../src/kms/breaker.ts'
import { KmsError } from '../../../src/kms/kms.ts'
import { generate, guarded, trip } from './guarded-kms.ts'
import type { DoorKms } from './key-service.ts'

const NAME = 'kms-encryption-key'

/** As a policy by encryption context does. */
function denyTenants(kms: DoorKms, denied: ReadonlySet<string>): void {
  Object.defineProperty(kms, 'failure', {
    configurable: true,
    get: () => {
      const tenant = kms.calls.at(-1)?.context?.tenantId
      const isDenied = tenant !== undefined && denied.has(tenant)
      return isDenied ? new KmsError('access_denied', 'generate_data_key', 'not authorized') : undefined
    },
  })
}

const twelve = (): Set<string> => new Set(Array.from({ length: 12 }, (_, index) => `denied-${index}`))

test('twelve denied tenants of a shared master key turn away neither who was served before nor who is new', async () => {
  const { kms, guard, gauge } = await guarded()
  await generate(guard, 'served')
  await vi.advanceTimersByTimeAsync(3_600_000)
  const denied = twelve()
  denyTenants(kms, denied)
  for (let round = 0; round < 20; round++) {
    for (const tenant of denied)
      await expect(generate(guard, tenant)).rejects.toMatchObject({
        kmsClass: 'access_denied',
        isRetryable: false,
      })
    for (const tenant of ['served', `new-${round}`])
      await expect(generate(guard, tenant)).resolves.toHaveProperty('wrapped')
    await vi.advanceTimersByTimeAsync(700)
  }
  expect(await gauge(NAME)).toBe(1)
  expect(guard.tripped()).toEqual([
    { name: NAME, masterKeyId: kms.masterKeyId, state: 'open', error: 'access_denied' },
  ])
})

test('who was denied makes no call while the breaker is open, and one each time it lets calls through', async () => {
  const { kms, guard } = await guarded()
  const denied = twelve()
  denyTenants(kms, denied)
  for (const tenant of denied) await generate(guard, tenant).catch(() => {})
  expect(guard.states().get(NAME)).toBe('open')
  for (let period = 0; period < 3; period++) {
    const before = kms.calls.length
    for (let round = 0; round < 50; round++) {
      for (const tenant of denied) await expect(generate(guard, tenant)).rejects.toThrow(KmsError)
      await vi.advanceTimersByTimeAsync(100)
    }
    expect(kms.calls.length - before).toBe(period === 0 ? 0 : denied.size)
  }
})

test('a tenant that is allowed again is served within one period, also while others stay denied', async () => {
  const { kms, guard } = await guarded()
  const denied = twelve()
  denyTenants(kms, denied)
  for (let round = 0; round < 3; round++)
    for (const tenant of [...denied]) await generate(guard, tenant).catch(() => {})
  denied.delete('denied-7')
  await expect(generate(guard, 'denied-7')).rejects.toBeInstanceOf(BreakerOpenError)
  await vi.advanceTimersByTimeAsync(5_000)
  for (const tenant of denied) await expect(generate(guard, tenant)).rejects.toThrow(KmsError)
  await expect(generate(guard, 'denied-7')).resolves.toHaveProperty('wrapped')
  await expect(generate(guard, 'denied-7')).resolves.toHaveProperty('wrapped')
})

test('when nobody is allowed any more it opens, and three that are allowed again close it', async () => {
  const { kms, guard, gauge } = await guarded()
  kms.fail('access_denied')
  for (let tenant = 0; tenant < 10; tenant++) {
    expect(await gauge(NAME)).toBe(0)
    await generate(guard, `t${tenant}`).catch(() => {})
  }
  expect(await gauge(NAME)).toBe(1)
  kms.failure = undefined
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await gauge(NAME)).toBe(2)
  for (const tenant of ['t0', 't1', 't2']) await generate(guard, tenant)
  expect(await gauge(NAME)).toBe(0)
  expect(guard.tripped()).toEqual([])
})

test('an outage is everybody’s all the same, denied or not', async () => {
  const { kms, guard } = await guarded()
  const denied = twelve()
  denyTenants(kms, denied)
  for (const tenant of denied) await generate(guard, tenant).catch(() => {})
  Object.defineProperty(kms, 'failure', { value: undefined, writable: true, configurable: true })
  kms.fail('network')
  await trip(guard, 'served')
  kms.failure = undefined
  const before = kms.calls.length
  for (const tenant of ['served', 'new', 'denied-3'])
    await expect(generate(guard, tenant)).rejects.toBeInstanceOf(BreakerOpenError)
  expect(kms.calls).toHaveLength(before)
  expect(guard.tripped().map(({ error }) => error)).toEqual(['network', 'access_denied'])
})

test.each(['key_disabled', 'key_not_found'] as const)(
  '%s is about the master key, and so everybody’s',
  async (kmsClass) => {
    const { kms, guard } = await guarded()
    kms.fail(kmsClass)
    await trip(guard, 'a')
    kms.failure = undefined
    await expect(generate(guard, 'b')).rejects.toBeInstanceOf(BreakerOpenError)
  },
)

test('reset forgets who was denied', async () => {
  const { kms, guard } = await guarded()
  kms.fail('access_denied')
  await trip(guard, 'a')
  kms.failure = undefined
  await expect(generate(guard, 'a')).rejects.toBeInstanceOf(BreakerOpenError)
  expect(guard.reset(NAME)).toBe(1)
  await expect(generate(guard, 'a')).resolves.toHaveProperty('wrapped')
})

test('of very many denied tenants the first are forgotten, which costs a call each and no room', async () => {
  const { kms, guard } = await guarded()
  kms.fail('access_denied')
  for (let tenant = 0; tenant < 3_000; tenant++) await generate(guard, `t${tenant}`).catch(() => {})
  const before = kms.calls.length
  await generate(guard, 't2999').catch(() => {})
  expect(kms.calls).toHaveLength(before)
  await generate(guard, 't0').catch(() => {})
  expect(kms.calls).toHaveLength(before + 1)
})
