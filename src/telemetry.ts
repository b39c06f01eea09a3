// Our own logs and metrics. Each module declares the metrics it keeps (a `metrics.ts` beside it) on the registry that
// it is given here; nothing registers globally, so two sidecars fit into one test process.
import { type DestinationStream, type Logger, pino } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'

export type { Logger } from 'pino'
export { Counter, Gauge, Histogram, Registry } from 'prom-client'

export interface TelemetryOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** `console` is for people (colours on a terminal), `json` for machines. */
  readonly encoding: 'console' | 'json'
  /** Where lines go; standard error when absent. Standard output belongs to exporters and commands. */
  readonly destination?: DestinationStream
}

export interface Telemetry {
  readonly log: Logger
  readonly registry: Registry
}

export async function createTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return { log: await createLogger(options), registry }
}

async function createLogger(options: TelemetryOptions): Promise<Logger> {
  const settings = { level: options.level, base: null }
  if (options.destination) return pino(settings, options.destination)
  if (options.encoding === 'json') return pino(settings, pino.destination({ fd: 2, sync: true }))
  const { default: pretty } = await import('pino-pretty')
  return pino(
    settings,
    pretty({
      destination: 2,
      sync: true,
      colorize: process.stderr.isTTY === true,
      ignore: 'pid,hostname',
      singleLine: true,
    }),
  )
}

/** A logger and registry for tests and commands that keep no metrics: writes nothing. */
export function silentTelemetry(): Telemetry {
  return { log: pino({ level: 'silent' }), registry: new Registry() }
}
