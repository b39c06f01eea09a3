import { expect, test } from 'vitest'
import { prefersOpenMetrics } from '../../../src/admin/metrics.ts'
import { toOpenMetrics } from '../../../src/admin/open-metrics.ts'
import { Counter, Gauge, Histogram, Registry } from '../../../src/base/telemetry.ts'
import { admin } from './fixture.ts'

function filledRegistry(): Registry {
  const registry = new Registry()
  const registers = [registry]
  new Counter({
    name: 'kms_cache_hit_total',
    help: 'hits of "keys"',
    labelNames: ['key_type'],
    registers,
  }).inc({ key_type: 'signing' }, 7)
  new Counter({ name: 'otelcol_receiver_accepted_spans', help: 'accepted', registers }).inc(3)
  new Gauge({ name: 'otelcol_exporter_queue_size', help: 'queue', registers }).set(2)
  new Histogram({
    name: 'kms_retrieve_signing_key_seconds',
    help: 'time',
    buckets: [0.1, 1],
    registers,
  }).observe(0.5)
  return registry
}

test.each(['/q/metrics', '/metrics'])('%s is Prometheus text', async (url) => {
  const answer = await admin({ registry: filledRegistry() }).inject(url)
  expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(answer.body).toContain('kms_cache_hit_total{key_type="signing"} 7\n')
  expect(answer.body).toContain('otelcol_receiver_accepted_spans 3\n')
  expect(answer.body).not.toContain('# EOF')
})

test('a scraper that prefers OpenMetrics gets it, with the same sample lines', async () => {
  const server = admin({ registry: filledRegistry() })
  const plain = await server.inject('/metrics')
  const open = await server.inject({
    url: '/metrics',
    headers: {
      accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1',
    },
  })
  expect(open.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  const samples = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  expect(samples(open.body)).toEqual(samples(plain.body))
  expect(open.body).toContain('# TYPE kms_cache_hit counter\n')
  expect(open.body).toContain('# HELP kms_cache_hit hits of \\"keys\\"\n')
  expect(open.body).toContain('# TYPE otelcol_receiver_accepted_spans unknown\n')
  expect(open.body).toContain('# TYPE kms_retrieve_signing_key_seconds histogram\n')
  expect(open.body.endsWith('\n# EOF\n')).toBe(true)
  expect(open.body).not.toContain('\n\n')
})

test('nothing exported is an empty OpenMetrics text', () => {
  expect(toOpenMetrics('\n')).toBe('# EOF\n')
})

test.each([
  ['', false],
  ['*/*', false],
  ['text/plain', false],
  ['application/openmetrics-text', true],
  ['application/openmetrics-text; q=0', false],
  ['text/plain;q=0.9, application/openmetrics-text;q=0.3', false],
  ['application/openmetrics-text;q=0.5, text/plain;q=0.5', true],
  ['application/openmetrics-text;q=abc', false],
])('Accept %j asks for OpenMetrics: %s', (accept, isOpen) => {
  expect(prefersOpenMetrics(accept)).toBe(isOpen)
})
