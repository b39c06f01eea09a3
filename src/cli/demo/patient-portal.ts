// A hospital's portal. It promises its auditors a record of every look at a patient's file: the compliance.* spans.
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { announce, endpoint, ROUNDS, startTracing } from './tracing.ts'

const { tracer, flush, stop } = startTracing(
  'patient-portal',
  new OTLPTraceExporter({ url: `${endpoint()}/v1/traces` }),
)
const doctors = ['dr.weiss', 'dr.amari', 'dr.lindqvist']

for (let round = 0; round < ROUNDS; round++) {
  const span = tracer.startSpan('record.read', {
    attributes: {
      'compliance.framework': 'hipaa',
      'compliance.control': '164.312(b)',
      'compliance.outcome': round % 25 === 24 ? 'denied' : 'granted',
      'enduser.id': `${doctors[round % doctors.length]}@clinic.example`,
      'patient.file': `file-${4000 + round}`,
    },
  })
  span.addEvent('opened', { 'reader.email': `${doctors[round % doctors.length]}@clinic.example` })
  span.end()
  if (round === 0) announce(span)
  await flush()
}
await stop()
