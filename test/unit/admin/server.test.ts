import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { createSpanVerifier } from '../../../src/admin/span-verifier.ts'
import type { Clock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { VERIFY_BYTES_MAX, VERIFY_SPANS_MAX } from '../../../src/base/limits.ts'
import { admin, TOKEN } from './fixture.ts'

const STATUS = '/api/admin/kms/status'
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

test.each([
  ['no header', {}],
  ['another scheme', { authorization: `Basic ${TOKEN}` }],
  ['a wrong token', bearer('wrong')],
  ['a prefix of the token', bearer(TOKEN.slice(0, -1))],
  ['the token and more', bearer(`${TOKEN}x`)],
  ['an empty token', { authorization: 'Bearer ' }],
])('admin calls are refused with %s', async (_, headers) => {
  const answer = await admin().inject({ url: STATUS, headers })
  expect(answer.statusCode).toBe(401)
  expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="betrace-admin"/)
  expect(answer.json().error.code).toBe('UNAUTHENTICATED')
})

test.each([
  ['is absent', undefined],
  ['is empty', { reveal: () => '' }],
])('where the configured token %s, every admin call is refused, whatever it carries', async (_, token) => {
  for (const headers of [{}, bearer(''), bearer('undefined'), bearer(TOKEN)]) {
    expect((await admin({}, { token }).inject({ url: STATUS, headers })).statusCode).toBe(401)
  }
})

test('the bearer of the token sees caches, hit ratios, breakers and issues', async () => {
  const answer = await admin().inject({ url: STATUS, headers: bearer(TOKEN) })
  expect(answer.statusCode).toBe(200)
  expect(answer.json()).toEqual({
    provider: 'local',
    status: 'HEALTHY',
    master_key: 'local/1',
    cache_size: 5,
    cache_private_keys: 2,
    cache_public_keys: 0,
    cache_encryption_keys: 3,
    caches: {
      signing: { size: 2, max_size: 1000, hits: 999, misses: 1, hit_ratio: 0.999 },
      public: { size: 0, max_size: 1000, hits: 0, misses: 0, hit_ratio: null },
      encryption: { size: 3, max_size: 1000, hits: 3, misses: 1, hit_ratio: 0.75 },
    },
    circuit_breakers: { 'kms-signing-key': 'closed' },
    not_closed: [],
    last_rotation: null,
    last_error: null,
    issues: [],
  })
})

test('an unknown path is 404 and a wrong method 405 with Allow, both in JSON', async () => {
  const missing = await admin().inject('/nowhere')
  expect([missing.statusCode, missing.json().error.code]).toEqual([404, 'NOT_FOUND'])
  const wrong = await admin().inject({ method: 'DELETE', url: '/q/metrics?x=1' })
  expect([wrong.statusCode, wrong.json().error.code]).toEqual([405, 'METHOD_NOT_ALLOWED'])
  expect(wrong.headers.allow).toBe('GET, HEAD')
  const post = await admin().inject({ method: 'GET', url: '/api/compliance/verify/span' })
  expect([post.statusCode, post.headers.allow]).toEqual([405, 'POST'])
  const key = await admin().inject({ method: 'PUT', url: '/api/tenants/acme/public-keys' })
  expect(key.statusCode).toBe(405)
})

test.each(['/', '/q/metrics', '/q/health/live', '/readyz'])(
  'HEAD %s has the headers of GET and no body',
  async (url) => {
    const answer = await admin().inject({ method: 'HEAD', url })
    expect(answer.statusCode).toBe(200)
    expect(answer.body).toBe('')
    expect(Number(answer.headers['content-length'])).toBeGreaterThanOrEqual(0)
  },
)

test('a body over the bound is 413, at the bound it reaches the verifier', async () => {
  const seen: number[] = []
  const server = admin(
    { verifySpan: async (body) => ({ bytes: seen.push(body.length) }) },
    { bodyBytesMax: 64 },
  )
  const post = (length: number) =>
    server.inject({
      method: 'POST',
      url: '/api/compliance/verify/span',
      headers: { 'content-type': 'application/json' },
      payload: 'x'.repeat(length),
    })
  expect((await post(64)).statusCode).toBe(200)
  const refused = await post(65)
  expect([refused.statusCode, refused.json().error.code]).toEqual([413, 'TOO_LARGE'])
  expect(seen).toHaveLength(1)
})

test('the verifier gets the very bytes and its verdict is the answer', async () => {
  let bytes = ''
  const server = admin({
    verifySpan: async (body) => {
      bytes = Buffer.from(body).toString()
      return { verdict: 'valid', spans: 1 }
    },
  })
  const payload = '{"resourceSpans":[], "big": 18446744073709551615, "__proto__": 1}'
  const answer = await server.inject({
    method: 'POST',
    url: '/api/compliance/verify/span',
    headers: { 'content-type': 'application/json' },
    payload,
  })
  expect(bytes).toBe(payload)
  expect(answer.json()).toEqual({ verdict: 'valid', spans: 1 })
})

test('a fifth verification at once is told to come back, and later ones are served again', async () => {
  const waiting: (() => void)[] = []
  const server = admin({
    verifySpan: () => new Promise((done) => waiting.push(() => done({ verdict: 'valid' }))),
  })
  const post = () =>
    server.inject({
      method: 'POST',
      url: '/api/compliance/verify/span',
      headers: { 'content-type': 'application/json' },
      payload: '{}',
    })
  const first = [post(), post(), post(), post()]
  await expect.poll(() => waiting.length).toBe(4)
  const refused = await post()
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '1'])
  for (const done of waiting.splice(0)) done()
  for (const answer of await Promise.all(first)) expect(answer.statusCode).toBe(200)
  const again = post()
  await expect.poll(() => waiting.length).toBe(1)
  waiting[0]!()
  expect((await again).statusCode).toBe(200)
})

test('verifications are few a second, whoever asks, and small', async () => {
  let nowMs = 0
  const clock: Clock = { nowMs: () => nowMs, nowNs: () => 0n, monotonicMs: () => nowMs }
  const server = admin({ clock, verifySpan: async () => ({ verdict: 'valid' }) })
  const post = async (payload = '{}') =>
    (
      await server.inject({
        method: 'POST',
        url: '/api/compliance/verify/span',
        headers: { 'content-type': 'application/json' },
        payload,
      })
    ).statusCode
  expect(await post(`"${'x'.repeat(VERIFY_BYTES_MAX)}"`)).toBe(413)
  for (let at = 0; at < 60; at++) expect(await post()).toBe(200)
  expect(await post()).toBe(503)
  nowMs += 100
  expect([await post(), await post()]).toEqual([200, 503])
})

test('a span verifier refuses more spans than it may look at, before it looks at one', async () => {
  const keys = (): never => {
    throw new Error('a key was looked for')
  }
  const macKeys = { load: async () => new Map() }
  const verify = createSpanVerifier({ keys, macKeys, expected: 'all', coverage: undefined })
  const request = (count: number) =>
    Buffer.from(
      JSON.stringify({
        resourceSpans: [{ scopeSpans: [{ spans: Array.from({ length: count }, () => ({})) }] }],
      }),
    )
  const abort = new AbortController().signal
  await expect(verify(request(VERIFY_SPANS_MAX + 1), abort)).rejects.toMatchObject({ code: 'TOO_LARGE' })
})

test.each([
  ['localhost:8080', undefined, 200],
  ['127.0.0.1', undefined, 200],
  ['rebound.example.com', undefined, 421],
  ['rebound.example.com:8080', { endpoint: { host: '0.0.0.0' } }, 421],
  ['10.1.2.3:8080', { endpoint: { host: '127.0.0.1' } }, 421],
  ['10.1.2.3:8080', { endpoint: { host: '0.0.0.0' } }, 200],
  ['rebound.example.com', { allowedHosts: ['rebound.example.com'] }, 200],
] as const)('a page that is asked as %s with %j is answered %i', async (host, options, status) => {
  for (const url of ['/q/health/live', '/q/metrics', '/nowhere']) {
    const answer = await admin({}, options).inject({ url, headers: { host } })
    expect(answer.statusCode === 404 ? 200 : answer.statusCode).toBe(status)
    if (status === 421) expect(answer.json().error.code).toBe('MISDIRECTED')
  }
})

test.each([
  ['text/plain', 'hello', 415],
  ['application/x-protobuf', 'hello', 415],
  ['application/json', '', 400],
  ['application/json', '{', 400],
])('verify answers %s %j with %i and no stack', async (type, payload, status) => {
  const answer = await admin().inject({
    method: 'POST',
    url: '/api/compliance/verify/span',
    headers: { 'content-type': type },
    payload,
  })
  expect(answer.statusCode).toBe(status)
  expect(Object.keys(answer.json())).toEqual(['error'])
  expect(answer.body).not.toMatch(/node_modules|\.ts|at /)
})

test.each([
  ['a bug', new TypeError('cannot read secret-value of undefined'), 500, 'INTERNAL'],
  ['an internal error', new SidecarError('INTERNAL', 'secret-value of a bug'), 500, 'INTERNAL'],
  ['a failing key service', new SidecarError('KMS', 'key service is unreachable'), 503, 'KMS'],
])('%s becomes one JSON line without its inside', async (_, thrown, status, code) => {
  const server = admin({
    kmsStatus: () => {
      throw thrown
    },
  })
  const answer = await server.inject({ url: STATUS, headers: bearer(TOKEN) })
  expect([answer.statusCode, answer.json().error.code]).toEqual([status, code])
  expect(answer.body).not.toContain('secret-value')
})

test.each(['acme', '__proto__', 'constructor', 'a/b'])(
  'the public keys of tenant %s are its own',
  async (tenant) => {
    const createdAtMs = Date.UTC(2026, 0, 2)
    const keys = new Map([
      [
        tenant,
        [
          {
            keyId: 'k1',
            algorithm: 'ed25519',
            publicKey: Uint8Array.of(0, 255),
            createdAtMs,
            notAfterMs: undefined,
            status: 'ACTIVE' as const,
            endorsedBy: undefined,
            endorsement: undefined,
          },
        ],
      ],
    ])
    const server = admin({ publicKeys: (id) => keys.get(id) })
    const answer = await server.inject(`/api/tenants/${encodeURIComponent(tenant)}/public-keys`)
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      tenantId: tenant,
      keys: [
        {
          keyId: 'k1',
          algorithm: 'ed25519',
          publicKey: 'AP8=',
          createdAt: '2026-01-02T00:00:00.000Z',
          notAfter: null,
          status: 'ACTIVE',
          endorsedBy: null,
          endorsement: null,
        },
      ],
    })
    for (const other of ['toString', 'x'.repeat(129)]) {
      expect((await server.inject(`/api/tenants/${other}/public-keys`)).statusCode).toBe(404)
    }
  },
)

test('every answer forbids sniffing, framing and caching', async () => {
  for (const url of ['/', '/q/metrics', '/nowhere', STATUS]) {
    const { headers } = await admin().inject(url)
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['x-frame-options']).toBe('DENY')
    expect(headers['cache-control']).toBe('no-store')
    expect(headers['content-security-policy']).toContain("default-src 'none'")
  }
})

test('bytes that are no HTTP get 400 and a closed connection, and the server goes on', async () => {
  const server = admin()
  await server.listen({ host: '127.0.0.1', port: 0 })
  try {
    const { port } = server.server.address() as { port: number }
    const socket = connect(port, '127.0.0.1')
    socket.end('NOT HTTP AT ALL\r\n\r\n')
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    await once(socket, 'close')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
  } finally {
    await server.close()
  }
})
