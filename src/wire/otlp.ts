// What OTLP says, in words: the signals, the places where attributes and text live, and the value types. The messages
// and their field numbers are in `schema.ts`.

export type Signal = 'traces' | 'logs' | 'metrics'

/** A place where personal data can stand. Small integers, so that rules can index arrays by them. */
export const Place = {
  RESOURCE_ATTRIBUTE: 0,
  SCOPE_ATTRIBUTE: 1,
  SPAN_ATTRIBUTE: 2,
  EVENT_ATTRIBUTE: 3,
  LINK_ATTRIBUTE: 4,
  LOG_ATTRIBUTE: 5,
  LOG_BODY: 6,
  METRIC_METADATA: 7,
  POINT_ATTRIBUTE: 8,
  EXEMPLAR_ATTRIBUTE: 9,
  RESOURCE_SCHEMA_URL: 10,
  SCOPE_SCHEMA_URL: 11,
  SCOPE_NAME: 12,
  SCOPE_VERSION: 13,
  SPAN_NAME: 14,
  SPAN_TRACE_STATE: 15,
  SPAN_STATUS_MESSAGE: 16,
  EVENT_NAME: 17,
  LINK_TRACE_STATE: 18,
  LOG_SEVERITY_TEXT: 19,
  LOG_EVENT_NAME: 20,
  METRIC_NAME: 21,
  METRIC_DESCRIPTION: 22,
  METRIC_UNIT: 23,
  ENTITY_SCHEMA_URL: 24,
  ENTITY_TYPE: 25,
  ENTITY_KEY: 26,
} as const
export type Place = (typeof Place)[keyof typeof Place]

/** Field numbers of AnyValue's oneof, used as the type of a value. 0 is an AnyValue with nothing set. */
export const ValueType = {
  EMPTY: 0,
  STRING: 1,
  BOOL: 2,
  INT: 3,
  DOUBLE: 4,
  ARRAY: 5,
  KVLIST: 6,
  BYTES: 7,
} as const
export type ValueType = (typeof ValueType)[keyof typeof ValueType]

/** Messages whose opening and closing a visitor hears of. ITEM is a span, a log record or a data point. */
export const Frame = {
  RESOURCE_GROUP: 0, // ResourceSpans, ResourceLogs, ResourceMetrics
  RESOURCE: 1,
  SCOPE_GROUP: 2, // ScopeSpans, ScopeLogs, ScopeMetrics
  SCOPE: 3,
  ITEM: 4,
  EVENT: 5,
  LINK: 6,
  METRIC: 7,
} as const
export type Frame = (typeof Frame)[keyof typeof Frame]
