// The health check of the key service says what a request would get now, and hears of a mend by itself.
import { afterEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { KmsClass } from '../../../src/kms/kms.ts'
import { DoorKms } from '../kms/key-service.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const MINUTE_MS = 60_000
const PERSONAL = JSON.stringify({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: '0123456789abcdef0123456789abcdef',
              spanId: '00000000000000a1',
              name: 'GET /visits',
              attributes: [{ key: 'user.email', value: { stringValue: 'somebody@clinic.example' } }],
            },
          ],
        },
      ],
    },
  ],
})

const running: TestSidecar[] = []
afterEach(async () => {
  for (const sidecar of running.splice(0)) {
    await sidecar.stop()
    sidecar.remove()
  }
})

async function start(sets: readonly string[] = []) {
  let skippedMs = 0
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + skippedMs }
  const door = await DoorKms.open()
  const all = ['processors.signing.select=all', 'service.limits.wait_max=3s', ...sets]
  const sidecar = await startSidecar(all, undefined, { openKms: async () => door, clock })
  running.push(sidecar)
  await sidecar.until('the first readiness check', () => door.count('describe_key') === 1)
  const send = async (tenant = 'acme'): Promise<number> =>
    (await sidecar.post('/v1/traces', PERSONAL, 'application/json', { 'x-betrace-tenant': tenant })).status
  const health = async (query = '') => {
    const answer = await sidecar.get(`/q/health/ready${query}`)
    const { checks } = (await answer.json()) as { checks: { name: string; data?: { error_type?: string } }[] }
    return [answer.status, checks.find(({ name }) => name === 'kms')?.data?.error_type]
  }
  const skip = (ms: number): void => {
    skippedMs += ms
  }
  return { sidecar, door, send, health, skip }
}

/** Fails the kind of call that a request needs: what makes data keys, or what opens a stored key. */
const KINDS = [
  { operation: 'generate_data_key', sets: [] },
  { operation: 'decrypt', sets: [] },
  { operation: 'decrypt', sets: ['processors.pii.tenant_secret=true'] },
] as const
const REFUSALS = ['access_denied', 'key_disabled', 'key_not_found'] satisfies KmsClass[]

describe.each(KINDS)('$operation fails, $sets', ({ operation, sets }) => {
  test.each(REFUSALS)(
    '%s: down from expiry on, and up after the mend without any request',
    async (refusal) => {
      const { door, send, health, skip } = await start(sets)
      expect(await send()).toBe(200)
      door.fail(refusal, operation)
      expect(await health()).toEqual([200, undefined])
      // Expired, and still in the cache: a refused key has no grace.
      skip(61 * MINUTE_MS)
      expect(await send()).toBe(503)
      expect(await health()).toEqual([503, refusal])
      expect(await health('?exclude=kms')).toEqual([200, undefined])
      door.failure = undefined
      skip(11_000)
      expect(await health()).toEqual([200, undefined])
      expect(await send()).toBe(200)
    },
  )
})

test('an outage of one kind of call leaves health up while expired keys serve in their grace, and down after it', async () => {
  const { door, send, health, skip } = await start()
  expect(await send()).toBe(200)
  door.fail('throttled', 'generate_data_key')
  skip(61 * MINUTE_MS)
  expect(await send()).toBe(200)
  expect(await health()).toEqual([200, undefined])
  skip(15 * MINUTE_MS)
  expect(await send()).toBe(503)
  expect(await health()).toEqual([503, 'throttled'])
})

test('a healthy service is asked once a minute, a failed call at most every ten seconds, however often health is asked', async () => {
  const { door, send, health, skip } = await start()
  expect(await send()).toBe(200)
  const healthy = door.calls.length
  for (let minute = 0; minute < 5; minute++) {
    for (let count = 0; count < 20; count++) await health()
    skip(MINUTE_MS)
  }
  expect(door.calls.length - healthy).toBeLessThanOrEqual(5)
  skip(61 * MINUTE_MS)
  door.fail('access_denied', 'generate_data_key')
  expect(await send()).toBe(503)
  const failing = door.count('generate_data_key')
  for (let round = 0; round < 6; round++) {
    for (let count = 0; count < 20; count++) expect(await health()).toEqual([503, 'access_denied'])
    skip(10_000)
  }
  const perRound = 2 // the tenant that was refused, and the default one
  expect(door.count('generate_data_key') - failing).toBeLessThanOrEqual(6 * perRound)
  expect(door.count('generate_data_key') - failing).toBeGreaterThanOrEqual(6)
})

test('a check that failed is made again within seconds, not a minute after', async () => {
  const { door, health, skip } = await start()
  expect(await health()).toEqual([200, undefined])
  skip(MINUTE_MS)
  door.fail('access_denied', 'describe_key')
  expect(await health()).toEqual([503, 'access_denied'])
  door.failure = undefined
  expect(await health()).toEqual([503, 'access_denied'])
  skip(10_000)
  expect(await health()).toEqual([200, undefined])
})

test('who was never allowed does not keep health down for those who are', async () => {
  const { door, send, health, skip } = await start()
  door.refused = { tenant: 'stranger', kmsClass: 'access_denied' }
  expect(await send('stranger')).toBe(503)
  skip(11_000)
  expect(await health()).toEqual([200, undefined])
})

test('trying again leaves no key and no announcement behind', async () => {
  const { sidecar, door, send, health, skip } = await start()
  door.fail('access_denied')
  expect(await send('nobody')).toBe(503)
  door.failure = undefined
  skip(61_000)
  expect(await health()).toEqual([200, undefined])
  const admin = { headers: { authorization: 'Bearer test-admin-token' } }
  expect((await sidecar.get('/api/tenants/nobody/public-keys', admin)).status).toBe(404)
  expect(await sidecar.metric('betrace_key_announcements')).toBe(0)
  expect(await sidecar.metric('kms_cache_size', 'encryption')).toBe(0)
})

test('an operator’s validation that passes is followed by the failed call at once', async () => {
  const { sidecar, door, send, health, skip } = await start()
  expect(await send()).toBe(200)
  door.fail('access_denied', 'generate_data_key')
  skip(61 * MINUTE_MS)
  expect(await send()).toBe(503)
  expect(await health()).toEqual([503, 'access_denied'])
  door.failure = undefined
  const admin = { method: 'POST', headers: { authorization: 'Bearer test-admin-token' } }
  expect(await (await sidecar.get('/api/admin/kms/validate', admin)).json()).toMatchObject({
    overall: 'PASS',
  })
  expect(await health()).toEqual([200, undefined])
})
