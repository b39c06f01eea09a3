// What the three demo programs share: the OpenTelemetry JS SDK, set up the way its own documentation does.
import { type Span, type Tracer, trace } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'

export interface Tracing {
  readonly tracer: Tracer
  /** Sends what has ended so far and waits for the answer. */
  flush(): Promise<void>
  stop(): Promise<void>
}

export function startTracing(serviceName: string, exporter: SpanExporter): Tracing {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': '1.4.2' }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 60_000, maxQueueSize: 4096 })],
  })
  trace.setGlobalTracerProvider(provider)
  return {
    tracer: provider.getTracer(serviceName),
    flush: () => provider.forceFlush(),
    stop: () => provider.shutdown(),
  }
}

/** The endpoint that the demo passes to its programs. */
export function endpoint(): string {
  const value = process.env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (value === undefined) throw new Error('OTEL_EXPORTER_OTLP_ENDPOINT is not set')
  return value
}

/** How many requests each program sends. */
export const ROUNDS = 150

/** Tells the demo what this program recorded, before anybody sealed it: one line of JSON on standard output. */
export function announce(span: Span): void {
  const { traceId, spanId } = span.spanContext()
  // The SDK's own span has its attributes; the API's interface hides them.
  const { name, attributes } = span as Span & { name: string; attributes: Record<string, unknown> }
  console.log(JSON.stringify({ traceId, spanId, name, attributes }))
}
