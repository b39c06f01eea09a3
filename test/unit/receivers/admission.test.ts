import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { Admission, type Lease } from '../../../src/receivers/admission.ts'

const NEVER = new AbortController().signal

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const clock: Clock = { nowMs: () => 0, nowNs: () => 0n, monotonicMs: () => performance.now() }
const make = (bytesMax: number, waitingMax = 100): Admission => new Admission({ bytesMax, waitingMax }, clock)
const in1s = (): number => performance.now() + 1_000

/** A lease that holds so many bytes from the start. */
async function admit(
  admission: Admission,
  bytes: number,
  deadlineMs: number,
  abort: AbortSignal,
): Promise<Lease> {
  const lease = admission.open(deadlineMs, abort)
  try {
    await lease.grow(bytes)
    return lease
  } catch (error) {
    lease.release()
    throw error
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof SidecarError ? error.code : 'not a SidecarError'),
  )
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  const mark = (): void => {
    isSettled = true
  }
  promise.then(mark, mark)
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  return isSettled
}

describe('room', () => {
  test.each([
    [0, true],
    [1, true],
    [99, true],
    [100, true],
  ])('%i of 100 bytes are admitted at once', async (bytes) => {
    const admission = make(100)
    const lease = await admit(admission, bytes, in1s(), NEVER)
    expect(admission.bytesUsed).toBe(bytes)
    lease.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('what can never fit is TOO_LARGE at once, also by growing', async () => {
    const admission = make(100)
    expect(await codeOf(admit(admission, 101, in1s(), NEVER))).toBe('TOO_LARGE')
    const lease = await admit(admission, 100, in1s(), NEVER)
    expect(await codeOf(lease.grow(1))).toBe('TOO_LARGE')
  })

  test('a second release gives nothing back twice', async () => {
    const admission = make(100)
    const other = await admit(admission, 40, in1s(), NEVER)
    const lease = await admit(admission, 50, in1s(), NEVER)
    lease.release()
    lease.release()
    expect(admission.bytesUsed).toBe(40)
    other.release()
    expect(admission.leaseCount).toBe(0)
  })
})

describe('waiting', () => {
  test('is in order of arrival: a small one does not pass a large one', async () => {
    const admission = make(100)
    const first = await admit(admission, 60, in1s(), NEVER)
    const large = admit(admission, 90, in1s(), NEVER)
    const small = admit(admission, 10, in1s(), NEVER)
    expect(await settled(small)).toBe(false)
    first.release()
    const leases = await Promise.all([large, small])
    expect(admission.bytesUsed).toBe(100)
    for (const lease of leases) lease.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('ends with the deadline, OVERLOADED with a hint, and lets those behind pass', async () => {
    const admission = make(100)
    const holder = await admit(admission, 60, in1s(), NEVER)
    const large = admit(admission, 90, performance.now() + 500, NEVER)
    const small = admit(admission, 10, performance.now() + 5_000, NEVER)
    const outcome = large.catch((error: unknown) => error)
    vi.advanceTimersByTime(499)
    expect(await settled(large)).toBe(false)
    vi.advanceTimersByTime(1)
    const error = await outcome
    expect(error).toMatchObject({ code: 'OVERLOADED' })
    expect((error as SidecarError).retryAfterMs).toBeGreaterThan(0)
    ;(await small).release()
    holder.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('a deadline that has passed is refused without waiting', async () => {
    const admission = make(100)
    await admit(admission, 100, in1s(), NEVER)
    expect(await codeOf(admit(admission, 1, performance.now(), NEVER))).toBe('OVERLOADED')
    expect(admission.waitingCount).toBe(0)
  })

  test('no more than waitingMax wait', async () => {
    const admission = make(100, 2)
    const holder = await admit(admission, 100, in1s(), NEVER)
    const waiting = [admit(admission, 1, in1s(), NEVER), admit(admission, 1, in1s(), NEVER)]
    expect(await codeOf(admit(admission, 1, in1s(), NEVER))).toBe('OVERLOADED')
    holder.release()
    for (const lease of await Promise.all(waiting)) lease.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('abort leaves the line and leaks nothing, before and while waiting', async () => {
    const admission = make(100)
    const holder = await admit(admission, 100, in1s(), NEVER)
    const gone = new AbortController()
    const waiting = codeOf(admit(admission, 10, in1s(), gone.signal))
    expect(admission.waitingCount).toBe(1)
    gone.abort()
    expect(await waiting).toBe('OVERLOADED')
    expect(await codeOf(admit(admission, 10, in1s(), gone.signal))).toBe('OVERLOADED')
    expect(admission.waitingCount).toBe(0)
    holder.release()
    expect(admission.bytesUsed).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('close tells everybody who waits, and everybody to come', async () => {
    const admission = make(100)
    const holder = await admit(admission, 100, in1s(), NEVER)
    const waiting = codeOf(admit(admission, 10, in1s(), NEVER))
    admission.close()
    expect(await waiting).toBe('SHUTTING_DOWN')
    expect(await codeOf(admit(admission, 10, in1s(), NEVER))).toBe('SHUTTING_DOWN')
    holder.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('the hint follows the measured rate of release', async () => {
    const admission = make(1_000)
    // 1,000 bytes per second for six seconds.
    for (let second = 0; second < 6; second++) {
      const lease = await admit(admission, 1_000, in1s(), NEVER)
      vi.advanceTimersByTime(1_000)
      lease.release()
    }
    const holder = await admit(admission, 1_000, in1s(), NEVER)
    const refused = await admit(admission, 1_000, performance.now(), NEVER).catch(
      (error: SidecarError) => error,
    )
    expect((refused as SidecarError).retryAfterMs).toBeGreaterThanOrEqual(900)
    expect((refused as SidecarError).retryAfterMs).toBeLessThanOrEqual(1_100)
    holder.release()
  })
})

describe('growing', () => {
  test('goes before those who hold nothing yet', async () => {
    const admission = make(100)
    const grower = await admit(admission, 50, in1s(), NEVER)
    const holder = await admit(admission, 50, in1s(), NEVER)
    const newcomer = admit(admission, 40, in1s(), NEVER)
    const grown = grower.grow(30)
    holder.release()
    await grown
    expect(grower.bytes).toBe(80)
    expect(await settled(newcomer)).toBe(false)
    grower.release()
    ;(await newcomer).release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('when everybody waits to grow, the last to ask gives up and the others go on', async () => {
    const admission = make(100)
    const first = await admit(admission, 50, in1s(), NEVER)
    const second = await admit(admission, 50, in1s(), NEVER)
    const firstGrown = first.grow(20)
    expect(await settled(firstGrown)).toBe(false)
    expect(await codeOf(second.grow(20))).toBe('OVERLOADED')
    second.release()
    await firstGrown
    expect(first.bytes).toBe(70)
    first.release()
    expect(admission.bytesUsed).toBe(0)
  })

  test('a lease released while it waits to grow leaks nothing', async () => {
    const admission = make(100)
    const grower = await admit(admission, 50, in1s(), NEVER)
    const holder = await admit(admission, 50, in1s(), NEVER)
    const grown = grower.grow(10)
    grower.release()
    await grown
    holder.release()
    expect(admission.bytesUsed).toBe(0)
    expect(admission.leaseCount).toBe(0)
  })
})

test('never more than bytesMax in use, and zero after any sequence of steps', async () => {
  const step = fc.record({
    kind: fc.constantFrom('admit', 'grow', 'shrink', 'release', 'abort', 'time'),
    at: fc.nat(20),
    bytes: fc.nat(120),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const admission = make(100, 5)
      const leases: Lease[] = []
      const gone: AbortController[] = []
      const pending: Promise<unknown>[] = []
      for (const { kind, at, bytes } of steps) {
        const lease = leases[at % Math.max(1, leases.length)]
        if (kind === 'admit') {
          const abort = new AbortController()
          gone.push(abort)
          const admitted = admit(admission, bytes, performance.now() + bytes, abort.signal)
          pending.push(
            admitted.then(
              (granted) => leases.push(granted),
              () => {},
            ),
          )
        } else if (kind === 'grow' && lease) pending.push(lease.grow(bytes).catch(() => lease.release()))
        else if (kind === 'shrink') lease?.shrink(bytes)
        else if (kind === 'release') lease?.release()
        else if (kind === 'abort') gone[at % Math.max(1, gone.length)]?.abort()
        else vi.advanceTimersByTime(bytes)
        for (let turn = 0; turn < 4; turn++) await Promise.resolve()
        expect(admission.bytesUsed).toBeLessThanOrEqual(100)
        expect(admission.bytesUsed).toBeGreaterThanOrEqual(0)
      }
      vi.advanceTimersByTime(1_000)
      await Promise.all(pending)
      for (const lease of leases) lease.release()
      await Promise.resolve()
      expect([admission.bytesUsed, admission.leaseCount, admission.waitingCount]).toEqual([0, 0, 0])
      expect(vi.getTimerCount()).toBe(0)
    }),
    { numRuns: 300 },
  )
})
