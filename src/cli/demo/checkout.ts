// A web shop. Its HTTP instrumentation records the whole URL, and the URL holds a card number and an e-mail address.
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc'
import { announce, endpoint, ROUNDS, startTracing } from './tracing.ts'

const { tracer, flush, stop } = startTracing('checkout', new OTLPTraceExporter({ url: endpoint() }))
const buyers = ['alice.martin', 'bob.stone', 'carol.diaz', 'dan.okafor']

for (let round = 0; round < ROUNDS; round++) {
  const buyer = buyers[round % buyers.length]!
  const url = `https://shop.example/pay?card=4111111111111111&email=${buyer}@example.com&cart=${1000 + round}`
  const span = tracer.startSpan('POST /pay', {
    kind: SpanKind.SERVER,
    attributes: {
      'http.request.method': 'POST',
      'url.full': url,
      'http.response.status_code': 200,
      'client.address': '203.0.113.42',
    },
  })
  if (round % 10 === 9) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: `mail to ${buyer}@example.com bounced` })
  }
  span.end()
  if (round === 0) announce(span)
  await flush()
}
await stop()
