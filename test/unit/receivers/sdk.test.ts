// The real OpenTelemetry JS SDK and its three exporters against both receivers: what they send is read, what they are
// told they understand.
import { DiagLogLevel, diag, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import protobuf from 'protobufjs'
import { afterEach, describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import type { ExportRequest } from '../../../src/pipeline/pipeline.ts'
import { type Harness, OK, startReceivers } from './harness.ts'

// As much of the published schema as this test reads.
const { root } = protobuf.parse(`syntax = "proto3";
  message Value { string string_value = 1; int64 int_value = 3; }
  message KeyValue { string key = 1; Value value = 2; }
  message Span { bytes trace_id = 1; bytes span_id = 2; string name = 5; int32 kind = 6; fixed64 start = 7; repeated KeyValue attributes = 9; }
  message ScopeSpans { repeated Span spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Request { repeated ResourceSpans resource_spans = 1; }
`)

interface Read {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly traceId: string
        readonly name: string
        readonly kind: number
        readonly attributes: readonly { key: string }[]
      }[]
    }[]
  }[]
}

function read(request: ExportRequest): Read {
  const type = root.lookupType('Request')
  // The shape of the schema above.
  return type.toObject(type.decode(request.body), {
    bytes: String,
    longs: String,
    arrays: true,
    defaults: true,
  }) as Read
}

const EXPORTERS: readonly [string, (harness: Harness, gzip: boolean) => SpanExporter][] = [
  [
    'gRPC',
    (harness, gzip) => new GrpcExporter({ url: `http://127.0.0.1:${harness.grpcPort}`, ...zip(gzip) }),
  ],
  ['HTTP/protobuf', (harness, gzip) => new ProtoExporter({ url: traces(harness), ...zip(gzip) })],
  ['HTTP/JSON', (harness, gzip) => new JsonExporter({ url: traces(harness), ...zip(gzip) })],
]

const traces = (harness: Harness): string => `http://127.0.0.1:${harness.httpPort}/v1/traces`
// The exporters' CompressionAlgorithm is an enum of these strings that they do not all export.
const zip = (gzip: boolean) => ({ compression: (gzip ? 'gzip' : 'none') as never })

async function exportOne(exporter: SpanExporter): Promise<string[]> {
  const errors: string[] = []
  const note = (...parts: unknown[]): void => void errors.push(parts.map(String).join(' '))
  diag.setLogger(
    { error: note, warn: note, info() {}, debug() {}, verbose() {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'checkout' }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 60_000 })],
  })
  const span = provider
    .getTracer('test')
    .startSpan('GET /cart', { kind: SpanKind.SERVER, attributes: { 'user.email': 'a@b.example', items: 3 } })
  span.addEvent('priced', { total: 12.5 })
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'declined' })
  span.end()
  await provider.forceFlush().catch(note)
  await provider.shutdown().catch(note)
  return errors
}

afterEach(() => diag.disable())

describe.each(EXPORTERS)('the exporter for %s', (_name, create) => {
  test.each([[false], [true]])(
    'sends a span that arrives whole (gzip: %s) and hears success',
    async (gzip) => {
      await using harness = await startReceivers()
      expect(await exportOne(create(harness, gzip))).toEqual([])
      expect(harness.seen.length).toBe(1)
      const [group] = read(harness.seen[0]!).resourceSpans
      const [span] = group!.scopeSpans[0]!.spans
      expect(span).toMatchObject({ name: 'GET /cart', kind: 2 })
      expect(Buffer.from(span!.traceId, 'base64').byteLength).toBe(16)
      expect(span!.attributes.map(({ key }) => key)).toEqual(['user.email', 'items'])
      expect(harness.admission.bytesUsed).toBe(0)
    },
  )

  test('hears a refusal that is final, and does not send again', async () => {
    await using harness = await startReceivers({
      accept: () => Promise.reject(new SidecarError('MALFORMED', 'no such thing')),
    })
    expect((await exportOne(create(harness, false))).length).toBeGreaterThan(0)
    expect(harness.seen.length).toBe(1)
  })
})

test.each(EXPORTERS.slice(1))(
  'the exporter for %s sends again after 503 and Retry-After, and succeeds',
  async (_name, create) => {
    let calls = 0
    await using harness = await startReceivers({
      accept: async () => {
        if (calls++ === 0) throw new SidecarError('OVERLOADED', 'not now', { retryAfterMs: 1 })
        return OK
      },
    })
    expect(await exportOne(create(harness, false))).toEqual([])
    expect(calls).toBe(2)
  },
)
