// The Collector's own names, so that its dashboards and alerts work here.
import { Counter, Gauge, type Registry } from '../base/telemetry.ts'
import type { Signal } from '../wire/otlp.ts'

export interface ExporterMetrics {
  sent(exporter: string, signal: Signal, itemCount: number): void
  /** An attempt that did not succeed; the same items may be counted again. */
  sendFailed(exporter: string, signal: Signal, itemCount: number): void
  /** An attempt that failed for what a person has to mend. */
  needsMending(exporter: string, reason: string): void
  /** Items of an entry that ended the process twice. Also counted as dropped. */
  setAside(exporter: string, itemCount: number): void
  /** Items that will never reach the next hop. */
  dropped(exporter: string, reason: string, itemCount: number): void
}

/** What the queue gauges show, bytes. */
export interface QueueLevels {
  readonly queueBytesUsed: number
  readonly queueBytesMax: number
}

const UNITS: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  logs: 'log_records',
  metrics: 'metric_points',
}

export function exporterMetrics(
  registry: Registry,
  exporters: readonly string[],
  levels: QueueLevels | undefined,
): ExporterMetrics {
  const registers = [registry]
  const perSignal = (verb: string, help: string) =>
    new Map(
      Object.entries(UNITS).map(([signal, unit]) => [
        signal,
        new Counter({ name: `otelcol_exporter_${verb}_${unit}`, help, labelNames: ['exporter'], registers }),
      ]),
    )
  const sent = perSignal('sent', 'Items that the next hop has')
  const failed = perSignal('send_failed', 'Items in attempts that did not succeed')
  const dropped = new Counter({
    name: 'betrace_exporter_dropped_items_total',
    help: 'Items that will never reach the next hop',
    labelNames: ['exporter', 'reason'],
    registers,
  })
  const needsMending = new Counter({
    name: 'betrace_exporter_unmended_attempts_total',
    help: 'Attempts that failed for what a person has to mend: credentials, address, certificate, settings',
    labelNames: ['exporter', 'reason'],
    registers,
  })
  const setAside = new Counter({
    name: 'betrace_exporter_set_aside_items_total',
    help: 'Items of entries that the process died over twice, kept in the dead-letter file',
    labelNames: ['exporter'],
    registers,
  })
  for (const exporter of exporters) setAside.inc({ exporter }, 0)
  if (levels) queueGauges(registry, exporters, levels)
  for (const exporter of exporters)
    for (const counter of [...sent.values(), ...failed.values()]) counter.inc({ exporter }, 0)
  return {
    sent: (exporter, signal, itemCount) => sent.get(signal)?.inc({ exporter }, itemCount),
    sendFailed: (exporter, signal, itemCount) => failed.get(signal)?.inc({ exporter }, itemCount),
    needsMending: (exporter, reason) => needsMending.inc({ exporter, reason }),
    setAside: (exporter, itemCount) => setAside.inc({ exporter }, itemCount),
    dropped: (exporter, reason, itemCount) => dropped.inc({ exporter, reason }, itemCount),
  }
}

/** One queue serves every exporter; each shows the same level, so that alerts by exporter work. */
function queueGauges(registry: Registry, exporters: readonly string[], levels: QueueLevels): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['exporter'],
      registers: [registry],
      collect() {
        for (const exporter of exporters) this.set({ exporter }, read())
      },
    })
  gauge('otelcol_exporter_queue_size', 'Bytes waiting in the queue', () => levels.queueBytesUsed)
  gauge('otelcol_exporter_queue_capacity', 'Bytes the queue may hold', () => levels.queueBytesMax)
}
