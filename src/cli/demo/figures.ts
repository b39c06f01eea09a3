// Reads what the demo shows out of the sidecar's own metrics page.

export interface Figures {
  readonly hitRatio: number
  readonly lookups: number
  readonly keyServiceCalls: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly requests: number
}

interface Sample {
  readonly labels: string
  readonly value: number
}

export function samplesOf(page: string, name: string): Sample[] {
  const found: Sample[] = []
  for (const line of page.split('\n')) {
    const match = /^([a-zA-Z_:]+)(\{[^}]*\})?\s+(\S+)$/.exec(line)
    if (match?.[1] === name) found.push({ labels: match[2] ?? '', value: Number(match[3]) })
  }
  return found
}

export function sumOf(page: string, name: string, label = ''): number {
  return samplesOf(page, name)
    .filter(({ labels }) => labels.includes(label))
    .reduce((sum, { value }) => sum + value, 0)
}

export function readFigures(page: string): Figures {
  const hits = sumOf(page, 'kms_cache_hit_total')
  const misses = sumOf(page, 'kms_cache_miss_total')
  const buckets = samplesOf(page, 'betrace_stage_seconds_bucket').filter(({ labels }) =>
    labels.includes('stage="request"'),
  )
  return {
    hitRatio: hits / Math.max(1, hits + misses),
    lookups: hits + misses,
    keyServiceCalls: sumOf(page, 'kms_requests_total'),
    p50Ms: quantileMs(buckets, 0.5),
    p99Ms: quantileMs(buckets, 0.99),
    requests: sumOf(page, 'betrace_stage_seconds_count', 'stage="request"'),
  }
}

/** The upper end of the bucket that holds the quantile; a histogram knows no better. */
function quantileMs(buckets: readonly Sample[], quantile: number): number {
  const bounds = buckets
    .map(({ labels, value }) => ({
      bound: Number(/le="([^"]+)"/.exec(labels)?.[1]?.replace('+Inf', 'Infinity')),
      value,
    }))
    .sort((left, right) => left.bound - right.bound)
  const total = bounds.at(-1)?.value ?? 0
  const holder = bounds.find(({ value }) => value >= total * quantile)
  return (holder?.bound ?? Number.NaN) * 1000
}
