import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { SidecarError } from '../../../src/base/errors.ts'
import { KeyCache, type KeyCacheOptions } from '../../../src/keys/cache.ts'
import { BreakerOpenError } from '../../../src/kms/breaker.ts'
import { KmsError } from '../../../src/kms/kms.ts'
import { ManualClock } from '../kms/manual-clock.ts'

const never = new AbortController().signal
const TTL_MS = 60_000
const GRACE_MS = 15_000

interface Value {
  readonly number: number
  spent?: 'nearly' | 'wholly'
}

/** A cache over a loader that numbers its values, and can fail or wait. */
function build(overrides: Partial<KeyCacheOptions<Value>> = {}) {
  const clock = new ManualClock()
  const state = {
    loads: 0,
    failure: undefined as SidecarError | undefined,
    gate: undefined as Promise<void> | undefined,
  }
  const evicted: string[] = []
  const cache = new KeyCache<Value>({
    sizeMax: 100,
    ttlMs: TTL_MS,
    staleGraceMs: GRACE_MS,
    loadMsMax: 10_000,
    failureMsMax: 5_000,
    clock,
    random: () => 0,
    load: async () => {
      const number = ++state.loads
      await state.gate
      if (state.failure !== undefined) throw state.failure
      return { number }
    },
    isSpent: (value) => value.spent === 'wholly',
    isNearlySpent: (value) => value.spent !== undefined,
    onEvict: (cause) => evicted.push(cause),
    ...overrides,
  })
  return { cache, clock, state, evicted }
}

const down = (kmsClass: KmsError['kmsClass'] = 'network'): KmsError =>
  new KmsError(kmsClass, 'decrypt', 'told to')
/** Lets promises that are ready settle. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('single flight', () => {
  test('3000 who ask at once share one load and get one value', async () => {
    const { cache, state } = build()
    const asked = Array.from({ length: 3_000 }, () => cache.load('acme', never))
    const values = await Promise.all(asked)
    expect(state.loads).toBe(1)
    expect(new Set(values).size).toBe(1)
  })

  test('3000 who ask at once share one failure', async () => {
    const { cache, state } = build()
    state.failure = down()
    const outcomes = await Promise.allSettled(Array.from({ length: 3_000 }, () => cache.load('acme', never)))
    expect(state.loads).toBe(1)
    expect(
      outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason === state.failure),
    ).toBe(true)
  })

  test('a caller who gives up does not take the load from the others', async () => {
    const { cache, state } = build()
    let open = (): void => {}
    state.gate = new Promise((resolve) => {
      open = resolve
    })
    const impatient = new AbortController()
    const first = cache.load('acme', impatient.signal)
    const second = cache.load('acme', never)
    impatient.abort()
    await expect(first).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    open()
    expect(await second).toEqual({ number: 1 })
    expect(cache.get('acme')).toEqual({ number: 1 })
  })

  test('who comes with an aborted signal is refused, and a hit needs no patience', async () => {
    const { cache } = build()
    const aborted = AbortSignal.abort()
    await expect(cache.load('acme', aborted)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' })
    await cache.load('acme', never)
    expect(await cache.load('acme', aborted)).toEqual({ number: 1 })
  })

  test('a provider that never answers is a timeout, and the next load starts anew', async () => {
    const { cache, state, clock } = build({ loadMsMax: 5 })
    state.gate = new Promise(() => {})
    await expect(cache.load('acme', never)).rejects.toMatchObject({ kmsClass: 'timeout' })
    state.gate = undefined
    clock.advance(10_000)
    expect(await cache.load('acme', never)).toEqual({ number: 2 })
  })
})

describe('ages', () => {
  test('a value is refreshed ahead of its expiry, and nobody waits for it', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS * 0.75 - 1)
    expect(cache.get('acme')).toEqual({ number: 1 })
    expect(state.loads).toBe(1)
    clock.advance(1)
    for (let times = 0; times < 100; times++) expect(cache.get('acme')).toEqual({ number: 1 })
    expect(state.loads).toBe(2)
    await settle()
    expect(cache.get('acme')).toEqual({ number: 2 })
    clock.advance(TTL_MS * 0.75 - 1)
    expect(cache.get('acme')).toEqual({ number: 2 })
  })

  test('jitter moves the refresh, never past the expiry', async () => {
    for (const random of [0, 0.5, 0.999]) {
      const { cache, clock, state } = build({ random: () => random })
      await cache.load('acme', never)
      const refreshMs = TTL_MS * (0.75 + 0.15 * random)
      clock.advance(refreshMs - 1)
      cache.get('acme')
      expect(state.loads).toBe(1)
      clock.advance(1)
      cache.get('acme')
      expect(state.loads).toBe(2)
      expect(refreshMs).toBeLessThan(TTL_MS)
    }
  })

  test('an expired value is not served while loading works: the caller waits for a new one', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS)
    expect(cache.get('acme')).toBeUndefined()
    expect(await cache.load('acme', never)).toEqual({ number: 2 })
    expect(state.loads).toBe(2)
  })

  test('looking at an expired value leaves it in place for an outage', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS + 1)
    for (let times = 0; times < 10; times++) expect(cache.get('acme')).toBeUndefined()
    state.failure = down()
    expect(await cache.load('acme', never)).toEqual({ number: 1 })
    expect(cache.get('acme')).toEqual({ number: 1 })
  })
})

describe('outage', () => {
  for (const kmsClass of ['network', 'timeout', 'throttled'] as const) {
    test(`${kmsClass}: an expired value serves to the end of its grace, and not a millisecond longer`, async () => {
      const { cache, clock, state } = build()
      await cache.load('acme', never)
      state.failure = down(kmsClass)
      clock.advance(TTL_MS)
      expect(await cache.load('acme', never)).toEqual({ number: 1 })
      clock.advance(GRACE_MS - 1)
      expect(cache.get('acme')).toEqual({ number: 1 })
      await settle()
      clock.advance(1)
      expect(cache.get('acme')).toBeUndefined()
      clock.advance(60_000)
      await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    })
  }

  for (const kmsClass of ['access_denied', 'key_disabled', 'key_not_found'] as const) {
    test(`${kmsClass} is an answer, not an outage: no grace after expiry`, async () => {
      const { cache, clock, state } = build()
      await cache.load('acme', never)
      state.failure = down(kmsClass)
      clock.advance(TTL_MS - 1)
      expect(cache.get('acme')).toEqual({ number: 1 })
      await settle()
      clock.advance(1)
      expect(cache.get('acme')).toBeUndefined()
      await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    })
  }

  test('a withdrawn key stays withdrawn: an outage after a final answer gives it no grace', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    state.failure = down('key_disabled')
    clock.advance(TTL_MS * 0.8)
    expect(cache.get('acme')).toEqual({ number: 1 })
    await settle()
    expect(state.loads).toBe(2)
    // Expired from the second round on, and well within the grace of a key that nobody withdrew.
    for (const kmsClass of ['timeout', 'network', 'throttled'] as const) {
      state.failure = down(kmsClass)
      clock.advance(TTL_MS * 0.1)
      if (cache.get('acme') !== undefined) await settle()
    }
    expect(state.loads).toBe(3)
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(cache.get('acme')).toBeUndefined()

    state.failure = undefined
    clock.advance(GRACE_MS / 2)
    const { number } = await cache.load('acme', never)
    state.failure = down('timeout')
    clock.advance(TTL_MS)
    expect(await cache.load('acme', never)).toEqual({ number })
  })

  test('a refresh that failed ahead of time means nobody waits at the expiry', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    state.failure = down()
    clock.advance(TTL_MS * 0.9)
    cache.get('acme')
    await settle()
    clock.advance(TTL_MS * 0.1 + 1)
    expect(cache.get('acme')).toEqual({ number: 1 })
  })

  test('failures are remembered for a moment: the service is not asked again by every request', async () => {
    const { cache, clock, state } = build()
    state.failure = down()
    for (let times = 0; times < 50; times++)
      await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(state.loads).toBe(1)
    clock.advance(249)
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(state.loads).toBe(1)
    clock.advance(1)
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(state.loads).toBe(2)
  })

  test('ten minutes down cost few calls, and the first call after the return brings the new value', async () => {
    const { cache, clock, state } = build({ random: () => 0.5 })
    await cache.load('acme', never)
    state.failure = down()
    clock.advance(TTL_MS)
    for (let step = 0; step < 6_000; step++) {
      clock.advance(100)
      if (cache.get('acme') === undefined) await cache.load('acme', never).catch(() => {})
      if (step % 10 === 0) await settle()
    }
    expect(state.loads).toBeLessThan(200)
    expect(state.loads).toBeGreaterThan(100)
    state.failure = undefined
    clock.advance(6_000)
    const before = state.loads
    expect(await cache.load('acme', never)).toEqual({ number: before + 1 })
  })

  test('own failures hold a tenant back for no longer than it was told', async () => {
    const { cache, clock, state } = build({ failureMsMax: 500, random: () => 0.999 })
    state.failure = down()
    for (let times = 1; times <= 10; times++) {
      await expect(cache.load('acme', never)).rejects.toBe(state.failure)
      expect(state.loads).toBe(times)
      clock.advance(500)
    }
  })

  test.each([
    // [the breaker opens its door in, the cache asks it again after]
    [5_000, 250],
    [100, 100],
    [1, 1],
  ])(
    'an open breaker with %i ms left is asked again after %i ms, however often it turned this tenant away',
    async (retryAfterMs, pauseMs) => {
      const { cache, clock, state } = build({ random: () => 0.999 })
      state.failure = new BreakerOpenError('decrypt', down(), retryAfterMs)
      for (let times = 1; times <= 20; times++) {
        await expect(cache.load('acme', never)).rejects.toBe(state.failure)
        expect(state.loads).toBe(times)
        clock.advance(pauseMs - 1)
        await expect(cache.load('acme', never)).rejects.toBe(state.failure)
        expect(state.loads).toBe(times)
        clock.advance(1)
      }
      state.failure = undefined
      expect(await cache.load('acme', never)).toEqual({ number: 21 })
    },
  )

  test('being turned away is no failure: the first real one begins with the short pause', async () => {
    const { cache, clock, state } = build()
    state.failure = new BreakerOpenError('decrypt', down(), 5_000)
    for (let times = 0; times < 5; times++) {
      await cache.load('acme', never).catch(() => {})
      clock.advance(250)
    }
    state.failure = down()
    await cache.load('acme', never).catch(() => {})
    clock.advance(250)
    state.failure = undefined
    expect(await cache.load('acme', never)).toEqual({ number: 7 })
  })

  test('a success ends the memory of failures: the next outage begins with the short pause', async () => {
    const { cache, clock, state } = build()
    state.failure = down()
    for (let times = 0; times < 4; times++) {
      await expect(cache.load('acme', never)).rejects.toBe(state.failure)
      clock.advance(10_000)
    }
    state.failure = undefined
    await cache.load('acme', never)
    clock.advance(TTL_MS + GRACE_MS)
    state.failure = down()
    const before = state.loads
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    clock.advance(250)
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(state.loads).toBe(before + 2)
  })

  test('one tenant’s failure is not another’s', async () => {
    const { cache, state } = build()
    state.failure = down('key_disabled')
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    state.failure = undefined
    expect(await cache.load('other', never)).toEqual({ number: 2 })
  })
})

describe('a service that hangs', () => {
  const hanging = new Promise<void>(() => {})
  const PATIENCE_MS = 200

  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  /** The answer, or `waits`, after so much of the load's time. */
  async function answerAfter(ms: number, asked: Promise<Value>): Promise<Value | 'waits' | 'refused'> {
    const answer = asked.catch(() => 'refused' as const)
    await vi.advanceTimersByTimeAsync(ms)
    return Promise.race([answer, settle().then(() => 'waits' as const)])
  }

  test('a key that expired a moment before serves, after a moment of waiting and then at once', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS + 1)
    state.gate = hanging
    const asked = cache.load('acme', never)
    expect(await answerAfter(PATIENCE_MS - 1, asked)).toBe('waits')
    expect(await answerAfter(1, asked)).toEqual({ number: 1 })
    for (let times = 0; times < 100; times++) expect(cache.get('acme')).toEqual({ number: 1 })
    expect(state.loads).toBe(2)
  })

  test('a load that began ahead of the expiry and hangs beyond it holds nobody up', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS - 1)
    state.gate = hanging
    expect(cache.get('acme')).toEqual({ number: 1 })
    await vi.advanceTimersByTimeAsync(PATIENCE_MS)
    clock.advance(2)
    expect(cache.get('acme')).toEqual({ number: 1 })
  })

  test('the old key serves to the end of its grace, and not a millisecond longer', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS)
    state.gate = hanging
    cache.load('acme', never).catch(() => {})
    await vi.advanceTimersByTimeAsync(PATIENCE_MS)
    clock.advance(GRACE_MS - 1)
    expect(cache.get('acme')).toEqual({ number: 1 })
    clock.advance(1)
    expect(cache.get('acme')).toBeUndefined()
  })

  test.each(['access_denied', 'key_disabled'] as const)(
    'a slow %s ends the key: it served no longer than the answer took',
    async (kmsClass) => {
      const { cache, clock, state } = build()
      const opened = Promise.withResolvers<void>()
      await cache.load('acme', never)
      clock.advance(TTL_MS)
      state.gate = opened.promise
      state.failure = down(kmsClass)
      expect(await answerAfter(PATIENCE_MS, cache.load('acme', never))).toEqual({ number: 1 })
      opened.resolve()
      await settle()
      expect(cache.get('acme')).toBeUndefined()
    },
  )

  test('a key that was refused before the hang stays refused', async () => {
    const { cache, clock, state } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS - 1)
    state.failure = down('key_disabled')
    cache.get('acme')
    await settle()
    state.failure = undefined
    state.gate = hanging
    clock.advance(5_000)
    expect(await answerAfter(PATIENCE_MS, cache.load('acme', never))).toBe('waits')
    expect(cache.get('acme')).toBeUndefined()
  })

  test('nothing serves in its place where there is no key, a spent one, or one that was forgotten', async () => {
    const { cache, clock, state } = build()
    const spent = await cache.load('spent', never)
    spent.spent = 'wholly'
    await cache.load('flushed', never)
    clock.advance(TTL_MS)
    state.gate = hanging
    const asked = ['new', 'spent', 'flushed'].map((tenant) => cache.load(tenant, never))
    cache.delete('flushed')
    for (const answer of asked) expect(await answerAfter(PATIENCE_MS, answer)).toBe('waits')
    expect(cache.get('flushed')).toBeUndefined()
  })

  test('a renewal takes no old key for its answer', async () => {
    const { cache, state } = build()
    await cache.load('acme', never)
    state.gate = hanging
    expect(await answerAfter(PATIENCE_MS, cache.renew('acme', never))).toBe('waits')
  })

  test('a new key that comes late takes the place of the old one', async () => {
    const { cache, clock, state } = build()
    const opened = Promise.withResolvers<void>()
    await cache.load('acme', never)
    clock.advance(TTL_MS)
    state.gate = opened.promise
    expect(await answerAfter(PATIENCE_MS, cache.load('acme', never))).toEqual({ number: 1 })
    opened.resolve()
    await settle()
    expect(cache.get('acme')).toEqual({ number: 2 })
  })
})

describe('spent values', () => {
  test('a nearly spent value serves while its successor is loaded', async () => {
    const { cache, state } = build()
    const value = await cache.load('acme', never)
    value.spent = 'nearly'
    expect(cache.get('acme')).toBe(value)
    await settle()
    expect(cache.get('acme')).toEqual({ number: 2 })
    expect(state.loads).toBe(2)
  })

  test('a wholly spent value never serves, outage or not', async () => {
    const { cache, state } = build()
    const value = await cache.load('acme', never)
    value.spent = 'wholly'
    expect(cache.get('acme')).toBeUndefined()
    state.failure = down()
    await expect(cache.load('acme', never)).rejects.toBe(state.failure)
    expect(cache.get('acme')).toBeUndefined()
  })
})

describe('bounds and forgetting', () => {
  test('the least recently used tenant leaves, and is counted', async () => {
    const { cache, evicted } = build({ sizeMax: 2 })
    await cache.load('a', never)
    await cache.load('b', never)
    cache.get('a')
    await cache.load('c', never)
    expect(cache.size).toBe(2)
    expect(cache.get('b')).toBeUndefined()
    expect(cache.get('a')).toEqual({ number: 1 })
    expect(evicted).toEqual(['capacity'])
  })

  test('2000 tenants in a cache of 1000 all get their keys', async () => {
    const { cache, state } = build({ sizeMax: 1_000 })
    for (let round = 0; round < 2; round++) {
      for (let tenant = 0; tenant < 2_000; tenant++) {
        expect((await cache.load(`t${tenant}`, never)).number).toBeGreaterThan(0)
      }
    }
    expect(cache.size).toBe(1_000)
    expect(state.loads).toBe(4_000)
  })

  test('a value that was deleted while it was loaded goes to its callers and is not kept', async () => {
    const { cache, state } = build()
    let open = (): void => {}
    state.gate = new Promise((resolve) => {
      open = resolve
    })
    const asked = cache.load('acme', never)
    cache.delete('acme')
    open()
    expect(await asked).toEqual({ number: 1 })
    expect(cache.get('acme')).toBeUndefined()
  })

  test('purge drops only what may never serve again', async () => {
    const { cache, clock, evicted } = build()
    await cache.load('old', never)
    clock.advance(TTL_MS + GRACE_MS - 1)
    await cache.load('new', never)
    cache.purge()
    expect(cache.size).toBe(2)
    clock.advance(1)
    cache.purge()
    expect(cache.size).toBe(1)
    expect(evicted).toEqual(['expired'])
    cache.clear()
    expect(cache.size).toBe(0)
    expect(evicted).toEqual(['expired', 'flushed'])
  })

  test('replacing a value is no eviction', async () => {
    const { cache, clock, evicted } = build()
    await cache.load('acme', never)
    clock.advance(TTL_MS)
    await cache.load('acme', never)
    expect(evicted).toEqual([])
  })

  for (const tenant of ['__proto__', 'constructor', 'toString', '', '\u0000']) {
    test(`a tenant called ${JSON.stringify(tenant)} is a tenant like others`, async () => {
      const { cache } = build()
      expect(cache.get(tenant)).toBeUndefined()
      expect(await cache.load(tenant, never)).toEqual({ number: 1 })
      expect(cache.get(tenant)).toEqual({ number: 1 })
    })
  }
})

test('whatever happens in whatever order, no value serves beyond its grace and loads never overlap', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: TTL_MS }) }),
    fc.record({
      do: fc.constantFrom('get' as const, 'load' as const, 'down' as const, 'up' as const, 'settle' as const),
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = new ManualClock()
      let [isDown, inFlight, overlaps] = [false, 0, 0]
      const cache = new KeyCache<{ loadedMs: number }>({
        sizeMax: 3,
        ttlMs: TTL_MS,
        staleGraceMs: GRACE_MS,
        loadMsMax: 10_000,
        failureMsMax: 5_000,
        clock,
        random: () => 0.5,
        load: async () => {
          if (++inFlight > 1) overlaps++
          await settle()
          inFlight--
          if (isDown) throw down()
          return { loadedMs: clock.ms }
        },
      })
      for (const what of steps) {
        if (what.do === 'advance') clock.advance(what.ms)
        else if (what.do === 'settle') await settle()
        else if (what.do === 'down' || what.do === 'up') isDown = what.do === 'down'
        else {
          const startMs = clock.ms
          const value =
            what.do === 'get' ? cache.get('t') : await cache.load('t', never).catch(() => undefined)
          if (value !== undefined) expect(startMs - value.loadedMs).toBeLessThan(TTL_MS + GRACE_MS)
        }
      }
      expect(overlaps).toBe(0)
    }),
    { numRuns: 200 },
  )
})
