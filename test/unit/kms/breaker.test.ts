import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Breaker, BreakerOpenError } from '../../../src/kms/breaker.ts'
import type { BreakerOptions } from '../../../src/kms/breaker-options.ts'
import { KMS_CLASSES, type KmsClass, KmsError } from '../../../src/kms/kms.ts'

const OPTIONS: BreakerOptions = { requestsMin: 10, failurePercent: 50, openMs: 5_000, successesToClose: 3 }
const never = new AbortController().signal
const made: Breaker[] = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
})
afterEach(() => {
  for (const breaker of made.splice(0)) breaker.close()
  vi.useRealTimers()
})

function create(options: Partial<BreakerOptions> = {}) {
  const changes: string[] = []
  const rotation = new EventEmitter()
  const clock = { nowMs: Date.now, nowNs: () => 0n, monotonicMs: () => performance.now() }
  const breaker = new Breaker({
    options: { ...OPTIONS, ...options },
    answerMsMax: 5_000,
    counts: (kmsClass) => KMS_CLASSES[kmsClass].countsForBreaker,
    clock,
    rotation,
    onChange: (state) => changes.push(state),
  })
  made.push(breaker)
  return { breaker, changes, rotation }
}

const succeed = (breaker: Breaker) => breaker.call('decrypt', never, async () => 'plain')
const failWith = (breaker: Breaker, kmsClass: KmsClass, signal = never) =>
  breaker
    .call('decrypt', signal, () => Promise.reject(new KmsError(kmsClass, 'decrypt', `it was ${kmsClass}`)))
    .catch((thrown: unknown) => thrown)

async function trip(breaker: Breaker, kmsClass: KmsClass = 'network'): Promise<void> {
  for (let count = 0; count < OPTIONS.requestsMin; count++) await failWith(breaker, kmsClass)
  expect(breaker.state).toBe('open')
}

/** A call that ends when told. */
function pending(breaker: Breaker) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const outcome = breaker.call('decrypt', never, () => promise).catch((thrown: unknown) => thrown)
  return { outcome, resolve: () => resolve('plain'), reject: (error: KmsError) => reject(error) }
}

test.each([
  // [successes, failures, opens]
  [0, 9, false],
  [0, 10, true],
  [5, 5, true],
  [6, 5, false],
  [6, 6, true],
  [99, 98, false],
  [99, 99, true],
])('%i successes and then %i failures: opens %s', async (successes, failures, opens) => {
  const { breaker } = create()
  for (let count = 0; count < successes; count++) await succeed(breaker)
  let early = 0
  for (let count = 0; count < failures; count++) {
    if (breaker.state === 'open') early++
    await failWith(breaker, 'timeout')
  }
  expect([breaker.state === 'open', early]).toEqual([opens, 0])
})

test.each([1, 50, 99, 100])('at failurePercent %i the share itself opens', async (failurePercent) => {
  const { breaker } = create({ failurePercent, requestsMin: 100 })
  for (let count = 0; count < 100 - failurePercent; count++) await succeed(breaker)
  for (let count = 1; count < failurePercent; count++) await failWith(breaker, 'network')
  expect(breaker.state).toBe('closed')
  await failWith(breaker, 'network')
  expect(breaker.state).toBe('open')
})

test.each(Object.keys(KMS_CLASSES) as KmsClass[])(
  'class %s counts as the taxonomy says, and only so',
  async (kmsClass) => {
    const { breaker } = create()
    for (let count = 0; count < 100; count++) await failWith(breaker, kmsClass)
    expect(breaker.state).toBe(KMS_CLASSES[kmsClass].countsForBreaker ? 'open' : 'closed')
  },
)

test('failures that do not count do not thin out those that do', async () => {
  const { breaker } = create()
  for (let count = 0; count < 9; count++) {
    await failWith(breaker, 'network')
    await failWith(breaker, 'invalid_ciphertext')
    await failWith(breaker, 'bad_request')
  }
  expect(breaker.state).toBe('closed')
  await failWith(breaker, 'network')
  expect(breaker.state).toBe('open')
})

test('an open breaker makes no call, says so, and names the class, the cause and the time left', async () => {
  const { breaker } = create()
  await trip(breaker, 'throttled')
  vi.advanceTimersByTime(2_000)
  const call = vi.fn(async () => 'plain')
  const error = await breaker.call('decrypt', never, call).catch((thrown: unknown) => thrown)
  expect(call).not.toHaveBeenCalled()
  expect(error).toBeInstanceOf(BreakerOpenError)
  expect(error).toMatchObject({ code: 'KMS', kmsClass: 'throttled', isRetryable: true, retryAfterMs: 3_000 })
  expect((error as KmsError).logText).toMatch(
    /^KmsException throttled in decrypt: circuit breaker is open; last failure: it was throttled/,
  )
})

test('an open breaker does not make "denied" retryable, or a withdrawn key would get stale grace', async () => {
  const { breaker } = create()
  await trip(breaker, 'access_denied')
  await expect(succeed(breaker)).rejects.toMatchObject({ kmsClass: 'access_denied', isRetryable: false })
})

test('three trials have to succeed, and then the window is empty', async () => {
  const { breaker, changes } = create()
  await trip(breaker)
  vi.advanceTimersByTime(4_999)
  expect(breaker.state).toBe('open')
  vi.advanceTimersByTime(1)
  for (let count = 0; count < 3; count++) {
    expect(breaker.state).toBe('half-open')
    await succeed(breaker)
  }
  expect(breaker.state).toBe('closed')
  expect(changes).toEqual(['open', 'half-open', 'closed'])
  // The failures that opened it are five seconds old, and forgotten.
  for (let count = 0; count < 9; count++) await failWith(breaker, 'network')
  expect(breaker.state).toBe('closed')
})

test('one failed trial opens it again for its whole time', async () => {
  const { breaker, changes } = create()
  await trip(breaker)
  vi.advanceTimersByTime(5_000)
  await succeed(breaker)
  await succeed(breaker)
  await failWith(breaker, 'timeout')
  expect(breaker.state).toBe('open')
  vi.advanceTimersByTime(4_999)
  expect(breaker.state).toBe('open')
  vi.advanceTimersByTime(1)
  // Successes of the earlier trials do not count now.
  await succeed(breaker)
  await succeed(breaker)
  expect(breaker.state).toBe('half-open')
  await succeed(breaker)
  expect(changes).toEqual(['open', 'half-open', 'open', 'half-open', 'closed'])
})

/** Trials that are under way, and others that came while they were. */
async function halfOpenWith(otherCount: number) {
  const { breaker } = create()
  await trip(breaker)
  vi.advanceTimersByTime(5_000)
  const trials = [pending(breaker), pending(breaker), pending(breaker)]
  const run = vi.fn(async () => 'plain')
  const others = Array.from({ length: otherCount }, () =>
    breaker.call('decrypt', never, run).catch((thrown: unknown) => thrown),
  )
  await vi.advanceTimersByTimeAsync(0)
  expect(run).not.toHaveBeenCalled()
  return { breaker, trials, run, others }
}

test('half-open lets three trials through at once; the rest goes on the moment they have closed it', async () => {
  const { breaker, trials, run, others } = await halfOpenWith(100)
  for (const trial of trials) trial.resolve()
  expect(await Promise.all(trials.map(({ outcome }) => outcome))).toEqual(['plain', 'plain', 'plain'])
  expect(new Set(await Promise.all(others))).toEqual(new Set(['plain']))
  expect(run).toHaveBeenCalledTimes(100)
  expect(breaker.state).toBe('closed')
  expect(vi.getTimerCount()).toBe(0)
})

test('when a trial fails, the rest is turned away without a call', async () => {
  const { trials, run, others } = await halfOpenWith(100)
  trials[0]!.reject(new KmsError('network', 'decrypt', 'still down'))
  for (const error of await Promise.all(others)) {
    expect(error).toBeInstanceOf(BreakerOpenError)
    expect(error).toMatchObject({ retryAfterMs: 5_000 })
  }
  expect(run).not.toHaveBeenCalled()
})

test('the rest waits a quarter of a second for trials that hang, and is then turned away', async () => {
  const { breaker, run, others } = await halfOpenWith(2)
  const late = vi.fn()
  for (const other of others) void other.then(late)
  await vi.advanceTimersByTimeAsync(249)
  expect(late).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(late.mock.calls).toEqual([[expect.any(BreakerOpenError)], [expect.any(BreakerOpenError)]])
  expect(run).not.toHaveBeenCalled()
  expect(breaker.state).toBe('half-open')
})

test('who gives up waiting for the trials is gone at once', async () => {
  const { breaker } = await halfOpenWith(0)
  const giveUp = new AbortController()
  const waiting = breaker.call('decrypt', giveUp.signal, async () => 'plain')
  giveUp.abort()
  await expect(waiting).rejects.toBeInstanceOf(BreakerOpenError)
})

test('a trial that says nothing makes room for one of those who wait, and for no more', async () => {
  const { breaker, trials, run, others } = await halfOpenWith(2)
  run.mockImplementation(() => new Promise<string>(() => {}))
  trials[0]!.reject(new KmsError('invalid_ciphertext', 'decrypt', 'not that key'))
  await trials[0]!.outcome
  await vi.advanceTimersByTimeAsync(1)
  expect(run).toHaveBeenCalledTimes(1)
  expect(breaker.state).toBe('half-open')
  expect(others).toHaveLength(2)
})

test('no more trials are made than successes are missing', async () => {
  const { breaker } = create()
  await trip(breaker)
  vi.advanceTimersByTime(5_000)
  await succeed(breaker)
  const trials = [pending(breaker), pending(breaker)]
  const third = vi.fn(async () => 'plain')
  const waiting = breaker.call('decrypt', never, third)
  await vi.advanceTimersByTimeAsync(1)
  expect(third).not.toHaveBeenCalled()
  for (const trial of trials) trial.resolve()
  await Promise.all(trials.map(({ outcome }) => outcome))
  expect(breaker.state).toBe('closed')
  await expect(waiting).resolves.toBe('plain')
})

test('a trial that counts for nobody gives its place back', async () => {
  const { breaker } = create()
  await trip(breaker)
  vi.advanceTimersByTime(5_000)
  for (let count = 0; count < 20; count++) await failWith(breaker, 'invalid_ciphertext')
  expect(breaker.state).toBe('half-open')
  for (let count = 0; count < 3; count++) await succeed(breaker)
  expect(breaker.state).toBe('closed')
})

test('an outcome speaks only for the period in which its call began', async () => {
  const { breaker } = create()
  const early = pending(breaker)
  const earlyFailure = pending(breaker)
  await trip(breaker)
  vi.advanceTimersByTime(5_000)
  const trial = pending(breaker)
  early.resolve()
  earlyFailure.reject(new KmsError('network', 'decrypt', 'old'))
  await Promise.all([early.outcome, earlyFailure.outcome])
  expect(breaker.state).toBe('half-open')
  await failWith(breaker, 'network') // another trial, which opens it again
  vi.advanceTimersByTime(5_000)
  trial.reject(new KmsError('network', 'decrypt', 'trial of the first half-open period'))
  await trial.outcome
  expect(breaker.state).toBe('half-open')
})

test('a call that its caller gave up counts for nobody; one that was bounded in time counts', async () => {
  const { breaker } = create()
  for (let count = 0; count < 50; count++) await failWith(breaker, 'timeout', AbortSignal.abort())
  expect(breaker.state).toBe('closed')
  const overdue = AbortSignal.abort(new KmsError('timeout', 'decrypt', 'No response after 5000ms'))
  for (let count = 0; count < 10; count++) await failWith(breaker, 'timeout', overdue)
  expect(breaker.state).toBe('open')
})

test.each([
  [4_999, 'closed'],
  [5_000, 'open'],
])('calls that their callers gave up after %i ms leave it %s', async (waitedMs, state) => {
  const { breaker } = create()
  const giveUp = new AbortController()
  const calls = Array.from({ length: 10 }, () =>
    breaker
      .call('decrypt', giveUp.signal, async () => {
        await new Promise((resolve) => giveUp.signal.addEventListener('abort', resolve))
        throw new KmsError('timeout', 'decrypt', 'gave up waiting')
      })
      .catch(() => {}),
  )
  vi.advanceTimersByTime(waitedMs)
  giveUp.abort()
  await Promise.all(calls)
  expect(breaker.state).toBe(state)
})

test('a window of ten seconds forgets', async () => {
  const { breaker, rotation } = create()
  for (let count = 0; count < 9; count++) await failWith(breaker, 'network')
  for (let second = 0; second < 10; second++) rotation.emit('rotate')
  await failWith(breaker, 'network')
  expect(breaker.state).toBe('closed')
  for (let second = 0; second < 9; second++) rotation.emit('rotate')
  for (let count = 0; count < 9; count++) await failWith(breaker, 'network')
  expect(breaker.state).toBe('open')
})

test.each([
  ['open', 0],
  ['half-open', 5_000],
])('reset closes an %s breaker for good, and its timer does not come back', async (state, afterMs) => {
  const { breaker, changes } = create()
  await trip(breaker)
  vi.advanceTimersByTime(afterMs)
  expect(breaker.state).toBe(state)
  breaker.reset()
  expect(breaker.state).toBe('closed')
  vi.advanceTimersByTime(60_000)
  expect(breaker.state).toBe('closed')
  expect(changes.at(-1)).toBe('closed')
  await expect(succeed(breaker)).resolves.toBe('plain')
})

test('a closed breaker leaves no listener and no timer behind', async () => {
  const { breaker, rotation } = create()
  await trip(breaker)
  breaker.reset()
  expect(rotation.listenerCount('rotate')).toBe(1)
  await trip(breaker)
  breaker.close()
  expect(rotation.listenerCount('rotate')).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('whatever happens, it opens exactly when a model of ten calls and one half says so', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (outcomes) => {
      const { breaker } = create()
      let failures = 0
      let isOpen = false
      for (const [index, isSuccess] of outcomes.entries()) {
        if (isSuccess) await succeed(breaker).catch(() => undefined)
        else await failWith(breaker, 'network')
        if (isOpen) continue
        if (!isSuccess) failures++
        isOpen = !isSuccess && index + 1 >= 10 && failures / (index + 1) >= 0.5
        expect(breaker.state).toBe(isOpen ? 'open' : 'closed')
      }
    }),
  )
})
