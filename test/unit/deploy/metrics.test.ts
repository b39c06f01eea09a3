import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERRORS } from '../../../src/base/errors.ts'
import { KMS_CLASSES } from '../../../src/kms/kms.ts'
import { startSidecar, type TestSidecar } from '../service/sidecar.ts'
import { alertRules, dashboard, filledIn, text } from './operations-files.ts'
import { ALL_PAGES, alternativesOf } from './pages.ts'
import { exportedNames, labelsOf, selectorsOf } from './promql.ts'

/** Prometheus makes it for every target. */
const OF_PROMETHEUS = new Set(['up'])
/** Made by the scrape. */
const TARGET_LABELS = new Set(['job', 'instance'])

const SPAN = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  name: 'pay',
  startTimeUnixNano: '1',
  endTimeUnixNano: '2',
  attributes: [
    { key: 'compliance.framework', value: { stringValue: 'soc2' } },
    { key: 'note', value: { stringValue: 'from ada@clinic.example' } },
  ],
}
const REQUEST = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [SPAN] }] }] })

let sidecar: TestSidecar
let page: string

beforeAll(async () => {
  sidecar = await startSidecar()
  const accepted = await sidecar.post('/v1/traces', REQUEST, 'application/json')
  expect(accepted.status).toBe(200)
  expect((await sidecar.post('/v1/traces', '{', 'application/json')).status).toBe(400)
  page = await (await sidecar.get('/q/metrics')).text()
})

afterAll(async () => {
  await sidecar.stop()
  sidecar.remove()
})

const asked: readonly (readonly [where: string, expr: string])[] = [
  ...alertRules().map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
  ...dashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [`panel ${title}`, filledIn(expr)] as const),
  ),
]

describe('what alerts and panels ask for', () => {
  test('every metric is exported by a sidecar that has had one request', () => {
    const exported = exportedNames(page)
    const unknown = asked.flatMap(([where, expr]) =>
      selectorsOf(expr)
        .filter(({ metric }) => !exported.has(metric) && !OF_PROMETHEUS.has(metric))
        .map(({ metric }) => `${where}: ${metric}`),
    )
    expect(unknown).toEqual([])
  })

  test('every label that is matched is one of its metric', () => {
    const wrong = asked.flatMap(([where, expr]) =>
      selectorsOf(expr).flatMap(({ metric, labels }) => {
        const known = labelsOf(page, metric)
        return labels
          .filter((label) => known !== undefined && !TARGET_LABELS.has(label) && !known.has(label))
          .map((label) => `${where}: ${metric} has no label ${label}`)
      }),
    )
    expect(wrong).toEqual([])
  })

  test('every code and class that is matched is in the tables of errors', () => {
    const codes = new Set(Object.keys(ERRORS))
    const classes = new Set(Object.keys(KMS_CLASSES))
    const wrong: string[] = []
    for (const [where, expr] of asked) {
      for (const [, label, values] of expr.matchAll(/\b(code|reason|error)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)) {
        const known = label === 'error' ? classes : codes
        for (const value of values!.split('|'))
          if (!known.has(value)) wrong.push(`${where}: ${label} ${value}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test("every refusal is in one alert: ours, the client's, or that of a stop", () => {
    const matched = alertRules()
      .filter(({ alert }) => alert === 'BetraceSpansRefused' || alert === 'BetraceRequestsInvalid')
      .flatMap(({ expr }) => /code=~"([^"]*)"/.exec(expr)![1]!.split('|'))
    // A stop is announced and short; the rest never reaches a telemetry client.
    const elsewhere = ['SHUTTING_DOWN', 'CONFIG', 'USAGE', 'STORE_LOCKED', 'STORE_CORRUPT', 'SEALED_VALUE']
    expect([...matched, ...elsewhere].sort()).toEqual(Object.keys(ERRORS).sort())
  })

  test('an unknown name would be found', () => {
    expect(selectorsOf('sum by (job) (rate(nobody_has_this{code="x"}[5m])) / up > 0.5')).toEqual([
      { metric: 'nobody_has_this', labels: ['code'] },
      { metric: 'up', labels: [] },
    ])
  })
})

describe('what pages name', () => {
  const METRIC = /\b(?:kms|betrace|otelcol|circuit_breaker|nodejs|process)_[a-z0-9_]*[a-z0-9]\b/g
  /** What a page's `metrics` command searches for, and `grep` in what comes from the metrics page. */
  const PATTERN = /(?:\bmetrics|\/metrics \| grep(?: -E)?) '([^']+)'/g
  /** Names in Terraform: a module, its output, a role. */
  const OF_TERRAFORM = new Set(['betrace_kms', 'betrace_environment', 'betrace_sidecar'])

  test.each(ALL_PAGES)('every metric in %s is exported', (file) => {
    const exported = exportedNames(page)
    for (const name of [...exported]) exported.add(name.replace(/_(?:bucket|sum|count)$/, ''))
    const names = text(file).replaceAll(PATTERN, '').match(METRIC) ?? []
    expect(names.filter((name) => !exported.has(name) && !OF_TERRAFORM.has(name))).toEqual([])
  })

  test.each(ALL_PAGES)('every alternative of every search in %s finds a metric', (file) => {
    const exported = [...exportedNames(page)]
    const futile = [...text(file).matchAll(PATTERN)]
      .flatMap(([, pattern]) => alternativesOf(pattern!))
      .map((alternative) => alternative.replace(/\\?\{.*/, ''))
      .filter((alternative) => !exported.some((name) => new RegExp(alternative).test(name)))
    expect(futile).toEqual([])
  })

  test('a pattern is searched half by half', () => {
    expect(alternativesOf('^a(b|c(d|e))f|g')).toEqual(['^abf', '^acdf', '^acef', 'g'])
    expect(alternativesOf('x|^y_(1|2)_z|w').sort()).toEqual(['^y_1_z', '^y_2_z', 'w', 'x'])
  })
})
