// The Collector configurations that we measure ourselves against: what an operator would write for the same job.
import { Collector, type CollectorSetup } from '../test/interop/collector.ts'
import { SERVER_CPU } from './harness.ts'

export const COLLECTOR_NAMES = ['pass-through', 'redaction', 'redaction + disk queue + fsync'] as const
export type CollectorName = (typeof COLLECTOR_NAMES)[number]

// The keys and the kinds of value that our own rules and default pack find in the payload. An HMAC of the value is the
// strongest action it has; ours seals.
const REDACTION = {
  redaction: {
    allow_all_keys: true,
    blocked_key_patterns: ['^enduser\\.id$', '^client\\.address$'],
    blocked_values: [
      '[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}',
      '\\b(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|3[47][0-9]{13})\\b',
      '\\b(?:[0-9]{1,3}\\.){3}[0-9]{1,3}\\b',
    ],
    hash_function: 'hmac-sha256',
    hmac_key: 'bench-key-of-thirty-two-bytes-00',
    summary: 'silent',
  },
}

const NO_QUEUE = { enabled: false }
const MEMORY_QUEUE = { enabled: true }
const DISK_QUEUE = { enabled: true, storage: 'file_storage', queue_size: 10_000, block_on_overflow: true }

function exporter(
  sinkPort: number,
  queue: unknown,
): CollectorSetup['config'] extends (directory: string) => infer C ? C : never {
  return {
    exporters: {
      otlp_grpc: {
        endpoint: `127.0.0.1:${sinkPort}`,
        tls: { insecure: true },
        compression: 'none',
        sending_queue: queue,
      },
    },
  }
}

function fileStorage(directory: string): Record<string, unknown> {
  return { file_storage: { directory, fsync: true } }
}

export function startCollector(name: CollectorName, sinkPort: number): Promise<Collector> {
  const config: Readonly<Record<CollectorName, CollectorSetup['config']>> = {
    'pass-through': () => exporter(sinkPort, NO_QUEUE),
    redaction: () => ({ ...exporter(sinkPort, NO_QUEUE), processors: REDACTION }),
    'redaction + disk queue + fsync': (directory) => ({
      ...exporter(sinkPort, DISK_QUEUE),
      processors: REDACTION,
      extensions: fileStorage(directory),
    }),
  }
  return Collector.start({ config: config[name], cpu: SERVER_CPU })
}

/** For the kill: no processors, so that only the queue is tried. */
export function startQueueingCollector(queue: 'memory' | 'disk', sinkPort: number): Promise<Collector> {
  return Collector.start({
    config: (directory) =>
      queue === 'memory'
        ? exporter(sinkPort, MEMORY_QUEUE)
        : { ...exporter(sinkPort, DISK_QUEUE), extensions: fileStorage(directory) },
  })
}
