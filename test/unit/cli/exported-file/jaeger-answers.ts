// An OTLP/JSON document of one resource as Jaeger's query service answers it.

export interface Otlp {
  resourceSpans: {
    resource: { attributes: OtlpAttribute[] }
    scopeSpans: { scope: { name: string; version: string }; spans: OtlpSpan[] }[]
  }[]
}
interface OtlpAttribute {
  key: string
  value: { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean }
}
interface OtlpSpan {
  [field: string]: unknown
  traceId: string
  spanId: string
  parentSpanId: string
  attributes: OtlpAttribute[]
  events?: { timeUnixNano: string; name: string; attributes?: OtlpAttribute[] }[]
}

function tag({ key, value }: OtlpAttribute): object {
  if (value.stringValue !== undefined) return { key, type: 'string', value: value.stringValue }
  if (value.intValue !== undefined) return { key, type: 'int64', value: Number(value.intValue) }
  if (value.doubleValue !== undefined) return { key, type: 'float64', value: value.doubleValue }
  if (value.boolValue !== undefined) return { key, type: 'bool', value: value.boolValue }
  return { key, type: 'string', value: JSON.stringify(value) }
}

const micros = (nanos: unknown): number => Number(BigInt(String(nanos)) / 1_000n)

/** As `/api/traces` answers. */
export function asJaeger({ resourceSpans }: Otlp): object {
  const [{ resource, scopeSpans }] = resourceSpans as [Otlp['resourceSpans'][number]]
  const { scope, spans } = scopeSpans[0]!
  return {
    data: [
      {
        traceID: spans[0]!.traceId,
        spans: spans.map((each) => ({
          traceID: each.traceId,
          spanID: each.spanId,
          flags: each.flags,
          operationName: each.name,
          references: [{ refType: 'CHILD_OF', traceID: each.traceId, spanID: each.parentSpanId }],
          startTime: micros(each.startTimeUnixNano),
          duration: micros(each.endTimeUnixNano) - micros(each.startTimeUnixNano),
          tags: [
            ...each.attributes.map(tag),
            { key: 'otel.scope.name', type: 'string', value: scope.name },
            { key: 'otel.scope.version', type: 'string', value: scope.version },
            { key: 'span.kind', type: 'string', value: 'server' },
            { key: 'error', type: 'bool', value: true },
            { key: 'otel.status_code', type: 'string', value: 'ERROR' },
            { key: 'otel.status_description', type: 'string', value: 'failed' },
            { key: 'w3c.tracestate', type: 'string', value: 'vendor=abc' },
            { key: 'internal.span.format', type: 'string', value: 'otlp' },
          ],
          logs: each.events?.map(({ timeUnixNano, name, attributes = [] }) => ({
            timestamp: micros(timeUnixNano),
            fields: [{ key: 'event', type: 'string', value: name }, ...attributes.map(tag)],
          })),
          processID: 'p1',
          warnings: null,
        })),
        processes: {
          p1: {
            serviceName: 'shop',
            tags: resource.attributes.filter(({ key }) => key !== 'service.name').map(tag),
          },
        },
        warnings: null,
      },
    ],
    total: 0,
    limit: 0,
    offset: 0,
    errors: null,
  }
}

/** As `/api/v3/traces` answers in versions that write protobuf's JSON. */
export function asV3(otlp: Otlp): object {
  const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')
  const resourceSpans = otlp.resourceSpans.map((each) => ({
    ...each,
    scopeSpans: each.scopeSpans.map((scope) => ({
      ...scope,
      spans: scope.spans.map((one) => ({
        ...one,
        traceId: base64(one.traceId),
        spanId: base64(one.spanId),
        parentSpanId: base64(one.parentSpanId),
        kind: 'SPAN_KIND_SERVER',
        status: { code: 'STATUS_CODE_ERROR', message: 'failed' },
      })),
    })),
  }))
  return { result: { resourceSpans } }
}

export const JAEGER_ANSWERS: readonly (readonly [string, (otlp: Otlp) => object])[] = [
  ['/api/traces', asJaeger],
  ['/api/v3/traces', asV3],
  ['/api/v3/traces in OTLP’s spelling', (otlp) => ({ result: otlp })],
]
