// Our own logs and metrics. Each module declares the metrics it keeps (a `metrics.ts` beside it) on the registry that
// it is given here; nothing registers globally, so two sidecars fit into one test process.
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import type { PrettyOptions } from 'pino-pretty'
import { collectDefaultMetrics, Registry } from 'prom-client'

export type { Logger } from 'pino'
export { Counter, Gauge, Histogram, Registry } from 'prom-client'

type MessageFormatFunc = Extract<PrettyOptions['messageFormat'], (...args: never[]) => unknown>

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
  // One word for a level everywhere, the one that operators' documents and OTLP's severity_text have.
  const settings: LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label.toUpperCase() }) },
  }
  const { destination } = options
  if (options.encoding === 'json')
    return pino(settings, destination ?? pino.destination({ fd: 2, sync: true }))
  const { default: pretty } = await import('pino-pretty')
  return pino(
    settings,
    pretty({
      destination: destination ?? 2,
      sync: true,
      colorize: destination === undefined && process.stderr.isTTY === true,
      ignore: ['time', 'level', ...PRINTED_FIRST].join(','),
      singleLine: true,
      // `error` is the class of an error here, one word of the line.
      errorLikeObjectKeys: ['err'],
      messageFormat: consoleLine,
    }),
  )
}

/** Fields that pino-pretty puts before the time, in brackets; here they stand after the message. */
const PRINTED_FIRST = ['name', 'pid', 'hostname', 'caller']

const LEVEL_COLOURS: ReadonlyMap<unknown, 'yellow' | 'red'> = new Map([
  ['WARN', 'yellow'],
  ['ERROR', 'red'],
  ['FATAL', 'red'],
])

// `2026-11-23T09:46:32.557Z INFO Initializing KMS provider: aws`: runbooks search for level and message side by side,
// and pino-pretty of its own accord puts a colon between them.
const consoleLine: MessageFormatFunc = (line, messageKey, _label, { colors }) => {
  const colour = LEVEL_COLOURS.get(line.level)
  const level = colour === undefined ? line.level : colors[colour](String(line.level))
  const message = line[messageKey]
  const words = message === undefined ? [] : [String(message)]
  for (const name of PRINTED_FIRST) if (name in line) words.push(`${name}=${line[name]}`)
  return [line.time, level, ...words.map(withoutControls)].join(' ')
}

// A message repeats what a key service answered; a terminal would obey control characters in it.
const withoutControls = (text: string): string => text.replace(/(?![\t\n])\p{Cc}/gu, '')

/** A logger and registry for tests and commands that keep no metrics: writes nothing. */
export function silentTelemetry(): Telemetry {
  return { log: pino({ level: 'silent' }), registry: new Registry() }
}
