// The names that OTLP's enumerations have in JSON. We write their numbers, as OTLP/JSON asks; runtimes that write
// protobuf's own JSON mapping write these.

export type EnumNames = ReadonlyMap<string, number>

const named = (prefix: string, ...names: readonly string[]): EnumNames =>
  new Map(names.map((name, number) => [`${prefix}_${name}`, number]))

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].flatMap((level) =>
  ['', '2', '3', '4'].map((step) => `${level}${step}`),
)

export const SPAN_KIND = named(
  'SPAN_KIND',
  'UNSPECIFIED',
  'INTERNAL',
  'SERVER',
  'CLIENT',
  'PRODUCER',
  'CONSUMER',
)
export const STATUS_CODE = named('STATUS_CODE', 'UNSET', 'OK', 'ERROR')
export const SEVERITY_NUMBER = named('SEVERITY_NUMBER', 'UNSPECIFIED', ...LEVELS)
export const AGGREGATION_TEMPORALITY = named('AGGREGATION_TEMPORALITY', 'UNSPECIFIED', 'DELTA', 'CUMULATIVE')
