import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RETRY_DEFAULTS } from '../../../src/exporters/options.ts'
import { decideRetry } from '../../../src/exporters/retry.ts'

const retry = (afterMs?: number) => ({ kind: 'retry', afterMs, reason: 'unavailable' }) as const
const attempt = (index: number, random = 0.5, elapsedMs = 0) => ({ index, random, elapsedMs })

describe('the decision after a failed attempt', () => {
  test.each([
    [0, 0.5, 1_000],
    [0, 0, 500],
    [0, 0.999_999, 1_500],
    [1, 0.5, 1_500],
    [2, 0.5, 2_250],
    [20, 0.5, 30_000],
    [1_000_000, 0.5, 30_000],
  ])('%i with %f waits %i ms', (index, random, ms) => {
    expect(decideRetry(retry(), attempt(index, random), RETRY_DEFAULTS)).toEqual({ kind: 'wait', ms })
  })

  test('never waits less than the peer asked for, up to five minutes, nor much more', () => {
    fc.assert(
      fc.property(
        fc.nat(300_000),
        fc.nat(50),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (afterMs, index, random) => {
          const decision = decideRetry(retry(afterMs), attempt(index, random), RETRY_DEFAULTS)
          if (decision.kind !== 'wait') throw new Error('must wait')
          expect(decision.ms).toBeGreaterThanOrEqual(afterMs)
          expect(decision.ms).toBeLessThanOrEqual(afterMs + 500)
        },
      ),
    )
    expect(decideRetry(retry(1e12), attempt(0, 0), RETRY_DEFAULTS)).toEqual({ kind: 'wait', ms: 300_000 })
  })

  test('gives up at once on a refusal, and after the elapsed time only where one is set', () => {
    expect(decideRetry({ kind: 'refused', reason: 'internal' }, attempt(0), RETRY_DEFAULTS)).toEqual({
      kind: 'giveUp',
      reason: 'internal',
    })
    expect(decideRetry(retry(), attempt(0, 0.5, 1e12), RETRY_DEFAULTS).kind).toBe('wait')
    const bounded = { ...RETRY_DEFAULTS, elapsedMsMax: 10_000 }
    expect(decideRetry(retry(), attempt(0, 0.5, 9_000), bounded).kind).toBe('wait')
    expect(decideRetry(retry(), attempt(0, 0.5, 9_001), bounded)).toEqual({
      kind: 'giveUp',
      reason: 'retries_exhausted',
    })
    expect(decideRetry(retry(60_000), attempt(0), bounded).kind).toBe('giveUp')
  })
})
