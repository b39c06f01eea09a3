import { expect, test } from 'vitest'
import type { KmsControl, RotationControl } from '../../../src/admin/options.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import { admin, TOKEN } from './fixture.ts'

const headers = { authorization: `Bearer ${TOKEN}` }
const RETRIEVAL = '/api/admin/kms/test-key-retrieval'
const FLUSH = '/api/admin/kms/cache/flush'

function control(overrides: Partial<KmsControl> = {}): KmsControl {
  const passed = { latencyMs: 1, error: undefined }
  return {
    validate: async () => ({
      provider: 'local',
      results: {
        generate_data_key: passed,
        encrypt: passed,
        decrypt: passed,
        key_retrieval_cache_miss: passed,
        key_retrieval_cache_hit: passed,
      },
    }),
    retrieveKey: async () => undefined,
    flush: () => undefined,
    resetBreaker: () => undefined,
    ...overrides,
  }
}

const post = (url: string, payload: object | undefined, overrides: Partial<KmsControl> = {}) =>
  admin({ kmsControl: control(overrides) }).inject({
    method: 'POST',
    url,
    headers,
    ...(payload && { payload }),
  })

const ALL_ROUTES = [
  ['GET', '/api/admin/kms/status'],
  ['POST', '/api/admin/kms/validate'],
  ['POST', RETRIEVAL],
  ['POST', FLUSH],
  ['POST', '/api/admin/circuit-breaker/kms-signing-key/reset'],
  ['POST', '/api/admin/kms/rotate-all-keys'],
  ['GET', '/api/admin/kms/rotation-status'],
  ['GET', '/api/admin/kms/tenants-needing-rotation'],
  ['POST', '/api/admin/reveal'],
] as const

test.each(ALL_ROUTES)(
  '%s %s does nothing without the token, or where none is configured',
  async (method, url) => {
    let asked = 0
    const touched = (): never => {
      asked++
      throw new Error('reached without a token')
    }
    const kmsControl: KmsControl = {
      validate: touched,
      retrieveKey: touched,
      flush: touched,
      resetBreaker: touched,
    }
    const probes = { kmsControl, kmsStatus: touched, reveal: { reveal: touched } }
    for (const [server, given] of [
      [admin(probes), {}],
      [admin(probes), { authorization: 'Bearer wrong' }],
      [admin(probes, { token: undefined, revealToken: undefined }), headers],
    ] as const) {
      const answer = await server.inject({ method, url, headers: given })
      expect([answer.statusCode, answer.json().error.code]).toEqual([401, 'UNAUTHENTICATED'])
    }
    expect(asked).toBe(0)
  },
)

test('two validations at once are one, and both get its answer', async () => {
  let runs = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const kmsControl = control({
    validate: async () => {
      runs++
      await promise
      return control().validate()
    },
  })
  const server = admin({ kmsControl })
  const ask = () => server.inject({ method: 'POST', url: '/api/admin/kms/validate', headers })
  const both = [ask(), ask()]
  await expect.poll(() => runs).toBe(1)
  resolve()
  for (const answer of await Promise.all(both))
    expect([answer.statusCode, answer.json().overall]).toEqual([200, 'PASS'])
  await ask()
  expect(runs).toBe(2)
})

test('test-key-retrieval says success and how long it took', async () => {
  const asked: string[] = []
  const answer = await post(
    RETRIEVAL,
    { tenantId: '00000000-0000-0000-0000-000000000001' },
    { retrieveKey: async (tenant) => void asked.push(tenant) },
  )
  expect(answer.statusCode).toBe(200)
  expect(answer.json()).toEqual({ status: 'success', latency_ms: expect.any(Number) })
  expect(asked).toEqual(['00000000-0000-0000-0000-000000000001'])
})

test.each(Object.keys(KMS_CLASSES) as KmsClass[])(
  'test-key-retrieval answers %s by its class, with the message of the provider and the runbook',
  async (kmsClass) => {
    const cause = new KmsError(kmsClass, 'decrypt', 'what the provider said')
    const answer = await post(
      RETRIEVAL,
      { tenantId: 'acme' },
      { retrieveKey: () => Promise.reject(new SidecarError('KEY_UNAVAILABLE', 'no usable key', { cause })) },
    )
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toEqual({
      status: 'failure',
      latency_ms: expect.any(Number),
      error: `key service: ${kmsClass}`,
      error_type: kmsClass,
      message: 'what the provider said',
      help_url: `docs/runbooks/kms-provider-failure.md#${kmsClass.replaceAll('_', '-')}`,
    })
  },
)

test('a failure of ours says nothing of its inside', async () => {
  const answer = await post(
    RETRIEVAL,
    { tenantId: 'acme' },
    { retrieveKey: () => Promise.reject(new TypeError('secret-of-a-bug')) },
  )
  expect(answer.json()).toMatchObject({ status: 'failure', error: 'internal error', error_type: 'INTERNAL' })
  expect(answer.body).not.toContain('secret-of-a-bug')
})

test.each([
  [{ tenantId: '' }],
  [{ tenantId: 7 }],
  [{ tenantId: null }],
  [{ tenantId: 'x'.repeat(129) }],
  [{ tenantId: 'a\nb' }],
  [{ tenantId: '\ud800' }],
  [{ tenantid: 'acme' }],
  [{ tenantId: 'acme', more: 1 }],
  [[]],
  [['acme']],
])('a body of %j is refused, by retrieval and by flush', async (payload) => {
  const flushed: unknown[] = []
  for (const url of [RETRIEVAL, FLUSH]) {
    const answer = await post(url, payload, { flush: (tenant) => flushed.push(tenant) })
    expect([answer.statusCode, answer.json().error.code]).toEqual([400, 'MALFORMED'])
  }
  expect(flushed).toEqual([])
})

test('retrieval needs a tenant; flush without one means all', async () => {
  const flushed: (string | undefined)[] = []
  const flush = (tenant: string | undefined) => void flushed.push(tenant)
  expect((await post(RETRIEVAL, undefined)).statusCode).toBe(400)
  expect((await post(RETRIEVAL, {})).statusCode).toBe(400)
  expect((await post(FLUSH, undefined, { flush })).json()).toEqual({ status: 'success', flushed: 'all' })
  expect((await post(FLUSH, {}, { flush })).json()).toEqual({ status: 'success', flushed: 'all' })
  expect((await post(FLUSH, { tenantId: 'toString' }, { flush })).json()).toEqual({
    status: 'success',
    flushed: 'toString',
  })
  expect(flushed).toEqual([undefined, undefined, 'toString'])
})

test('a breaker is reset by name; an unknown name is 404', async () => {
  const resetBreaker = (name: string) => (name === 'kms-signing-key' ? 2 : undefined)
  const done = await post('/api/admin/circuit-breaker/kms-signing-key/reset', undefined, { resetBreaker })
  expect(done.json()).toEqual({
    status: 'success',
    name: 'kms-signing-key',
    state: 'closed',
    was_not_closed: 2,
  })
  const unknown = await post('/api/admin/circuit-breaker/__proto__/reset', undefined, { resetBreaker })
  expect([unknown.statusCode, unknown.json().error.code]).toEqual([404, 'NOT_FOUND'])
})

test('without rotation its routes answer 501, and say what is missing', async () => {
  for (const [method, url] of ALL_ROUTES.filter(([, path]) => /rotat/.test(path))) {
    const answer = await admin().inject({ method, url, headers })
    expect([answer.statusCode, answer.json().error.code]).toEqual([501, 'NOT_IMPLEMENTED'])
  }
})

test('rotation is started, watched and asked who is due', async () => {
  const started: unknown[] = []
  const rotation: RotationControl = {
    rotateAll: (options) => void started.push(options),
    progress: () => ({
      isRunning: true,
      scope: 'overdue',
      queued: 'all',
      tenantCount: 8,
      rotatedCount: 5,
      failedCount: 1,
      estimatedEndMs: Date.UTC(2026, 0, 2),
      lastCheck: {
        isRunning: false,
        tenantCount: 3,
        rotatedCount: 2,
        failedCount: 1,
        startedMs: Date.UTC(2026, 0, 1, 2),
      },
    }),
    tenantsDue: async () => [
      { tenant: '__proto__', keyId: 'k1', createdMs: Date.UTC(2025, 0, 1), ageDays: 366 },
    ],
  }
  const server = admin({ rotation })
  const start = await server.inject({
    method: 'POST',
    url: '/api/admin/kms/rotate-all-keys',
    headers,
    payload: { force: true, stagger_ms: 5 },
  })
  expect(start.statusCode).toBe(202)
  expect(started).toEqual([{ isForced: true, staggerMs: 5 }])
  const status = await server.inject({ url: '/api/admin/kms/rotation-status', headers })
  expect(status.json()).toEqual({
    status: 'RUNNING',
    scope: 'overdue',
    queued: 'all',
    message:
      'this run takes the tenants whose signing key is older than kms.rotation.max_age_days; force: true takes every tenant; a run over every tenant that has keys follows',
    total_tenants: 8,
    rotated: 5,
    failed: 1,
    remaining: 2,
    progress_pct: 75,
    estimated_completion: '2026-01-02T00:00:00.000Z',
    last_check: {
      status: 'IDLE',
      started: '2026-01-01T02:00:00.000Z',
      total_tenants: 3,
      rotated: 2,
      failed: 1,
    },
  })
  const due = await server.inject({ url: '/api/admin/kms/tenants-needing-rotation', headers })
  expect(due.json()).toEqual({
    count: 1,
    tenants: [{ tenantId: '__proto__', keyId: 'k1', createdAt: '2025-01-01T00:00:00.000Z', age_days: 366 }],
  })
})

test.each([
  ['before a first run', { isRunning: false, scope: undefined }, 'IDLE', 100, 'no run since the start'],
  [
    'while tenants are looked up',
    { isRunning: true, scope: 'all' },
    'RUNNING',
    0,
    'every tenant that has keys',
  ],
  [
    'when nobody was due',
    { isRunning: false, scope: 'overdue' },
    'IDLE',
    100,
    'force: true takes every tenant',
  ],
] as const)('a run over no tenants, %s', async (_, state, status, progress_pct, message) => {
  const rotation: RotationControl = {
    rotateAll: () => undefined,
    progress: () => ({
      ...state,
      queued: undefined,
      tenantCount: 0,
      rotatedCount: 0,
      failedCount: 0,
      estimatedEndMs: undefined,
      lastCheck: undefined,
    }),
    tenantsDue: async () => [],
  }
  const answer = await admin({ rotation }).inject({ url: '/api/admin/kms/rotation-status', headers })
  expect(answer.json()).toMatchObject({
    status,
    progress_pct,
    queued: null,
    total_tenants: 0,
    last_check: null,
  })
  expect(answer.json().message).toContain(message)
})

test.each([[{ force: 1 }], [{ stagger_ms: -1 }], [{ stagger_ms: 60_001 }], [{ Force: true }], [[true]]])(
  'rotation refuses %j and starts nothing',
  async (payload) => {
    let started = 0
    const rotation = { rotateAll: () => void started++ } as unknown as RotationControl // the rest is never reached
    const answer = await admin({ rotation }).inject({
      method: 'POST',
      url: '/api/admin/kms/rotate-all-keys',
      headers,
      payload,
    })
    expect([answer.statusCode, started]).toEqual([400, 0])
  },
)
