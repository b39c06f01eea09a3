// Prometheus text, read back, and the equation that has to hold in it.

export interface MetricSample {
  /** Sum over all series of the name whose labels include the given ones; 0 when there is none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
  names(): string[]
}

interface Series {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g

/** Throws on a line that is neither a comment nor a sample. */
export function parseMetrics(text: string): MetricSample {
  const series: Series[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const parts = LINE.exec(line)
    if (parts === null) throw new Error(`not a Prometheus sample: ${line}`)
    const labels = new Map([...(parts[2] ?? '').matchAll(LABEL)].map((pair) => [pair[1]!, pair[2]!]))
    series.push({ name: parts[1]!, labels, value: Number(parts[3]) })
  }
  return {
    sum: (name, wanted = {}) =>
      series
        .filter(
          (each) =>
            each.name === name &&
            Object.entries(wanted).every(([key, value]) => each.labels.get(key) === value),
        )
        .reduce((total, each) => total + each.value, 0),
    names: () => [...new Set(series.map((each) => each.name))],
  }
}

export interface Accounts {
  readonly accepted: number
  readonly recovered: number
  readonly exported: number
  readonly queued: number
  readonly rejected: number
  readonly dropped: number
  readonly inFlight: number
}

export function accountsOf(metrics: MetricSample, signal = 'traces'): Accounts {
  const read = (name: string) => metrics.sum(`betrace_items_${name}`, { signal })
  return {
    accepted: read('accepted_total'),
    recovered: read('recovered_total'),
    exported: read('exported_total'),
    queued: read('queued'),
    rejected: read('rejected_total'),
    dropped: read('dropped_total'),
    inFlight: read('in_flight'),
  }
}

/** Left side minus right side of: accepted + recovered = exported + queued + rejected + dropped + in flight. */
export function imbalance(accounts: Accounts): number {
  const { accepted, recovered, exported, queued, rejected, dropped, inFlight } = accounts
  return accepted + recovered - exported - queued - rejected - dropped - inFlight
}
