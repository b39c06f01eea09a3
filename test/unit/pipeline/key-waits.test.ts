// What the figures of the caches say while the key service is away: a request that waits is one miss, however often it
// tries, and the time it took is the time it waited.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KeyResolver } from '../../../src/pipeline/request-keys.ts'
import { build } from '../keys/keys-fixture.ts'
import { ManualClock } from '../kms/manual-clock.ts'

const WAITED_MS = 8_000
const TYPES = ['encryption', 'pseudonym', 'signing'] as const
const abort = new AbortController().signal

class TimersClock extends ManualClock {
  override monotonicMs(): number {
    return performance.now()
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

async function open(onKmsFailure: 'refuse' | 'mask' = 'refuse') {
  const clock = new TimersClock()
  const built = await build({ clock })
  const desk = new KeyResolver({
    keys: built.keys,
    clock,
    onKmsFailure,
    startWaiting: () => () => undefined,
  })
  const request = (waitMs = 60_000) => desk.open({ deadlineMs: performance.now() + waitMs, abort })
  const figures = async (type: (typeof TYPES)[number]) => {
    const names = [
      `kms_cache_hit_total{key_type="${type}"}`,
      `kms_cache_miss_total{key_type="${type}"}`,
      `kms_retrieve_${type}_key_total`,
      `kms_retrieve_${type}_key_seconds_count`,
      `kms_retrieve_${type}_key_seconds_sum`,
    ]
    const [hits, misses, retrieved, waits, seconds] = await Promise.all(names.map(built.value))
    return { hits, misses, retrieved, waits, seconds: Math.round(Number(seconds)) }
  }
  return { ...built, request, figures }
}

test('requests that wait for eight seconds are one miss and one time of eight seconds for each key and tenant', async () => {
  const { kms, request, figures } = await open()
  kms.fail('network')
  const waits = ['a', 'a', 'b'].map(async (tenant) => {
    const wait = request()
    await Promise.all([wait.load(keysOf(tenant)), wait.loadSigning([tenant])])
    return wait
  })
  await vi.advanceTimersByTimeAsync(WAITED_MS - 1_000)
  kms.failure = undefined
  await vi.advanceTimersByTimeAsync(10_000)
  for (const wait of await Promise.all(waits)) {
    expect(wait.tenantKeys(['a', 'b']).filter(({ sealer }) => sealer !== undefined)).not.toEqual([])
  }
  for (const type of ['encryption', 'signing'] as const) {
    const { misses, waits: count, seconds } = await figures(type)
    expect({ misses, count }).toEqual({ misses: '3', count: '3' })
    expect(seconds).toBeGreaterThanOrEqual(3 * (WAITED_MS / 1_000 - 1))
    expect(seconds).toBeLessThanOrEqual(3 * 14)
  }
})

test('a wait that ends without a key is a miss and a time too, and a mask is no hit', async () => {
  const { kms, request, figures } = await open('mask')
  kms.fail('network')
  const refused = request(2_000)
    .loadSigning(['a'])
    .catch((thrown: unknown) => thrown)
  const masked = request(3_000)
  const both = masked.load(keysOf('a'))
  await vi.advanceTimersByTimeAsync(4_000)
  expect(await refused).toMatchObject({ code: 'KEY_UNAVAILABLE' })
  await both
  expect(masked.tenantKeys(['a'])).toMatchObject([{ sealer: 'mask', pseudonymizer: 'mask' }])
  expect(await figures('signing')).toEqual({ hits: '0', misses: '1', retrieved: '1', waits: '1', seconds: 2 })
  for (const type of ['encryption', 'pseudonym'] as const)
    expect(await figures(type)).toEqual({ hits: '0', misses: '1', retrieved: '1', waits: '1', seconds: 3 })
})

test('a request asks the cache once for each key of a tenant, however often it looks', async () => {
  const { keys, request, figures } = await open()
  await keys.loadSealer('a', abort)
  await keys.loadPseudonymizer('a', abort)
  await keys.loadSigningKey('a', abort)
  const wait = request()
  for (let times = 0; times < 3; times++) {
    wait.tenantKeys(['a', 'a', 'b'])
    wait.signingKeys(['a', 'b'])
  }
  await wait.load(keysOf('b'))
  wait.tenantKeys(['a', 'b'])
  for (const type of TYPES) expect((await figures(type)).hits).toBe('1')
})

const keysOf = (tenant: string) =>
  [
    { tenant, key: 'encryption' },
    { tenant, key: 'pseudonym' },
  ] as const
