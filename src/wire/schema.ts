// How `messages.ts` describes a message, and protobuf's wire types.
import type { EnumNames } from './enums.ts'
import type { Frame, Place, Signal } from './otlp.ts'

/** Scalar types of protobuf; the ids are `bytes` that JSON writes as hex (OTLP 1.11, JSON Protobuf Encoding). */
export type ScalarType =
  | 'bool'
  | 'bytes'
  | 'double'
  | 'enum'
  | 'fixed32'
  | 'fixed64'
  | 'int32'
  | 'int64'
  | 'sfixed64'
  | 'sint32'
  | 'spanId'
  | 'string'
  | 'traceId'
  | 'uint32'
  | 'uint64'

export interface FieldSpec {
  readonly number: number
  /** lowerCamelCase, as in JSON. */
  readonly name: string
  readonly type: ScalarType | MessageName
  /** Of an enumeration: its values by name. */
  readonly names?: EnumNames
  readonly repeated?: true
  /** Members of one oneof exclude each other. */
  readonly oneof?: string
  /** Proto3 `optional`: zero is a value, not absence. */
  readonly optional?: true
  /** The Collector writes this message to JSON even when it is absent: its Go field is no pointer. */
  readonly always?: true
  /** Where the text, the attributes or the value of this field stand for rules. */
  readonly place?: Place
}

export interface MessageSpec {
  readonly frame?: Frame
  readonly fields: readonly FieldSpec[]
}

export type MessageName =
  | 'ExportTraceServiceRequest'
  | 'ExportLogsServiceRequest'
  | 'ExportMetricsServiceRequest'
  | 'ResourceSpans'
  | 'ResourceLogs'
  | 'ResourceMetrics'
  | 'ScopeSpans'
  | 'ScopeLogs'
  | 'ScopeMetrics'
  | 'Resource'
  | 'EntityRef'
  | 'InstrumentationScope'
  | 'Span'
  | 'Event'
  | 'Link'
  | 'Status'
  | 'LogRecord'
  | 'Metric'
  | 'Gauge'
  | 'Sum'
  | 'Histogram'
  | 'ExponentialHistogram'
  | 'Summary'
  | 'NumberDataPoint'
  | 'HistogramDataPoint'
  | 'ExponentialHistogramDataPoint'
  | 'Buckets'
  | 'SummaryDataPoint'
  | 'ValueAtQuantile'
  | 'Exemplar'
  | 'KeyValue'
  | 'AnyValue'
  | 'ArrayValue'
  | 'KeyValueList'

/** Bytes that an id of this field has when it is there; 0 where the field is no id. */
export function idLength({ type }: FieldSpec): number {
  if (type === 'traceId') return 16
  return type === 'spanId' ? 8 : 0
}

/** The request message of each signal. */
export const REQUEST_OF: Readonly<Record<Signal, MessageName>> = {
  traces: 'ExportTraceServiceRequest',
  logs: 'ExportLogsServiceRequest',
  metrics: 'ExportMetricsServiceRequest',
}

/** Wire types of protobuf. Groups (3 and 4) are refused everywhere: OTLP has none. */
export const Wire = { VARINT: 0, FIXED64: 1, LENGTH: 2, FIXED32: 5 } as const

export function wireTypeOf(type: ScalarType | MessageName): number {
  switch (type) {
    case 'bool':
    case 'enum':
    case 'int32':
    case 'int64':
    case 'sint32':
    case 'uint32':
    case 'uint64':
      return Wire.VARINT
    case 'double':
    case 'fixed64':
    case 'sfixed64':
      return Wire.FIXED64
    case 'fixed32':
      return Wire.FIXED32
    default:
      return Wire.LENGTH
  }
}
