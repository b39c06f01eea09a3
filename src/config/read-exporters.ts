import { parseEndpoint } from '../base/endpoint.ts'
import { FILE_ROTATION_DEFAULTS, OTLP_DEFAULTS, RETRY_DEFAULTS } from '../exporters/options.ts'
import { componentType } from './read-receivers.ts'
import type { ClientTlsConfig, ExporterConfig, OtlpExporterConfig, RetryConfig } from './schema.ts'
import type { Section } from './section.ts'

const MEGABYTE = 1_000_000
export const EXPORTER_TYPES = ['otlp_grpc', 'otlp_http', 'file', 'debug'] as const

// The Collector's older names for the same two exporters.
const ALIASES: ReadonlyMap<string, (typeof EXPORTER_TYPES)[number]> = new Map([
  ['otlp', 'otlp_grpc'],
  ['otlphttp', 'otlp_http'],
])

/** `exporters:`, by id. */
export function readExporters(exporters: Section): ReadonlyMap<string, ExporterConfig> {
  const configs = new Map<string, ExporterConfig>()
  for (const id of exporters.keys) {
    const type = ALIASES.get(id.split('/')[0]!) ?? componentType(exporters, id, EXPORTER_TYPES)
    if (type === undefined) exporters.ignore(id)
    else
      configs.set(
        id,
        exporters.section(id, (exporter) => readExporter(exporter, type)),
      )
  }
  return configs
}

function readExporter(exporter: Section, type: ExporterConfig['type']): ExporterConfig {
  if (type === 'debug') {
    return { type, verbosity: exporter.choice('verbosity', ['basic', 'normal', 'detailed'], 'basic') }
  }
  if (type !== 'file') return readOtlp(exporter, type)
  const path = exporter.text('path', '')
  if (path === '') exporter.problem('path', 'is needed: the file that requests are written to')
  const rotation = exporter.section('rotation', (section) => ({
    fileBytesMax:
      section.integer('max_megabytes', FILE_ROTATION_DEFAULTS.fileBytesMax / MEGABYTE, 1, 1_000_000) *
      MEGABYTE,
    backupsMax: section.integer('max_backups', FILE_ROTATION_DEFAULTS.backupsMax, 0, 100_000),
    ageDaysMax: section.integer('max_days', FILE_ROTATION_DEFAULTS.ageDaysMax, 0, 36_500),
  }))
  return { type, path, rotation }
}

function readOtlp(exporter: Section, type: OtlpExporterConfig['type']): OtlpExporterConfig {
  const endpoint = exporter.text('endpoint', '')
  const mistake = type === 'otlp_grpc' ? grpcEndpointMistake(endpoint) : httpEndpointMistake(endpoint)
  if (mistake !== undefined) exporter.problem('endpoint', mistake)
  const headers = exporter.secretMap('headers')
  for (const [name, value] of headers) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name))
      exporter.problem('headers', 'holds a name that is no header name')
    if (/[\r\n\0]/.test(value.reveal())) exporter.problem('headers', 'holds a value with a line break')
  }
  return {
    type,
    endpoint,
    compression: exporter.choice('compression', ['none', 'gzip'], OTLP_DEFAULTS.compression),
    headers,
    tls: exporter.section('tls', (tls) => readClientTls(tls, type, endpoint)),
    timeoutMs: exporter.duration('timeout', OTLP_DEFAULTS.timeoutMs),
    retry: exporter.section('retry_on_failure', readRetry),
    consumerCount: exporter.integer('num_consumers', OTLP_DEFAULTS.consumerCount, 1, 1_000),
  }
}

function grpcEndpointMistake(endpoint: string): string | undefined {
  if (endpoint === '') return 'is needed: host:port of the next hop'
  const address = endpoint.replace(/^https?:\/\//, '').replace(/^dns:\/\/\//, '')
  if (address.includes('@')) return 'must not hold user or password; use headers'
  const parsed = parseEndpoint(address)
  return parsed && parsed.port > 0 ? undefined : 'must be host:port or [ipv6]:port'
}

function httpEndpointMistake(endpoint: string): string | undefined {
  if (endpoint === '') return 'is needed: the base URL of the next hop'
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return 'must be a URL that starts with http:// or https://'
  }
  if (url.username !== '' || url.password !== '') return 'must not hold user or password; use headers'
  return undefined
}

function readClientTls(tls: Section, type: OtlpExporterConfig['type'], endpoint: string): ClientTlsConfig {
  const isPlainHttp = endpoint.startsWith('http://')
  const config: ClientTlsConfig = {
    insecure: tls.boolean('insecure', type === 'otlp_grpc' && isPlainHttp),
    caFile: tls.optionalText('ca_file'),
    certFile: tls.optionalText('cert_file'),
    keyFile: tls.optionalText('key_file'),
    serverNameOverride: tls.optionalText('server_name_override'),
  }
  if ((config.certFile === undefined) !== (config.keyFile === undefined)) {
    tls.problem(
      config.certFile === undefined ? 'cert_file' : 'key_file',
      'is needed: a certificate and its key go together',
    )
  }
  if (config.insecure && endpoint.startsWith('https://'))
    tls.problem('insecure', 'contradicts https:// in the endpoint')
  if (type === 'otlp_grpc' && !config.insecure && isPlainHttp)
    tls.problem('insecure', 'contradicts http:// in the endpoint')
  return config
}

function readRetry(retry: Section): RetryConfig {
  const config: RetryConfig = {
    initialIntervalMs: retry.duration('initial_interval', RETRY_DEFAULTS.initialIntervalMs),
    intervalMsMax: retry.duration('max_interval', RETRY_DEFAULTS.intervalMsMax),
    elapsedMsMax: retry.duration('max_elapsed_time', RETRY_DEFAULTS.elapsedMsMax, 0),
  }
  if (config.intervalMsMax < config.initialIntervalMs) {
    retry.problem('max_interval', 'must be at least initial_interval')
  }
  return config
}
