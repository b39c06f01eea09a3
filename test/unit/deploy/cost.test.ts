// What the pages say that the key service costs, computed again from the numbers that they print.
import { describe, expect, test } from 'vitest'
import { KeyCache } from '../../../src/keys/cache.ts'
import { settle } from '../keys/keys-fixture.ts'
import { ManualClock } from '../kms/manual-clock.ts'
import { text } from './operations-files.ts'

const page = text('docs/setup/aws.md')
const number = (pattern: RegExp, from = page): number => {
  const found = pattern.exec(from)?.[1]
  if (found === undefined) throw new Error(`the page has no ${pattern}`)
  return Number(found.replaceAll(',', ''))
}

const ttlShare = number(/÷ \(([\d.]+) × TTL in hours\)/)
const probesPerHour = number(/\+ (\d+) × sidecars for health/)
const ttlHours = number(/TTL: (\d+) h/)
const [keys, hoursPerMonth] = [number(/\(keys (\d),/), number(/, (\d+) hours;/)]
const dollarsPerCall = number(/at \$([\d.]+) per 10,000/) / 10_000

const callsPerHour = (tenants: number, sidecars: number): number =>
  (tenants * keys * sidecars) / (ttlShare * ttlHours) + probesPerHour * sidecars
const rounded = (count: number): string => Math.round(count).toLocaleString('en')
const dollars = (calls: number): string => `$${(calls * dollarsPerCall).toFixed(2)}`

describe('cost', () => {
  test('every row of the table is what the formula gives', () => {
    const rows = [...page.matchAll(/^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| (\$[\d.]+) \|$/gm)]
    expect(rows.length).toBeGreaterThanOrEqual(4)
    for (const [row, tenants, sidecars, calls, price] of rows) {
      const perMonth = callsPerHour(Number(tenants!.replaceAll(',', '')), Number(sidecars)) * hoursPerMonth
      expect([calls, price], row).toEqual([rounded(perMonth), dollars(perMonth)])
    }
  })

  test("the runbook's example and the measurement of docs/performance.md agree with it", () => {
    const runbook = text('docs/runbooks/kms-cache-hit-rate-low.md').replaceAll('\n', ' ')
    const perHour = callsPerHour(100, 1)
    const perMonth = perHour * hoursPerMonth
    expect(runbook).toContain(`÷ (${ttlShare} × TTL in hours)`)
    expect(runbook).toContain(
      `100 tenants, 1 sidecar: ${rounded(perHour)} an hour, ${rounded(perMonth)} a month, ${dollars(perMonth)} at`,
    )
    // The bench counts no probes.
    const measured = number(
      /calls an hour, 100 tenants; at ten times the rate \| (\d+);/,
      text('docs/performance.md'),
    )
    expect(measured / (perHour - probesPerHour)).toBeCloseTo(1, 1)
  })

  test('a key in use is replaced after that share of its TTL, on average', async () => {
    const [ttlMs, stepMs, steps] = [1_000, 5, 60_000]
    const clock = new ManualClock()
    let loads = 0
    const cache = new KeyCache<number>({
      sizeMax: 1,
      ttlMs,
      staleGraceMs: 0,
      loadMsMax: 60_000,
      failureMsMax: 1_000,
      load: async () => ++loads,
      clock,
      // Evenly spread and the same in every run.
      random: () => (loads * 0.618) % 1,
    })
    await cache.load('acme', new AbortController().signal)
    for (let step = 0; step < steps; step++) {
      clock.advance(stepMs)
      expect(cache.get('acme')).toBeDefined()
      if (step % 4 === 0) await settle()
    }
    const share = (steps * stepMs) / ttlMs / loads
    expect(share).toBeGreaterThan(ttlShare - 0.02)
    expect(share).toBeLessThan(ttlShare + 0.02)
  })
})
