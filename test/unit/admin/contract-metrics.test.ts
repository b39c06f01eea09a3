// Every metric that the runbooks, alerts and dashboards are written against, on a sidecar that has done some work, and that
// no amount of tenants makes more series than a bound.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TENANT_LABELS_MAX } from '../../../src/base/limits.ts'
import { BREAKER_NAMES } from '../../../src/kms/breaker-kms.ts'
import { KMS_CLASSES } from '../../../src/kms/kms.ts'
import { type MetricSample, parseMetrics } from '../../interop/metrics.ts'
import { startSidecar, type TestSidecar } from '../service/sidecar.ts'

const TENANTS = 200
let sidecar: TestSidecar
let firstPage: string
let page: string
let metrics: MetricSample

beforeAll(async () => {
  sidecar = await startSidecar(['processors.signing.select=all'])
  const scrape = async (): Promise<string> => (await sidecar.get('/q/metrics')).text()
  await send('tenant-x0')
  firstPage = await scrape()
  for (let tenant = 1; tenant < TENANTS; tenant++) await send(`tenant-x${tenant}`)
  page = await scrape()
  metrics = parseMetrics(page)
})

afterAll(async () => {
  await sidecar?.stop()
  sidecar?.remove()
})

async function send(tenant: string): Promise<void> {
  const span = {
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    name: 'visit',
    attributes: [
      { key: 'user.email', value: { stringValue: 'a@clinic.example' } },
      { key: 'user.id', value: { stringValue: 'u-1' } },
    ],
  }
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
  const answer = await sidecar.post('/v1/traces', body, 'application/json', { 'x-betrace-tenant': tenant })
  expect(answer.status).toBe(200)
  await sidecar.get(`/api/tenants/${tenant}/public-keys`)
}

const KEY_TYPES = ['signing', 'public', 'encryption']

test.each([
  ...KEY_TYPES.flatMap((type) => [
    `kms_retrieve_${type}_key_total`,
    `kms_retrieve_${type}_key_seconds_bucket`,
    `kms_retrieve_${type}_key_seconds_count`,
  ]),
  'kms_cache_hit_total',
  'kms_cache_miss_total',
  'kms_errors_total',
  'kms_requests_total',
  'circuit_breaker_state',
  'circuit_breaker_rejections_total',
  'kms_last_rotation_timestamp_seconds',
  'kms_rotation_max_age_seconds',
  'kms_rotation_success_total',
  'kms_rotation_failures_total',
  'kms_rotation_duration_seconds_bucket',
  'otelcol_receiver_accepted_spans',
  'otelcol_receiver_refused_spans',
  'otelcol_exporter_sent_spans',
  'otelcol_exporter_send_failed_spans',
  'otelcol_exporter_queue_size',
  'betrace_stage_seconds_bucket',
])('%s is exported', (name) => {
  // Who counts nothing yet is declared all the same, or a rule on it could never be evaluated.
  const base = name.replace(/_(?:bucket|count)$/, '')
  expect(page).toMatch(new RegExp(`^# TYPE ${base} `, 'm'))
  if (!name.startsWith('otelcol_')) expect(metrics.names()).toContain(name)
})

test('each key type, breaker, operation and class has its series from the start', () => {
  for (const type of KEY_TYPES)
    for (const name of ['kms_cache_hit_total', 'kms_cache_miss_total'])
      expect(firstPage).toContain(`${name}{key_type="${type}"} `)
  for (const name of BREAKER_NAMES) expect(firstPage).toContain(`circuit_breaker_state{name="${name}"} 0`)
  for (const operation of ['generate_data_key', 'encrypt', 'decrypt', 'describe_key'])
    for (const kmsClass of Object.keys(KMS_CLASSES))
      expect(firstPage).toContain(`kms_errors_total{operation="${operation}",error="${kmsClass}"} 0`)
})

test('the counters count: two keys made for each tenant, and nothing failed', () => {
  expect(metrics.sum('kms_requests_total', { operation: 'generate_data_key' })).toBe(TENANTS)
  expect(metrics.sum('kms_retrieve_encryption_key_seconds_count')).toBe(TENANTS)
  expect(metrics.sum('kms_retrieve_signing_key_seconds_count')).toBe(TENANTS)
  expect(metrics.sum('kms_cache_miss_total', { key_type: 'signing' })).toBe(TENANTS)
  expect(metrics.sum('kms_errors_total')).toBe(0)
})

test('two hundred tenants make no more series than one, beyond a capped few', () => {
  const seriesOf = (text: string): Set<string> =>
    new Set(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.slice(0, line.lastIndexOf(' '))),
    )
  const before = seriesOf(firstPage)
  const grown = [...seriesOf(page)].filter(
    (series) => !before.has(series) && !/^(?:nodejs|process)_/.test(series),
  )
  const withTenant = grown.filter((series) => series.includes('tenant-x'))
  const names = new Set(withTenant.map((series) => series.slice(0, series.indexOf('{'))))
  for (const name of names) {
    const count = withTenant.filter((series) => series.startsWith(`${name}{`)).length
    expect([name, count <= TENANT_LABELS_MAX + 1]).toEqual([name, true])
  }
  expect(grown.filter((series) => !series.includes('tenant-x'))).toEqual([])
})

test('each metric is explained in English', () => {
  const helps = page.split('\n').filter((line) => line.startsWith('# HELP '))
  expect(helps.length).toBeGreaterThan(50)
  expect(helps.filter((line) => /\ba [aeio]|\ban [^aeiouh]/i.test(line.slice(line.indexOf(' ', 7))))).toEqual(
    [],
  )
})
