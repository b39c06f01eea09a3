import { Counter, Gauge, Histogram, type Registry } from '../base/telemetry.ts'

/** What the store tells Prometheus. Gauges are read when scraped. */
export interface StoreMetrics {
  readonly commitSeconds: Histogram
  readonly commitFailures: Counter
  readonly corruptEntries: Counter
  readonly droppedItems: Counter
}

export interface StoreLevels {
  readonly queueBytesUsed: number
  readonly queueBytesMax: number
  readonly queuedItems: number
  readonly evidenceBytesUsed: number
  readonly evidenceBytesMax: number
  readonly damaged: number
}

export function storeMetrics(registry: Registry, levels: () => StoreLevels): StoreMetrics {
  const registers = [registry]
  const gauge = (name: string, help: string, read: (levels: StoreLevels) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(levels()))
      },
    })
  gauge('betrace_queue_bytes', 'Bytes waiting in the queue', (now) => now.queueBytesUsed)
  gauge('betrace_queue_capacity_bytes', 'Bytes the queue may hold', (now) => now.queueBytesMax)
  gauge('betrace_queue_items', 'Spans, log records and data points waiting', (now) => now.queuedItems)
  gauge('betrace_evidence_bytes', 'Bytes of signed statements', (now) => now.evidenceBytesUsed)
  gauge(
    'betrace_evidence_capacity_bytes',
    'Bytes of signed statements that are kept; none go by themselves, and when full requests are refused',
    (now) => now.evidenceBytesMax,
  )
  gauge(
    'betrace_store_damaged',
    '1 while something in the data folder cannot be read that nobody has put aside',
    (now) => now.damaged,
  )
  return {
    commitSeconds: new Histogram({
      name: 'betrace_store_commit_seconds',
      help: 'Time of one group commit, until it is on disk',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
    commitFailures: new Counter({
      name: 'betrace_store_commit_failures_total',
      help: 'Group commits that did not reach the disk',
      registers,
    }),
    corruptEntries: new Counter({
      name: 'betrace_store_corrupt_entries_total',
      help: 'Queue entries that the disk did not give back',
      registers,
    }),
    droppedItems: new Counter({
      name: 'betrace_store_corrupt_items_total',
      help: 'Spans, log records and data points in queue entries that the disk did not give back',
      registers,
    }),
  }
}
