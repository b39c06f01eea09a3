// Builds the next hops: one sender per exporter that a pipeline names, and either a drain from the store for each or,
// without a store, direct export.
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { ExporterConfig, SidecarConfig } from '../config/schema.ts'
import { AttemptRecord } from '../exporters/attempt-record.ts'
import {
  DeadLetter,
  type DeadLetterLevels,
  type DrainedEntry,
  deadLetterGauges,
} from '../exporters/dead-letter.ts'
import { DebugExporter } from '../exporters/debug.ts'
import { DirectExport } from '../exporters/direct.ts'
import { Drain } from '../exporters/drain.ts'
import { FileExporter } from '../exporters/file.ts'
import { GrpcExporter } from '../exporters/grpc.ts'
import type { ExporterHealth } from '../exporters/health.ts'
import { HttpExporter } from '../exporters/http.ts'
import { exporterMetrics } from '../exporters/metrics.ts'
import type { Sender } from '../exporters/sender.ts'
import { consumerName } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Signal } from '../wire/otlp.ts'

/** What the service holds of all next hops together. */
export interface Exporting {
  start(): Promise<void>
  /** Sends what it can until the queue is empty or `graceMs` have passed. True when nothing is left. */
  stop(graceMs: number): Promise<boolean>
  health(): ExporterHealth[]
  /** `undefined` without a store, where nothing is given up. */
  deadLetters(): DeadLetterLevels | undefined
}

export interface ExportingSurroundings extends Telemetry {
  readonly clock: Clock
}

export function createSender(id: string, config: ExporterConfig, clock: Clock): Sender {
  switch (config.type) {
    case 'otlp_grpc':
      return new GrpcExporter(id, config)
    case 'otlp_http':
      return new HttpExporter(id, config)
    case 'file':
      return new FileExporter(id, config, clock)
    case 'debug':
      return new DebugExporter(id, config, process.stderr)
  }
}

/** Exporter id → the signals whose pipelines name it. */
export function signalsByExporter(config: SidecarConfig): Map<string, Signal[]> {
  const signals = new Map<string, Signal[]>()
  for (const [signal, pipeline] of config.service.pipelines) {
    for (const id of new Set(pipeline.exporters)) signals.set(id, [...(signals.get(id) ?? []), signal])
  }
  return signals
}

function createSenders(config: SidecarConfig, clock: Clock): Map<string, Sender> {
  const ids = [...signalsByExporter(config).keys()]
  // Cross checks of the configuration hold that every named exporter is declared.
  return new Map(ids.map((id) => [id, createSender(id, config.exporters.get(id)!, clock)]))
}

export function createQueuedExporting(
  config: SidecarConfig,
  store: Store,
  onDropped: (entry: DrainedEntry, reason: string) => Promise<void>,
  around: ExportingSurroundings,
): Exporting {
  const { clock, log, registry } = around
  const senders = createSenders(config, clock)
  const metrics = exporterMetrics(registry, [...senders.keys()], store)
  const { directory, deadLetterBytesMax } = config.storage
  const deadLetter = new DeadLetter({ directory, bytesMax: deadLetterBytesMax })
  deadLetterGauges(registry, () => deadLetter.levels)
  const attempts = new AttemptRecord({ path: join(directory, 'attempts.json'), log, clock })
  const drains = [...signalsByExporter(config)].map(([id, signals]) => {
    const exporter = config.exporters.get(id)!
    const isOtlp = exporter.type === 'otlp_grpc' || exporter.type === 'otlp_http'
    return new Drain({
      source: store,
      sender: senders.get(id)!,
      consumers: new Map(signals.map((signal) => [signal, consumerName(signal, id)])),
      deadLetter,
      attempts,
      onDropped,
      metrics,
      log,
      clock,
      random: Math.random,
      ...(isOtlp && { retry: exporter.retry, consumerCount: exporter.consumerCount }),
    })
  })
  return {
    async start() {
      await deadLetter.start()
      await startAll([...senders.values()])
      attempts.start()
      for (const drain of drains) drain.start()
      await attempts.tried()
    },
    async stop(graceMs) {
      attempts.stop()
      const isEmpty = await whenEmpty(store, clock.monotonicMs() + graceMs, clock)
      await Promise.all(drains.map((drain) => drain.stop(isEmpty ? graceMs : 0)))
      await Promise.all([...senders.values()].map((sender) => sender.close()))
      await deadLetter.close()
      attempts.close()
      return isEmpty
    },
    health: () => drains.map((drain) => drain.health()),
    deadLetters: () => deadLetter.levels,
  }
}

/** Without a store; `send` settles when every exporter has answered. */
export function createDirectExporting(
  config: SidecarConfig,
  around: ExportingSurroundings,
): Exporting & Pick<DirectExport, 'send'> {
  const senders = createSenders(config, around.clock)
  const bySignal = new Map(
    [...config.service.pipelines].map(([signal, { exporters }]) => [
      signal,
      [...new Set(exporters)].map((id) => senders.get(id)!),
    ]),
  )
  const metrics = exporterMetrics(around.registry, [...senders.keys()], undefined)
  const direct = new DirectExport({ senders: bySignal, metrics, clock: around.clock })
  return {
    start: () => startAll([...senders.values()]),
    async stop(graceMs) {
      await direct.stop(graceMs)
      await Promise.all([...senders.values()].map((sender) => sender.close()))
      return true
    },
    health: () => direct.health(),
    deadLetters: () => undefined,
    send: (signal, body, itemCount) => direct.send(signal, body, itemCount),
  }
}

async function startAll(senders: readonly Sender[]): Promise<void> {
  for (const sender of senders) await sender.start()
}

const EMPTY_POLL_MS = 10

async function whenEmpty(store: Store, deadlineMs: number, clock: Clock): Promise<boolean> {
  while (store.queuedItems > 0) {
    if (clock.monotonicMs() >= deadlineMs) return false
    await new Promise((resolve) => setTimeout(resolve, EMPTY_POLL_MS))
  }
  return true
}
