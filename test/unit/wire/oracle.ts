// A second reader of OTLP: protobufjs over the .proto files of a pinned development dependency. Those are older than
// OTLP 1.11; what was added since is added here by name.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import protobuf from 'protobufjs'
import type { Signal } from '../../../src/wire/otlp.ts'

const home = dirname(createRequire(import.meta.url).resolve('@elastic/mockotlpserver/package.json'))

function load(keepsAnyBytes: boolean): protobuf.Root {
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => join(home, target)
  root.loadSync(
    ['trace', 'logs', 'metrics'].map(
      (name) => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`,
    ),
  )
  const common = root.lookup('opentelemetry.proto.common.v1') as protobuf.Namespace
  const entity = new protobuf.Type('EntityRef')
  entity.add(new protobuf.Field('schemaUrl', 1, 'string'))
  entity.add(new protobuf.Field('type', 2, 'string'))
  entity.add(new protobuf.Field('idKeys', 3, 'string', 'repeated'))
  entity.add(new protobuf.Field('descriptionKeys', 4, 'string', 'repeated'))
  common.add(entity)
  const entityRefs = new protobuf.Field(
    'entityRefs',
    3,
    'opentelemetry.proto.common.v1.EntityRef',
    'repeated',
  )
  root.lookupType('opentelemetry.proto.resource.v1.Resource').add(entityRefs)
  entityRefs.resolve()
  root.lookupType('opentelemetry.proto.logs.v1.LogRecord').add(new protobuf.Field('eventName', 12, 'string'))
  common.lookupType('KeyValue').add(new protobuf.Field('keyStrindex', 3, 'int32'))
  const anyValue = common.lookupType('AnyValue')
  const strindex = new protobuf.Field('stringValueStrindex', 8, 'int32')
  anyValue.oneofs.value.add(strindex)
  root.resolveAll()
  if (keepsAnyBytes) keepAnyBytes(root)
  return root
}

/** Our scan's one leniency: text that is no UTF-8 is kept as bytes. So protobufjs must not verify it either. */
function keepAnyBytes(space: protobuf.NamespaceBase): void {
  for (const nested of space.nestedArray) {
    if (nested instanceof protobuf.Type) {
      for (const field of nested.fieldsArray) {
        // Resolved features have no public setter; the decoder is generated from them on first use.
        const features = field as unknown as { _features: Record<string, string> }
        features._features = { ...features._features, utf8_validation: 'NONE' }
      }
    }
    if (nested instanceof protobuf.Namespace) keepAnyBytes(nested)
  }
}

export const root: protobuf.Root = load(true)

const requestTypes = (of: protobuf.Root): Readonly<Record<Signal, protobuf.Type>> => ({
  traces: of.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'),
  logs: of.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'),
  metrics: of.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'),
})
export const requestType = requestTypes(root)
const strictType = requestTypes(load(false))

/** What a strict next hop reads: throws also for text that is no UTF-8. */
export function readStrictly(signal: Signal, bytes: Uint8Array): Record<string, unknown> {
  const type = strictType[signal]
  return type.toObject(type.decode(bytes), { longs: String, bytes: String, enums: Number })
}

/** What protobufjs reads, as plain data. Throws where it refuses. */
export function read(signal: Signal, bytes: Uint8Array): Record<string, unknown> {
  const type = requestType[signal]
  return type.toObject(type.decode(bytes), { longs: String, bytes: String, enums: Number })
}

/** What protobufjs writes. */
export function encode(signal: Signal, content: Record<string, unknown>): Uint8Array {
  const type = requestType[signal]
  return type.encode(type.fromObject(content)).finish()
}
