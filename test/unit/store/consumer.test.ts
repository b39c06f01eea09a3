import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Consumer } from '../../../src/store/consumer.ts'
import { DrainRate } from '../../../src/store/drain-rate.ts'
import { RecentEntries } from '../../../src/store/recent-entries.ts'

describe('a consumer', () => {
  test('has a cursor that never passes what is outstanding, in any order of acknowledgements', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (order) => {
        const consumer = new Consumer('traces', 'traces:a')
        for (let sequence = 1; sequence <= 10; sequence++) consumer.handOut(sequence)
        const acknowledged = new Set<number>()
        for (const sequence of order) {
          consumer.acknowledge(sequence)
          acknowledged.add(sequence)
          let prefix = 0
          while (acknowledged.has(prefix + 1)) prefix++
          expect(consumer.cursor).toBe(prefix)
          const reopened = new Consumer('traces', 'traces:a', consumer.encode())
          for (let asked = 1; asked <= 10; asked++) {
            expect(consumer.isAcknowledged(asked)).toBe(acknowledged.has(asked))
            expect(reopened.isAcknowledged(asked)).toBe(acknowledged.has(asked))
          }
        }
      }),
    )
  })

  test('starts at the oldest entry when its record is damaged', () => {
    const whole = new Consumer('traces', 'traces:a')
    whole.handOut(9)
    whole.acknowledge(9)
    const damaged = whole.encode()
    damaged[0] = 9
    expect(new Consumer('traces', 'traces:a', whole.encode()).cursor).toBe(9)
    expect(new Consumer('traces', 'traces:a', damaged).cursor).toBe(0)
    expect(new Consumer('traces', 'traces:a', whole.encode().subarray(1)).cursor).toBe(0)
  })

  test('remembers little, however much was acknowledged behind one that hangs', () => {
    const consumer = new Consumer('traces', 'traces:a')
    for (let sequence = 1; sequence <= 100_000; sequence++) consumer.handOut(sequence)
    for (let sequence = 2; sequence <= 100_000; sequence++) consumer.acknowledge(sequence)
    expect(consumer.cursor).toBe(0)
    expect(consumer.encode().length).toBe(17)
    const reopened = new Consumer('traces', 'traces:a', consumer.encode())
    expect([1, 2, 100_000, 100_001].map((each) => reopened.isAcknowledged(each))).toEqual([
      false,
      true,
      true,
      false,
    ])
    consumer.acknowledge(1)
    expect(consumer.cursor).toBe(100_000)
  })
})

describe('recent entries', () => {
  const entry = (sequence: number, bytes: number) => ({
    sequence,
    signal: 'traces' as const,
    itemCount: 1,
    acceptedAtMs: 1,
    body: new Uint8Array(new ArrayBuffer(bytes)),
    refs: new Uint8Array(),
  })

  test('hold every entry above the floor, within the bound, whatever is added and deleted', () => {
    const step = fc.oneof(
      fc.record({ add: fc.constantFrom(1, 100, 5_000, 90_000, 200_000) }),
      fc.record({ remove: fc.nat(50) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const recent = new RecentEntries(0, 150_000)
        const live = new Set<number>()
        let sequence = 0
        for (const one of steps) {
          if ('add' in one) {
            recent.add(entry(++sequence, one.add))
            live.add(sequence)
          } else {
            recent.delete(one.remove)
            live.delete(one.remove)
          }
          expect(recent.bytes).toBeLessThanOrEqual(150_000)
          const above = [...recent.above(recent.floor)].map((found) => found.sequence)
          expect(above).toEqual([...live].filter((found) => found > recent.floor))
        }
      }),
    )
  })

  test('count the whole buffer that a small slice keeps alive', () => {
    const recent = new RecentEntries(0, 1_000_000)
    recent.add({ ...entry(1, 10), body: new Uint8Array(new ArrayBuffer(900_000)).subarray(0, 10) })
    expect(recent.bytes).toBeGreaterThan(900_000)
  })
})

describe('the drain rate', () => {
  const clock = { now: 0, nowMs: () => 0, nowNs: () => 0n, monotonicMs: () => clock.now }

  test('asks for the longest wait while nothing leaves, and for the shortest when all leaves fast', () => {
    clock.now = 0
    const rate = new DrainRate(clock)
    expect(rate.retryAfterMs(1)).toBe(30_000)
    for (let i = 0; i < 100; i++) {
      clock.now += 100
      rate.drained(10_000_000)
    }
    expect(rate.retryAfterMs(1_000)).toBe(1_000)
  })

  test('comes near the true rate', () => {
    clock.now = 0
    const rate = new DrainRate(clock)
    for (let i = 0; i < 1_000; i++) {
      clock.now += 100
      rate.drained(100_000)
    }
    expect(rate.retryAfterMs(10_000_000) / 10_000).toBeCloseTo(1, 1)
  })

  test('forgets: a drain that stopped long ago promises nothing', () => {
    clock.now = 0
    const rate = new DrainRate(clock)
    rate.drained(1e9)
    clock.now = 600_000
    expect(rate.retryAfterMs(1_000_000)).toBe(30_000)
  })
})
