// Every message of OTLP 1.11 traces, logs and metrics. One table serves the scan and both directions of JSON, so that
// no message, field or place can be known to one of them and forgotten by another. Fields stand in the order in which
// the Collector writes them to JSON.
import { AGGREGATION_TEMPORALITY, type EnumNames, SEVERITY_NUMBER, SPAN_KIND, STATUS_CODE } from './enums.ts'
import { Frame, Place } from './otlp.ts'
import type { FieldSpec, MessageName, MessageSpec, ScalarType } from './schema.ts'

const one = (number: number, name: string, type: ScalarType | MessageName): FieldSpec => ({
  number,
  name,
  type,
})
const many = (number: number, name: string, type: ScalarType | MessageName): FieldSpec => ({
  number,
  name,
  type,
  repeated: true,
})
const either = (number: number, name: string, type: ScalarType | MessageName, oneof: string): FieldSpec => ({
  number,
  name,
  type,
  oneof,
})
const always = (number: number, name: string, type: MessageName): FieldSpec => ({
  number,
  name,
  type,
  always: true,
})
const optional = (number: number, name: string, type: ScalarType): FieldSpec => ({
  number,
  name,
  type,
  optional: true,
})
const enumeration = (number: number, name: string, names: EnumNames): FieldSpec => ({
  number,
  name,
  type: 'enum',
  names,
})
const text = (number: number, name: string, place: Place): FieldSpec => ({
  number,
  name,
  type: 'string',
  place,
})
const attributes = (number: number, place: Place, name = 'attributes'): FieldSpec => ({
  number,
  name,
  type: 'KeyValue',
  repeated: true,
  place,
})

const request = (name: string, type: MessageName): MessageSpec => ({ fields: [many(1, name, type)] })
const resourceGroup = (name: string, type: MessageName): MessageSpec => ({
  frame: Frame.RESOURCE_GROUP,
  fields: [
    always(1, 'resource', 'Resource'),
    many(2, name, type),
    text(3, 'schemaUrl', Place.RESOURCE_SCHEMA_URL),
  ],
})
const scopeGroup = (name: string, type: MessageName): MessageSpec => ({
  frame: Frame.SCOPE_GROUP,
  fields: [
    always(1, 'scope', 'InstrumentationScope'),
    many(2, name, type),
    text(3, 'schemaUrl', Place.SCOPE_SCHEMA_URL),
  ],
})

export const MESSAGES: Readonly<Record<MessageName, MessageSpec>> = {
  ExportTraceServiceRequest: request('resourceSpans', 'ResourceSpans'),
  ExportLogsServiceRequest: request('resourceLogs', 'ResourceLogs'),
  ExportMetricsServiceRequest: request('resourceMetrics', 'ResourceMetrics'),
  ResourceSpans: resourceGroup('scopeSpans', 'ScopeSpans'),
  ResourceLogs: resourceGroup('scopeLogs', 'ScopeLogs'),
  ResourceMetrics: resourceGroup('scopeMetrics', 'ScopeMetrics'),
  ScopeSpans: scopeGroup('spans', 'Span'),
  ScopeLogs: scopeGroup('logRecords', 'LogRecord'),
  ScopeMetrics: scopeGroup('metrics', 'Metric'),
  Resource: {
    frame: Frame.RESOURCE,
    fields: [
      attributes(1, Place.RESOURCE_ATTRIBUTE),
      one(2, 'droppedAttributesCount', 'uint32'),
      many(3, 'entityRefs', 'EntityRef'),
    ],
  },
  EntityRef: {
    fields: [
      text(1, 'schemaUrl', Place.ENTITY_SCHEMA_URL),
      text(2, 'type', Place.ENTITY_TYPE),
      { ...text(3, 'idKeys', Place.ENTITY_KEY), repeated: true },
      { ...text(4, 'descriptionKeys', Place.ENTITY_KEY), repeated: true },
    ],
  },
  InstrumentationScope: {
    frame: Frame.SCOPE,
    fields: [
      text(1, 'name', Place.SCOPE_NAME),
      text(2, 'version', Place.SCOPE_VERSION),
      attributes(3, Place.SCOPE_ATTRIBUTE),
      one(4, 'droppedAttributesCount', 'uint32'),
    ],
  },
  Span: {
    frame: Frame.ITEM,
    fields: [
      one(1, 'traceId', 'traceId'),
      one(2, 'spanId', 'spanId'),
      text(3, 'traceState', Place.SPAN_TRACE_STATE),
      one(4, 'parentSpanId', 'spanId'),
      one(16, 'flags', 'fixed32'),
      text(5, 'name', Place.SPAN_NAME),
      enumeration(6, 'kind', SPAN_KIND),
      one(7, 'startTimeUnixNano', 'fixed64'),
      one(8, 'endTimeUnixNano', 'fixed64'),
      attributes(9, Place.SPAN_ATTRIBUTE),
      one(10, 'droppedAttributesCount', 'uint32'),
      many(11, 'events', 'Event'),
      one(12, 'droppedEventsCount', 'uint32'),
      many(13, 'links', 'Link'),
      one(14, 'droppedLinksCount', 'uint32'),
      always(15, 'status', 'Status'),
    ],
  },
  Event: {
    frame: Frame.EVENT,
    fields: [
      one(1, 'timeUnixNano', 'fixed64'),
      text(2, 'name', Place.EVENT_NAME),
      attributes(3, Place.EVENT_ATTRIBUTE),
      one(4, 'droppedAttributesCount', 'uint32'),
    ],
  },
  Link: {
    frame: Frame.LINK,
    fields: [
      one(1, 'traceId', 'traceId'),
      one(2, 'spanId', 'spanId'),
      text(3, 'traceState', Place.LINK_TRACE_STATE),
      attributes(4, Place.LINK_ATTRIBUTE),
      one(5, 'droppedAttributesCount', 'uint32'),
      one(6, 'flags', 'fixed32'),
    ],
  },
  Status: { fields: [text(2, 'message', Place.SPAN_STATUS_MESSAGE), enumeration(3, 'code', STATUS_CODE)] },
  LogRecord: {
    frame: Frame.ITEM,
    fields: [
      one(1, 'timeUnixNano', 'fixed64'),
      one(11, 'observedTimeUnixNano', 'fixed64'),
      enumeration(2, 'severityNumber', SEVERITY_NUMBER),
      text(3, 'severityText', Place.LOG_SEVERITY_TEXT),
      { ...always(5, 'body', 'AnyValue'), place: Place.LOG_BODY },
      attributes(6, Place.LOG_ATTRIBUTE),
      one(7, 'droppedAttributesCount', 'uint32'),
      one(8, 'flags', 'fixed32'),
      one(9, 'traceId', 'traceId'),
      one(10, 'spanId', 'spanId'),
      text(12, 'eventName', Place.LOG_EVENT_NAME),
    ],
  },
  Metric: {
    frame: Frame.METRIC,
    fields: [
      text(1, 'name', Place.METRIC_NAME),
      text(2, 'description', Place.METRIC_DESCRIPTION),
      text(3, 'unit', Place.METRIC_UNIT),
      either(5, 'gauge', 'Gauge', 'data'),
      either(7, 'sum', 'Sum', 'data'),
      either(9, 'histogram', 'Histogram', 'data'),
      either(10, 'exponentialHistogram', 'ExponentialHistogram', 'data'),
      either(11, 'summary', 'Summary', 'data'),
      attributes(12, Place.METRIC_METADATA, 'metadata'),
    ],
  },
  Gauge: { fields: [many(1, 'dataPoints', 'NumberDataPoint')] },
  Sum: {
    fields: [
      many(1, 'dataPoints', 'NumberDataPoint'),
      enumeration(2, 'aggregationTemporality', AGGREGATION_TEMPORALITY),
      one(3, 'isMonotonic', 'bool'),
    ],
  },
  Histogram: {
    fields: [
      many(1, 'dataPoints', 'HistogramDataPoint'),
      enumeration(2, 'aggregationTemporality', AGGREGATION_TEMPORALITY),
    ],
  },
  ExponentialHistogram: {
    fields: [
      many(1, 'dataPoints', 'ExponentialHistogramDataPoint'),
      enumeration(2, 'aggregationTemporality', AGGREGATION_TEMPORALITY),
    ],
  },
  Summary: { fields: [many(1, 'dataPoints', 'SummaryDataPoint')] },
  NumberDataPoint: {
    frame: Frame.ITEM,
    fields: [
      attributes(7, Place.POINT_ATTRIBUTE),
      one(2, 'startTimeUnixNano', 'fixed64'),
      one(3, 'timeUnixNano', 'fixed64'),
      either(4, 'asDouble', 'double', 'value'),
      either(6, 'asInt', 'sfixed64', 'value'),
      many(5, 'exemplars', 'Exemplar'),
      one(8, 'flags', 'uint32'),
    ],
  },
  HistogramDataPoint: {
    frame: Frame.ITEM,
    fields: [
      attributes(9, Place.POINT_ATTRIBUTE),
      one(2, 'startTimeUnixNano', 'fixed64'),
      one(3, 'timeUnixNano', 'fixed64'),
      one(4, 'count', 'fixed64'),
      optional(5, 'sum', 'double'),
      many(6, 'bucketCounts', 'fixed64'),
      many(7, 'explicitBounds', 'double'),
      many(8, 'exemplars', 'Exemplar'),
      one(10, 'flags', 'uint32'),
      optional(11, 'min', 'double'),
      optional(12, 'max', 'double'),
    ],
  },
  ExponentialHistogramDataPoint: {
    frame: Frame.ITEM,
    fields: [
      attributes(1, Place.POINT_ATTRIBUTE),
      one(2, 'startTimeUnixNano', 'fixed64'),
      one(3, 'timeUnixNano', 'fixed64'),
      one(4, 'count', 'fixed64'),
      optional(5, 'sum', 'double'),
      one(6, 'scale', 'sint32'),
      one(7, 'zeroCount', 'fixed64'),
      always(8, 'positive', 'Buckets'),
      always(9, 'negative', 'Buckets'),
      one(10, 'flags', 'uint32'),
      many(11, 'exemplars', 'Exemplar'),
      optional(12, 'min', 'double'),
      optional(13, 'max', 'double'),
      one(14, 'zeroThreshold', 'double'),
    ],
  },
  Buckets: { fields: [one(1, 'offset', 'sint32'), many(2, 'bucketCounts', 'uint64')] },
  SummaryDataPoint: {
    frame: Frame.ITEM,
    fields: [
      attributes(7, Place.POINT_ATTRIBUTE),
      one(2, 'startTimeUnixNano', 'fixed64'),
      one(3, 'timeUnixNano', 'fixed64'),
      one(4, 'count', 'fixed64'),
      one(5, 'sum', 'double'),
      many(6, 'quantileValues', 'ValueAtQuantile'),
      one(8, 'flags', 'uint32'),
    ],
  },
  ValueAtQuantile: { fields: [one(1, 'quantile', 'double'), one(2, 'value', 'double')] },
  Exemplar: {
    fields: [
      attributes(7, Place.EXEMPLAR_ATTRIBUTE, 'filteredAttributes'),
      one(2, 'timeUnixNano', 'fixed64'),
      either(3, 'asDouble', 'double', 'value'),
      either(6, 'asInt', 'sfixed64', 'value'),
      one(5, 'traceId', 'traceId'),
      one(4, 'spanId', 'spanId'),
    ],
  },
  // `keyStrindex` and `stringValueStrindex` point into a dictionary that only the profiles signal has. They are known
  // here so that one beside a key or another value is seen as the second value that it is.
  KeyValue: {
    fields: [one(1, 'key', 'string'), always(2, 'value', 'AnyValue'), one(3, 'keyStrindex', 'int32')],
  },
  AnyValue: {
    fields: [
      either(1, 'stringValue', 'string', 'value'),
      either(2, 'boolValue', 'bool', 'value'),
      either(3, 'intValue', 'int64', 'value'),
      either(4, 'doubleValue', 'double', 'value'),
      either(5, 'arrayValue', 'ArrayValue', 'value'),
      either(6, 'kvlistValue', 'KeyValueList', 'value'),
      either(7, 'bytesValue', 'bytes', 'value'),
      either(8, 'stringValueStrindex', 'int32', 'value'),
    ],
  },
  ArrayValue: { fields: [many(1, 'values', 'AnyValue')] },
  KeyValueList: { fields: [many(1, 'values', 'KeyValue')] },
}

export function isMessage(type: ScalarType | MessageName): type is MessageName {
  return Object.hasOwn(MESSAGES, type)
}
