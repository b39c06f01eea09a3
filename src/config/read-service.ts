import {
  DEAD_LETTER_BYTES_MAX,
  IN_FLIGHT_BYTES_MAX,
  REQUEST_WAIT_MS_MAX,
  SHUTDOWN_MS_MAX,
} from '../base/limits.ts'
import { KEYS_DEFAULTS } from '../keys/keys-options.ts'
import { STORE_DEFAULTS } from '../store/options.ts'
import type { Signal } from '../wire/otlp.ts'
import type { PipelineConfig, ServiceConfig, StorageConfig } from './schema.ts'
import type { Section } from './section.ts'
import { didYouMean } from './suggestion.ts'

const MIB = 1024 * 1024
export const SIGNALS = ['traces', 'logs', 'metrics'] as const satisfies readonly Signal[]

/** `storage:`. */
export function readStorage(storage: Section): StorageConfig {
  const directory = storage.text('directory', './data')
  if (directory === '') storage.problem('directory', 'must not be empty')
  const queueBytesMax = storage.size('queue_bytes_max', STORE_DEFAULTS.queueBytesMax, MIB)
  const evidenceBytesMax = storage.size('evidence_bytes_max', STORE_DEFAULTS.evidenceBytesMax, MIB)
  const deadLetterBytesMax = storage.size('dead_letter_bytes_max', DEAD_LETTER_BYTES_MAX, MIB)
  const announcementsMax = storage.integer(
    'announcements_max',
    KEYS_DEFAULTS.announcementsMax,
    1_000,
    10_000_000,
  )
  const isAckWritten = storage.has('ack')
  const enabled = storage.boolean('enabled', true)
  const ack = storage.choice('ack', ['durable', 'enqueue', 'exported'], enabled ? 'durable' : 'exported')
  if (!enabled && isAckWritten && ack !== 'exported') {
    storage.problem('ack', 'needs storage.enabled: true; without storage only exported can be promised')
  }
  return { directory, queueBytesMax, evidenceBytesMax, deadLetterBytesMax, announcementsMax, ack, enabled }
}

/** `service:`. */
export function readService(service: Section): ServiceConfig {
  return {
    pipelines: service.section('pipelines', readPipelines),
    allowedHosts: readAllowedHosts(service),
    admin: service.section('admin', (admin) => ({
      endpoint: admin.endpoint('endpoint', { host: '127.0.0.1', port: 8080 }),
      token: admin.secret('token'),
      revealToken: admin.secret('reveal_token'),
    })),
    limits: service.section('limits', (limits) => ({
      inFlightBytesMax: limits.integer('in_flight_mib', IN_FLIGHT_BYTES_MAX / MIB, 1, 1_048_576) * MIB,
      waitMsMax: limits.duration('wait_max', REQUEST_WAIT_MS_MAX, 0),
      shutdownMsMax: limits.duration('shutdown_timeout', SHUTDOWN_MS_MAX),
    })),
    telemetry: service.section('telemetry', (telemetry) => ({
      logs: telemetry.section('logs', (logs) => ({
        level: logs.choice('level', ['debug', 'info', 'warn', 'error'], 'info'),
        encoding: logs.choice('encoding', ['console', 'json'], 'console'),
      })),
    })),
  }
}

const HOST_PATTERN = /^(?:\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:]+)$/i

function readAllowedHosts(service: Section): readonly string[] {
  const hosts = service.textList('allowed_hosts', [])
  if (!hosts.every((host) => HOST_PATTERN.test(host)))
    service.problem('allowed_hosts', 'must hold host names without a port, *.suffix or *')
  return hosts
}

function readPipelines(pipelines: Section): ReadonlyMap<Signal, PipelineConfig> {
  const configs = new Map<Signal, PipelineConfig>()
  for (const key of pipelines.keys) {
    const signal = SIGNALS.find((name) => name === key)
    if (signal) {
      configs.set(signal, pipelines.section(key, readPipeline))
      continue
    }
    pipelines.ignore(key)
    const isNamed = SIGNALS.some((name) => key.startsWith(`${name}/`))
    const hint = isNamed
      ? '; there is one pipeline per signal, and it may have several exporters'
      : didYouMean(key, SIGNALS)
    pipelines.problem(key, `must be one of ${SIGNALS.join(', ')}${hint}`)
  }
  return configs
}

function readPipeline(pipeline: Section): PipelineConfig {
  return {
    receivers: pipeline.textList('receivers', []),
    processors: pipeline.textList('processors', []),
    exporters: pipeline.textList('exporters', []),
  }
}
