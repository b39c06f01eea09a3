import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ValidatedSettings, validateKms, validationAnswer } from '../../../src/admin/kms-validation.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'
import { DoorKms } from '../kms/key-service.ts'

const never = new AbortController().signal

interface Answer {
  provider: string
  overall: string
  tests: Record<string, string>
  latency_ms: Record<string, number | null>
  recommendations: string[]
}

async function parts(overrides: Partial<ValidatedSettings> = {}) {
  const kms = await DoorKms.open()
  const all: ValidatedSettings = {
    kms,
    tenant: 'acme',
    clock: systemClock,
    randomBytes,
    retrieve: async () => undefined,
    warm: async () => undefined,
    isAtHand: () => true,
    ...overrides,
  }
  const answer = async (): Promise<Answer> => validationAnswer(await validateKms(all, never)) as Answer
  return { kms, all, answer }
}

test('a working key service passes five tests, in the shape of the tutorial', async () => {
  const { kms, answer } = await parts()
  const { latency_ms: latencies, ...rest } = await answer()
  expect(rest).toEqual({
    provider: 'local',
    overall: 'PASS',
    tests: {
      generate_data_key: expect.stringMatching(/^PASS \(\d+(\.\d+)?ms\)$/),
      encrypt: expect.stringMatching(/^PASS \(\d+(\.\d+)?ms\)$/),
      decrypt: expect.stringMatching(/^PASS \(\d+(\.\d+)?ms\)$/),
      key_retrieval_cache_miss: expect.stringMatching(/^PASS \(\d+(\.\d+)?ms\)$/),
      key_retrieval_cache_hit: expect.stringMatching(/^PASS \(\d+(\.\d+)?ms\)$/),
    },
    recommendations: ['⚠ the local key service is not for production: set kms.provider'],
  })
  expect(Object.keys(latencies)).toEqual([
    'generate_data_key',
    'encrypt',
    'decrypt',
    'cache_miss',
    'cache_hit',
  ])
  for (const latency of Object.values(latencies)) expect(latency).toBeGreaterThanOrEqual(0)
  expect(kms.calls.map(({ operation }) => operation)).toEqual(['generate_data_key', 'encrypt', 'decrypt'])
  for (const { context } of kms.calls) expect(context).toEqual({ tenantId: 'acme', purpose: 'probe' })
})

test('a provider for production that is fast enough is called ready', async () => {
  const { kms, answer } = await parts()
  Object.defineProperty(kms, 'provider', { value: 'aws' })
  expect((await answer()).recommendations).toEqual(['✅ KMS configuration is valid and ready for production'])
})

test.each(Object.keys(KMS_CLASSES) as KmsClass[])(
  'with a service that answers %s every test still runs, and each says so with its runbook',
  async (kmsClass) => {
    const fail = () => Promise.reject(new KmsError(kmsClass, 'decrypt', 'told to fail'))
    const { kms, answer } = await parts({ retrieve: fail, warm: fail, isAtHand: () => false })
    kms.fail(kmsClass)
    const { overall, tests, latency_ms: latencies, recommendations } = await answer()
    expect(overall).toBe('FAIL')
    expect(kms.calls.map(({ operation }) => operation)).toEqual(['generate_data_key', 'encrypt'])
    const anchor = `docs/runbooks/kms-provider-failure.md#${kmsClass.replaceAll('_', '-')}`
    for (const name of [
      'generate_data_key',
      'encrypt',
      'key_retrieval_cache_miss',
      'key_retrieval_cache_hit',
    ])
      expect(tests[name]).toMatch(
        new RegExp(`^FAIL \\([\\d.]+ms\\): ${kmsClass}: told to fail \\(see ${anchor}\\)$`),
      )
    expect(tests.decrypt).toMatch(/^FAIL .*: neither a generated nor a wrapped key is there to decrypt$/)
    expect(Object.values(latencies)).toEqual([null, null, null, null, null])
    expect(recommendations[0]).toMatch(new RegExp(`^❌ ${kmsClass}: .* \\(see ${anchor}\\)$`))
  },
)

test('decrypt is tried on the generated key where encrypt alone is denied', async () => {
  const { kms, answer } = await parts()
  kms.wrap = () => Promise.reject(new KmsError('access_denied', 'encrypt', 'not authorized'))
  const { overall, tests } = await answer()
  expect(overall).toBe('FAIL')
  expect(tests.encrypt).toMatch(/^FAIL .*access_denied/)
  expect([tests.generate_data_key, tests.decrypt]).toEqual([
    expect.stringMatching(/^PASS/),
    expect.stringMatching(/^PASS/),
  ])
})

test('a service that opens something else, hands out zeroes or seals nothing fails', async () => {
  const { kms, answer } = await parts()
  const real = { generate: kms.generateDataKey.bind(kms) }
  kms.generateDataKey = async (...args) => ({
    ...(await real.generate(...args)),
    plaintext: new Uint8Array(32),
  })
  kms.unwrap = async () => new Uint8Array(32).fill(7)
  kms.wrap = async (plaintext) => ({
    wrapped: Buffer.concat([Buffer.from('x'), plaintext]),
    masterKeyId: 'none',
  })
  const { overall, tests } = await answer()
  expect(overall).toBe('FAIL')
  for (const name of ['generate_data_key', 'encrypt', 'decrypt'])
    expect(tests[name]).toMatch(/^FAIL .*bad_request: the service answered, but not with what was asked for/)
})

test('an outage with a warm cache fails the miss and passes the hit', async () => {
  const { kms, answer } = await parts({
    retrieve: () =>
      Promise.reject(
        new SidecarError('KEY_UNAVAILABLE', 'no usable key', {
          cause: new KmsError('network', 'decrypt', 'ECONNREFUSED'),
        }),
      ),
  })
  kms.fail('network')
  const { tests } = await answer()
  expect(tests.key_retrieval_cache_miss).toMatch(/^FAIL .*network: ECONNREFUSED/)
  expect(tests.key_retrieval_cache_hit).toMatch(/^PASS/)
})

test('a bug of ours is a failed test without its inside', async () => {
  const { answer } = await parts({ isAtHand: () => JSON.parse('secret-of-a-bug') })
  const { tests, overall } = await answer()
  expect(overall).toBe('FAIL')
  expect(tests.key_retrieval_cache_hit).toMatch(/: internal error$/)
})

test('what is slower than its target is named, a hit by a target of its own', async () => {
  let nowMs = 0
  const clock = { ...systemClock, monotonicMs: () => nowMs }
  const { kms, answer } = await parts({
    clock,
    retrieve: async () => {
      nowMs += 101
    },
    isAtHand: () => {
      nowMs += 11
      return true
    },
  })
  const real = kms.wrap.bind(kms)
  kms.wrap = (...args) => {
    nowMs += 100
    return real(...args)
  }
  const { overall, latency_ms: latencies, recommendations } = await answer()
  expect(overall).toBe('PASS')
  expect(latencies).toEqual({
    generate_data_key: 0,
    encrypt: 100,
    decrypt: 0,
    cache_miss: 101,
    cache_hit: 11,
  })
  expect(recommendations.slice(0, 2)).toEqual([
    expect.stringContaining('key_retrieval_cache_miss took 101 ms, over its target of 100 ms'),
    expect.stringContaining('key_retrieval_cache_hit took 11 ms, over its target of 10 ms'),
  ])
})

test('every runbook anchor that an answer names is in the runbook', () => {
  const root = join(import.meta.dirname, '../../..')
  for (const kmsClass of Object.keys(KMS_CLASSES) as KmsClass[]) {
    const [page, anchor] = new KmsError(kmsClass, 'decrypt', '').runbook.split('#')
    expect(readFileSync(join(root, page!), 'utf8')).toContain(`<a id="${anchor}"></a>`)
  }
  for (const page of ['kms-high-latency.md', 'circuit-breaker-open.md'])
    expect(readFileSync(join(root, 'docs/runbooks', page), 'utf8')).toMatch(/^# /)
})
