// A reporting service. Its database instrumentation records SQL text with the literals in it.
import { SpanKind } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { announce, endpoint, ROUNDS, startTracing } from './tracing.ts'

const { tracer, flush, stop } = startTracing(
  'reports',
  new OTLPTraceExporter({ url: `${endpoint()}/v1/traces` }),
)

for (let round = 0; round < ROUNDS; round++) {
  const span = tracer.startSpan('SELECT visits', {
    kind: SpanKind.CLIENT,
    attributes: {
      'db.system.name': 'postgresql',
      'db.namespace': 'crm',
      'db.query.text': `SELECT id FROM visits WHERE name = 'Erika Mustermann' AND email = 'erika.m@example.org' AND ip = '198.51.100.${round % 250}' LIMIT ${10 + round}`,
      'enduser.name': 'Erika Mustermann',
    },
  })
  span.end()
  if (round === 0) announce(span)
  await flush()
}
await stop()
