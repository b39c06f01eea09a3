// What opossum is asked for. Each of these is on unless told, and costs something for nothing: a timer for each breaker,
// latencies that nobody reads, a second bound in time, or one signal that would end the calls of all tenants at once.
import { EventEmitter } from 'node:events'
import type CircuitBreaker from 'opossum'
import { expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { Breaker } from '../../../src/kms/breaker.ts'
import { KmsError } from '../../../src/kms/kms.ts'

const made = vi.hoisted(() => [] as CircuitBreaker[])
vi.mock('opossum', async (importOriginal) => {
  const { default: Real } = await importOriginal<{ default: typeof CircuitBreaker }>()
  class Seen extends Real {
    constructor(...args: ConstructorParameters<typeof Real>) {
      super(...args)
      made.push(this)
    }
  }
  return { default: Seen }
})

test('no latencies, no snapshots, no timeout of its own, no shared abort, no cache; the window moves from outside', async () => {
  vi.useFakeTimers()
  const rotation = new EventEmitter()
  const breaker = new Breaker({
    options: { requestsMin: 7, failurePercent: 30, openMs: 1_234, successesToClose: 3 },
    answerMsMax: 5_000,
    counts: () => true,
    clock: systemClock,
    rotation,
    onChange: () => {},
  })
  expect(vi.getTimerCount()).toBe(0)
  breaker.reset()
  expect(made).toHaveLength(2)
  // opossum's types leave out what it holds of its options.
  const held = made.map((circuit) => (circuit as unknown as { options: Record<string, unknown> }).options)
  for (const options of held) {
    expect(options).toMatchObject({
      timeout: false,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      resetTimeout: 1_234,
      volumeThreshold: 7,
      rollingCountTimeout: 10_000,
      rollingCountBuckets: 10,
      coalesce: false,
    })
    expect(options.rotateBucketController).toBe(rotation)
    for (const absent of ['abortController', 'autoRenewAbortController', 'cache', 'status', 'allowWarmUp'])
      expect([absent, options[absent]]).toEqual([absent, undefined])
  }

  for (let count = 0; count < 6; count++)
    await breaker.call('decrypt', new AbortController().signal, async () => 1)
  await breaker
    .call('decrypt', new AbortController().signal, () =>
      Promise.reject(new KmsError('network', 'decrypt', 'down')),
    )
    .catch(() => {})
  const { stats } = made[1]!
  expect(stats).toMatchObject({ successes: 6, failures: 1, latencyMean: -1, latencyTimes: [] })
  expect(vi.getTimerCount()).toBe(0)
  breaker.close()
  vi.useRealTimers()
})
