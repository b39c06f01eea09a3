// Builds requests and reads them back with protobufjs and the .proto files of a development dependency, so that what
// these tests see is what any other OTLP implementation sees.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import protobuf from 'protobufjs'
import type { Signal } from '../../../src/wire/otlp.ts'

const protoRoot = dirname(createRequire(import.meta.url).resolve('@elastic/mockotlpserver/package.json'))

const root = new protobuf.Root()
root.resolvePath = (_origin, target) => join(protoRoot, target)
root.loadSync(
  ['trace', 'logs', 'metrics'].map(
    (name) => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`,
  ),
  { keepCase: false },
)

// These files are older than OTLP 1.11: what it added is declared here.
const { Field, Type } = protobuf
const common = root.lookup('opentelemetry.proto.common.v1') as protobuf.Namespace // a package is a namespace
const entityRef = new Type('EntityRef')
  .add(new Field('schemaUrl', 1, 'string'))
  .add(new Field('type', 2, 'string'))
  .add(new Field('idKeys', 3, 'string', 'repeated'))
  .add(new Field('descriptionKeys', 4, 'string', 'repeated'))
common.add(entityRef)
addField(
  'opentelemetry.proto.resource.v1.Resource',
  new Field('entityRefs', 3, '.opentelemetry.proto.common.v1.EntityRef', 'repeated'),
)
addField('opentelemetry.proto.logs.v1.LogRecord', new Field('eventName', 12, 'string'))

function addField(type: string, field: protobuf.Field): void {
  const message = root.lookupType(type)
  if (message.fields[field.name] === undefined) message.add(field)
}

const REQUESTS: Readonly<Record<Signal, string>> = {
  traces: 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest',
  logs: 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest',
  metrics: 'opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest',
}

const anyValueType = root.lookupType('opentelemetry.proto.common.v1.AnyValue')

/** OTLP as plain objects, the way protobufjs writes it. */
export type Plain = Record<string, unknown>

export function encode(signal: Signal, request: Plain): Uint8Array {
  const type = root.lookupType(REQUESTS[signal])
  return type.encode(type.fromObject(request)).finish()
}

export function decode(signal: Signal, body: Uint8Array): Plain {
  const type = root.lookupType(REQUESTS[signal])
  return type.toObject(type.decode(body), { longs: String, bytes: String, enums: Number })
}

export function encodeAnyValue(value: Plain): Uint8Array {
  return anyValueType.encode(anyValueType.fromObject(value)).finish()
}

export function decodeAnyValue(bytes: Uint8Array): Plain {
  return anyValueType.toObject(anyValueType.decode(bytes), { longs: String, bytes: String })
}

export const kv = (key: string, value: Plain): Plain => ({ key, value })
export const str = (stringValue: string): Plain => ({ stringValue })

/** One span with these attributes. */
export function traceRequest(
  attributes: readonly Plain[],
  span: Plain = {},
  resource: readonly Plain[] = [],
): Uint8Array {
  return encode('traces', {
    resourceSpans: [
      {
        resource: { attributes: resource },
        scopeSpans: [
          {
            scope: { name: 'scope', version: '1' },
            spans: [
              {
                traceId: new Uint8Array(16).fill(1),
                spanId: new Uint8Array(8).fill(2),
                name: 'op',
                attributes,
                ...span,
              },
            ],
          },
        ],
      },
    ],
  })
}

interface DecodedSpan {
  readonly attributes?: readonly { readonly key: string; readonly value?: Plain }[]
  readonly [field: string]: unknown
}

export function firstSpan(body: Uint8Array): DecodedSpan {
  const request = decode('traces', body) as { resourceSpans: { scopeSpans: { spans: DecodedSpan[] }[] }[] }
  return request.resourceSpans[0]!.scopeSpans[0]!.spans[0]!
}

/** Attributes of the first span, by key. */
export function spanAttributes(body: Uint8Array): ReadonlyMap<string, Plain | undefined> {
  return new Map((firstSpan(body).attributes ?? []).map(({ key, value }) => [key, value]))
}

/** Attributes of the first resource, by key. */
export function resourceAttributes(signal: Signal, body: Uint8Array): ReadonlyMap<string, Plain | undefined> {
  const request = decode(signal, body)
  const [group] = Object.values(request)[0] as {
    resource?: { attributes?: { key: string; value?: Plain }[] }
  }[]
  return new Map((group?.resource?.attributes ?? []).map(({ key, value }) => [key, value]))
}
