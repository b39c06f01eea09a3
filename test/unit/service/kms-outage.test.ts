// The key service goes away and comes back, under a whole sidecar.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceError } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import { KMS_CLASSES, type KmsClass } from '../../../src/kms/kms.ts'
import { jsonToProtobuf } from '../../../src/wire/json.ts'
import { DoorKms } from '../kms/key-service.ts'
import { grpcExport } from './grpc-export.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'

const ADMIN = { authorization: 'Bearer test-admin-token' }
const EMAIL = 'canary.of.the.outage@clinic.example'
const JSON_TYPE = 'application/json'
const running: TestSidecar[] = []

afterEach(async () => {
  for (const sidecar of running.splice(0)) {
    await sidecar.stop()
    sidecar.remove()
  }
})

async function start(sets: readonly string[] = [], clock?: Clock, failure?: KmsClass) {
  const door = await DoorKms.open()
  if (failure) door.fail(failure)
  const sidecar = await startSidecar(['processors.signing.select=all', ...sets], undefined, {
    openKms: async () => door,
    ...(clock && { clock }),
  })
  running.push(sidecar)
  // The readiness check asks once at start; what is counted here comes after.
  await sidecar.until('the first readiness check', () => door.count('describe_key') === 1)
  return { sidecar, door }
}

function traces(attributes: Readonly<Record<string, string>>, spanId = '00000000000000a1'): string {
  const span = {
    traceId: '0123456789abcdef0123456789abcdef',
    spanId,
    name: 'GET /visits',
    attributes: Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } })),
  }
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
}

const PERSONAL = traces({ 'user.email': EMAIL, 'http.route': '/visits' })

const send = (sidecar: TestSidecar, body: string, tenant = 'acme', path = '/v1/traces') =>
  sidecar.post(path, body, JSON_TYPE, { 'x-betrace-tenant': tenant })

const admin = (sidecar: TestSidecar, path: string, body?: object) =>
  sidecar.get(path, {
    method: 'POST',
    headers: { ...ADMIN, ...(body && { 'content-type': JSON_TYPE }) },
    ...(body && { body: JSON.stringify(body) }),
  })

/** Everything below the sidecar's folder, and its log. */
function traced(sidecar: TestSidecar): string {
  const files = readdirSync(sidecar.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
  return [...files, sidecar.log()].join('\n')
}

async function expectSettledBooks(sidecar: TestSidecar): Promise<void> {
  await sidecar.until('an empty queue', async () => (await sidecar.metric('betrace_items_queued')) === 0)
  await expectBooksToBalance(sidecar, 'traces')
}

const exported = (sidecar: TestSidecar): string =>
  readFileSync(join(sidecar.folder, 'out.jsonl'), { encoding: 'utf8', flag: 'a+' })

describe('a request that needs a key', () => {
  test('waits within its time, is then refused retryably, and leaves nothing in plain text', async () => {
    const { sidecar, door } = await start(['service.limits.wait_max=300ms'])
    door.fail('network')
    const startMs = performance.now()
    const refused = await send(sidecar, PERSONAL)
    const waitedMs = performance.now() - startMs
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(waitedMs).toBeGreaterThan(250)
    expect(waitedMs).toBeLessThan(3_000)
    expect(await refused.text()).not.toMatch(/told to fail|network/)
    expect(await sidecar.metric('betrace_receiver_requests_total', 'KEY_UNAVAILABLE')).toBe(1)
    await expectSettledBooks(sidecar)
    expect(exported(sidecar)).toBe('')
    await sidecar.stop()
    expect(traced(sidecar)).not.toContain('canary.of.the.outage')
  })

  test('hears UNAVAILABLE over gRPC, with the time after which to try again', async () => {
    const { sidecar, door } = await start(['service.limits.wait_max=200ms'])
    door.gate = new Promise(() => {})
    const body = jsonToProtobuf(Buffer.from(PERSONAL), 'traces')
    const error: unknown = await grpcExport(sidecar.grpcAddress, 'traces', body).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({ code: 14 })
    // google.rpc.RetryInfo stands in the trailer of details.
    const { metadata } = error as ServiceError
    expect(String(metadata.get('grpc-status-details-bin')[0])).toContain('google.rpc.RetryInfo')
  })

  test('is served when the key service comes back in its time', async () => {
    const { sidecar, door } = await start()
    door.fail('throttled')
    const waiting = send(sidecar, PERSONAL)
    await sidecar.until('it has been refused a key', () => door.calls.length > 1)
    door.failure = undefined
    expect((await waiting).status).toBe(200)
    await sidecar.until('it is exported', () => exported(sidecar) !== '')
    expect(exported(sidecar)).toMatch(/ENC\[|betrace\.key\./)
    expect(exported(sidecar)).not.toContain('canary.of.the.outage')
  })

  test('is refused at once where waiting cannot heal, as when the key is disabled', async () => {
    const { sidecar, door } = await start()
    door.fail('key_disabled')
    const startMs = performance.now()
    expect((await send(sidecar, PERSONAL)).status).toBe(503)
    expect(performance.now() - startMs).toBeLessThan(2_000)
  })

  test('is masked and never weakened to less where the policy says mask', async () => {
    const { sidecar, door } = await start(['processors.pii.on_kms_failure=mask'])
    await send(sidecar, traces({ 'http.route': '/' })) // the signing key, which nothing replaces
    door.fail('network')
    expect((await send(sidecar, PERSONAL)).status).toBe(200)
    await sidecar.until('both are exported', () => exported(sidecar).includes('user.email'))
    expect(exported(sidecar)).not.toContain('canary.of.the.outage')
    await sidecar.stop()
    expect(traced(sidecar)).not.toContain('canary.of.the.outage')
  })

  test('waits in a bounded memory: who finds no room is refused in its time, and no byte more is held', async () => {
    const { sidecar, door } = await start([
      'service.limits.in_flight_mib=1',
      'receivers.otlp.protocols.grpc.max_recv_msg_size_mib=1',
      'receivers.otlp.protocols.http.max_request_body_size_mib=1',
      'service.limits.wait_max=2s',
    ])
    door.gate = new Promise(() => {})
    // Protobuf: JSON takes room for both forms, so that of its requests three may never be held at once.
    const big = jsonToProtobuf(
      Buffer.from(traces({ 'user.email': EMAIL, filler: 'x'.repeat(300 * 1024) })),
      'traces',
    )
    const answers = Array.from({ length: 12 }, () =>
      sidecar.post('/v1/traces', big, 'application/x-protobuf', { 'x-betrace-tenant': 'acme' }),
    )
    await sidecar.until(
      'three are held',
      async () => (await sidecar.metric('betrace_receiver_in_flight_bytes')) > 900 * 1024,
    )
    expect(await sidecar.metric('betrace_receiver_in_flight_bytes')).toBeLessThanOrEqual(1024 * 1024)
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(12).fill(503))
    expect(await sidecar.metric('betrace_receiver_in_flight_bytes')).toBe(0)
  })
})

test('what needs no key service goes on: cached keys, spans without personal data, logs, health', async () => {
  const { sidecar, door } = await start(['service.limits.wait_max=2s'])
  expect((await send(sidecar, PERSONAL)).status).toBe(200)
  const asked = door.calls.length
  door.fail('network')
  // A hundred tenants whose keys are not at hand open both breakers.
  const strangers = Array.from({ length: 100 }, (_, index) => send(sidecar, PERSONAL, `stranger-${index}`))
  await sidecar.until(
    'the breaker is open',
    async () => (await sidecar.metric('circuit_breaker_state', 'kms-encryption-key')) === 1,
  )
  const during = door.calls.length
  for (let count = 0; count < 50; count++) {
    expect((await send(sidecar, traces({ 'user.email': EMAIL }))).status).toBe(200)
    expect((await send(sidecar, traces({ 'http.route': '/' }))).status).toBe(200)
  }
  const logs = JSON.stringify({
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'started' } }] }] }],
  })
  expect((await send(sidecar, logs, 'never-seen', '/v1/logs')).status).toBe(200)
  expect((await sidecar.get('/q/health/live')).status).toBe(200)
  // Those that wait may have made trials meanwhile: three a round at most, and never one for the tenant at hand.
  expect(door.calls.slice(during).filter(({ context }) => context?.tenantId === 'acme')).toEqual([])
  expect(door.calls.length - asked).toBeLessThan(100)
  door.failure = undefined
  const statuses = (await Promise.all(strangers)).map(({ status }) => status)
  expect(statuses.every((status) => status === 200 || status === 503)).toBe(true)
  await expectSettledBooks(sidecar)
})

test('a sidecar that starts during the outage is alive, takes what needs no key, and serves the rest once it can', async () => {
  const { sidecar, door } = await start(['service.limits.wait_max=100ms'], undefined, 'network')
  expect((await sidecar.get('/q/health/live')).status).toBe(200)
  expect((await sidecar.get('/q/health/started')).status).toBe(200)
  expect((await sidecar.get('/q/health/ready')).status).toBe(503)
  const logs = JSON.stringify({
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'started' } }] }] }],
  })
  expect((await send(sidecar, logs, 'acme', '/v1/logs')).status).toBe(200)
  expect((await send(sidecar, PERSONAL)).status).toBe(503)
  door.failure = undefined
  await sidecar.until('served', async () => (await send(sidecar, PERSONAL)).status === 200)
  // Readiness asks the service once a minute, and hears at once of requests that got their keys.
  expect((await sidecar.get('/q/health/ready')).status).toBe(200)
  const asked = door.count('describe_key')
  for (let count = 0; count < 20; count++) await sidecar.get('/q/health/ready')
  expect(door.count('describe_key')).toBe(asked)
})

test('it recovers without a stampede: each waiting tenant asks once for each of its keys', async () => {
  const { sidecar, door } = await start(['kms.breaker.open_duration=200ms'])
  door.fail('network')
  const tenants = Array.from({ length: 30 }, (_, index) => `tenant-${index}`)
  const waiting = tenants.flatMap((tenant) =>
    Array.from({ length: 10 }, () => send(sidecar, PERSONAL, tenant)),
  )
  await sidecar.until(
    'the breaker is open',
    async () => (await sidecar.metric('circuit_breaker_state', 'kms-encryption-key')) === 1,
  )
  const before = door.calls.length
  door.failure = undefined
  const answers = await Promise.all(waiting)
  expect(answers.map(({ status }) => status)).toEqual(Array(300).fill(200))
  const after = door.calls.slice(before)
  for (const tenant of tenants) {
    const ofTenant = after.filter(({ context }) => context?.tenantId === tenant)
    expect(ofTenant.map(({ operation, context }) => `${operation} ${context?.purpose}`).sort()).toEqual(
      ['encrypt signing', 'generate_data_key pii'].sort(),
    )
  }
  expect(after).toHaveLength(60)
  for (const name of ['kms-signing-key', 'kms-public-key', 'kms-encryption-key'])
    expect(await sidecar.metric('circuit_breaker_state', name)).toBe(0)
  await expectSettledBooks(sidecar)
})

describe('one failure has one name', () => {
  test.each(Object.keys(KMS_CLASSES) as KmsClass[])(
    '%s: in the log, the metric, the health check and every admin answer',
    async (kmsClass) => {
      let skippedMs = 0
      const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + skippedMs }
      const { sidecar, door } = await start([], clock)
      door.fail(kmsClass)
      const anchor = `docs/runbooks/kms-provider-failure.md#${kmsClass.replaceAll('_', '-')}`
      const facts = { error_type: kmsClass, help_url: anchor }

      const retrieval = await admin(sidecar, '/api/admin/kms/test-key-retrieval', { tenantId: 'acme' })
      expect([retrieval.status, await retrieval.json()]).toMatchObject([503, { status: 'failure', ...facts }])
      const validation = (await (await admin(sidecar, '/api/admin/kms/validate')).json()) as {
        overall: string
        tests: Record<string, string>
      }
      expect(validation.overall).toBe('FAIL')
      expect(validation.tests.generate_data_key).toContain(`${kmsClass}: told to fail (see ${anchor})`)
      skippedMs = 61_000
      const ready = await sidecar.get('/q/health/ready')
      const { checks } = (await ready.json()) as { checks: { name: string }[] }
      expect(ready.status).toBe(503)
      expect(checks.find(({ name }) => name === 'kms')).toMatchObject({
        status: 'DOWN',
        data: { provider: 'local', error: `key service: ${kmsClass}`, ...facts },
      })
      const status = await (await sidecar.get('/api/admin/kms/status', { headers: ADMIN })).json()
      expect(status).toMatchObject({ status: 'WARNING', last_error: { operation: 'test', ...facts } })
      expect(
        await sidecar.metric('kms_errors_total', `operation="generate_data_key",error="${kmsClass}"`),
        // The retrieval's, the validation's own, and that of its retrieval.
      ).toBe(3)
      expect(sidecar.log()).toContain(`KmsException ${kmsClass} in test: told to fail (see ${anchor})`)
    },
  )
})

describe('readiness', () => {
  test('is down where the master key can be described and not used, and says why, as status, metric and log do', async () => {
    const { sidecar, door } = await start(['service.limits.wait_max=100ms'])
    door.fail('access_denied', 'generate_data_key')
    expect((await send(sidecar, PERSONAL)).status).toBe(503)
    const ready = await sidecar.get('/q/health/ready')
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({
      checks: expect.arrayContaining([
        expect.objectContaining({
          name: 'kms',
          status: 'DOWN',
          data: expect.objectContaining({ error_type: 'access_denied' }),
        }),
      ]),
    })
    const status = await (await sidecar.get('/api/admin/kms/status', { headers: ADMIN })).json()
    expect(status).toMatchObject({ status: 'WARNING', last_error: { error_type: 'access_denied' } })
    expect((await sidecar.get('/q/health/ready?exclude=kms')).status).toBe(200)
    door.failure = undefined
    await sidecar.until('served', async () => (await send(sidecar, PERSONAL)).status === 200)
    expect((await sidecar.get('/q/health/ready')).status).toBe(200)
  })

  test('without the key service is not held up by one that hangs', async () => {
    const { sidecar, door } = await start()
    door.gate = new Promise(() => {})
    const startMs = performance.now()
    const { status, checks } = (await (await sidecar.get('/readyz?exclude=kms&exclude=queue')).json()) as {
      status: string
      checks: { name: string }[]
    }
    expect(performance.now() - startMs).toBeLessThan(1_000)
    expect([status, checks.map(({ name }) => name)]).toEqual([
      'UP',
      ['receivers', 'exporter file/out', 'dead letters', 'store'],
    ])
  })

  test('stays up while one tenant is denied and another is served', async () => {
    const { sidecar, door } = await start(['service.limits.wait_max=100ms'])
    expect((await send(sidecar, PERSONAL)).status).toBe(200)
    door.fail('access_denied', 'generate_data_key')
    expect((await send(sidecar, PERSONAL, 'other')).status).toBe(503)
    expect((await sidecar.get('/q/health/ready')).status).toBe(200)
  })

  test('a disabled master key that only the check has met is in metric, log and status too', async () => {
    const door = await DoorKms.open()
    door.isEnabled = false
    const sidecar = await startSidecar([], undefined, { openKms: async () => door })
    running.push(sidecar)
    expect((await sidecar.get('/q/health/ready')).status).toBe(503)
    expect(await sidecar.metric('kms_errors_total', 'error="key_disabled"')).toBe(1)
    expect(sidecar.log()).toContain('KmsException key_disabled in describe_key')
    const status = await (await sidecar.get('/api/admin/kms/status', { headers: ADMIN })).json()
    expect(status).toMatchObject({ status: 'WARNING', last_error: { error_type: 'key_disabled' } })
  })

  test('one throttled check is corrected by the first key that comes', async () => {
    const { sidecar, door } = await start([], undefined, 'throttled')
    expect((await sidecar.get('/q/health/ready')).status).toBe(503)
    door.failure = undefined
    expect((await send(sidecar, PERSONAL)).status).toBe(200)
    expect((await sidecar.get('/q/health/ready')).status).toBe(200)
    expect(door.count('describe_key')).toBe(1)
  })
})

test('a retrieval test for a tenant without keys passes, and leaves none behind', async () => {
  const { sidecar } = await start()
  const answer = await admin(sidecar, '/api/admin/kms/test-key-retrieval', { tenantId: 'mistyped' })
  expect(answer.status).toBe(200)
  expect((await sidecar.get('/api/tenants/mistyped/public-keys', { headers: ADMIN })).status).toBe(404)
})

test('an operator sees the outage, resets the breaker and sees it heal, as the runbook goes', async () => {
  const { sidecar, door } = await start(['kms.breaker.open_duration=1h', 'service.limits.wait_max=500ms'])
  expect((await send(sidecar, PERSONAL)).status).toBe(200)
  const validate = async () =>
    (await (await admin(sidecar, '/api/admin/kms/validate')).json()) as {
      overall: string
      tests: Record<string, string>
    }
  expect((await validate()).overall).toBe('PASS')
  door.fail('key_disabled')
  await Promise.all(Array.from({ length: 30 }, (_, index) => send(sidecar, PERSONAL, `stranger-${index}`)))
  expect(await sidecar.metric('circuit_breaker_state', 'kms-encryption-key')).toBe(1)
  const status = async () =>
    (await (await sidecar.get('/api/admin/kms/status', { headers: ADMIN })).json()) as {
      circuit_breakers: Record<string, string>
      not_closed: object[]
      issues: string[]
    }
  const broken = await status()
  expect(broken.circuit_breakers['kms-encryption-key']).toBe('open')
  expect(broken.not_closed).toContainEqual({
    name: 'kms-encryption-key',
    master_key: door.masterKeyId,
    state: 'open',
    error_type: 'key_disabled',
  })
  const failing = await validate()
  expect(failing.overall).toBe('FAIL')
  // The default tenant's key is at hand since the first validation, whatever the service says now.
  expect(failing.tests.key_retrieval_cache_hit).toMatch(/^PASS/)
  expect(failing.tests.key_retrieval_cache_miss).toMatch(/^FAIL .*key_disabled/)

  door.failure = undefined
  expect((await send(sidecar, PERSONAL, 'another')).status).toBe(503) // the breaker is open for an hour
  for (const name of ['kms-encryption-key', 'kms-signing-key'])
    expect((await admin(sidecar, `/api/admin/circuit-breaker/${name}/reset`)).status).toBe(200)
  await admin(sidecar, '/api/admin/kms/cache/flush', { tenantId: 'another' })
  await sidecar.until('served again', async () => (await send(sidecar, PERSONAL, 'another')).status === 200)
  expect((await validate()).overall).toBe('PASS')
  const retrieval = await admin(sidecar, '/api/admin/kms/test-key-retrieval', { tenantId: 'acme' })
  expect(await retrieval.json()).toEqual({ status: 'success', latency_ms: expect.any(Number) })
  expect((await status()).not_closed).toEqual([])
})
