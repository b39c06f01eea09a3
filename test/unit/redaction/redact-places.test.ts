import { describe, expect, test } from 'vitest'
import {
  type Action,
  DROP,
  ENCRYPT,
  HASH,
  MASK,
  type Match,
  REDACTION_DEFAULTS,
  type Rule,
} from '../../../src/redaction/options.ts'
import { redact } from '../../../src/redaction/redact.ts'
import { compileRules, type RuleSet } from '../../../src/redaction/rules.ts'
import { SURFACES as SURFACE_NAMES } from '../../../src/redaction/surfaces.ts'
import { Place, type Signal } from '../../../src/wire/otlp.ts'
import {
  decode,
  decodeAnyValue,
  encode,
  encodeAnyValue,
  kv,
  type Plain,
  resourceAttributes,
  str,
} from './otlp-codec.ts'
import { type TestTenant, testTenant } from './test-keys.ts'

const rule = (match: Match, action: Action, dataClass = 'test'): Rule => ({
  name: 'test rule',
  match,
  action,
  dataClass,
})
const own = (rules: readonly Rule[]): RuleSet => compileRules({ ...REDACTION_DEFAULTS, packs: [], rules })
const text = (value: Plain | undefined): string => String(value?.stringValue)
const tokens = (value: string): string[] => value.match(/enc\.v1\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]+/g) ?? []

/** Each place with a request that has `value` there (and `key` where it has keys), and how tokens there are bound. */
interface Surface {
  readonly place: string
  readonly signal: Signal
  readonly hasKey: boolean
  readonly boundTo: string
  readonly build: (key: string, value: Plain) => Plain
}

const span = (fields: Plain): Plain => ({
  resourceSpans: [{ resource: {}, scopeSpans: [{ scope: {}, spans: [fields] }] }],
})
const log = (fields: Plain): Plain => ({
  resourceLogs: [{ resource: {}, scopeLogs: [{ scope: {}, logRecords: [fields] }] }],
})
const metric = (fields: Plain): Plain => ({
  resourceMetrics: [{ resource: {}, scopeMetrics: [{ scope: {}, metrics: [fields] }] }],
})
const keyed = (place: string, signal: Signal, build: (attributes: Plain[]) => Plain): Surface => ({
  place,
  signal,
  hasKey: true,
  boundTo: 'secret.key',
  build: (key, value) => build([kv(key, value)]),
})
const free = (place: string, signal: Signal, boundTo: string, build: (value: string) => Plain): Surface => ({
  place,
  signal,
  hasKey: false,
  boundTo,
  build: (_, value) => build(text(value)),
})

const SURFACES: readonly Surface[] = [
  keyed('RESOURCE_ATTRIBUTE', 'traces', (attributes) => ({ resourceSpans: [{ resource: { attributes } }] })),
  keyed('SCOPE_ATTRIBUTE', 'traces', (attributes) => ({
    resourceSpans: [{ scopeSpans: [{ scope: { attributes } }] }],
  })),
  keyed('SPAN_ATTRIBUTE', 'traces', (attributes) => span({ attributes })),
  keyed('EVENT_ATTRIBUTE', 'traces', (attributes) => span({ events: [{ attributes }] })),
  keyed('LINK_ATTRIBUTE', 'traces', (attributes) => span({ links: [{ attributes }] })),
  keyed('LOG_ATTRIBUTE', 'logs', (attributes) => log({ attributes })),
  keyed('METRIC_METADATA', 'metrics', (metadata) => metric({ metadata })),
  keyed('POINT_ATTRIBUTE', 'metrics', (attributes) =>
    metric({ sum: { dataPoints: [{ attributes, asInt: 1 }] } }),
  ),
  keyed('POINT_ATTRIBUTE', 'metrics', (attributes) =>
    metric({ histogram: { dataPoints: [{ attributes }] } }),
  ),
  keyed('POINT_ATTRIBUTE', 'metrics', (attributes) =>
    metric({ exponentialHistogram: { dataPoints: [{ attributes }] } }),
  ),
  keyed('POINT_ATTRIBUTE', 'metrics', (attributes) => metric({ summary: { dataPoints: [{ attributes }] } })),
  keyed('EXEMPLAR_ATTRIBUTE', 'metrics', (filteredAttributes) =>
    metric({ gauge: { dataPoints: [{ asDouble: 1, exemplars: [{ filteredAttributes }] }] } }),
  ),
  {
    place: 'LOG_BODY',
    signal: 'logs',
    hasKey: false,
    boundTo: '@log.body',
    build: (_, body) => log({ body }),
  },
  free('SPAN_NAME', 'traces', '@span.name', (name) => span({ name })),
  free('SPAN_TRACE_STATE', 'traces', '@span.trace_state', (value) => span({ traceState: `a=1,v=${value}` })),
  free('SPAN_STATUS_MESSAGE', 'traces', '@span.status_message', (message) => span({ status: { message } })),
  free('EVENT_NAME', 'traces', '@event.name', (name) => span({ events: [{ name }] })),
  free('LINK_TRACE_STATE', 'traces', '@link.trace_state', (value) =>
    span({ links: [{ traceState: `v=${value}` }] }),
  ),
  free('SCOPE_NAME', 'traces', '@scope.name', (name) => ({
    resourceSpans: [{ scopeSpans: [{ scope: { name } }] }],
  })),
  free('SCOPE_VERSION', 'logs', '@scope.version', (version) => ({
    resourceLogs: [{ scopeLogs: [{ scope: { version } }] }],
  })),
  free('RESOURCE_SCHEMA_URL', 'traces', '@resource.schema_url', (schemaUrl) => ({
    resourceSpans: [{ schemaUrl }],
  })),
  free('SCOPE_SCHEMA_URL', 'logs', '@scope.schema_url', (schemaUrl) => ({
    resourceLogs: [{ scopeLogs: [{ schemaUrl }] }],
  })),
  free('LOG_SEVERITY_TEXT', 'logs', '@log.severity_text', (severityText) => log({ severityText })),
  free('LOG_EVENT_NAME', 'logs', '@log.event_name', (eventName) => log({ eventName })),
  free('METRIC_NAME', 'metrics', '@metric.name', (name) => metric({ name })),
  free('METRIC_DESCRIPTION', 'metrics', '@metric.description', (description) => metric({ description })),
  free('METRIC_UNIT', 'metrics', '@metric.unit', (unit) => metric({ unit })),
  free('ENTITY_SCHEMA_URL', 'traces', '@entity.schema_url', (schemaUrl) => ({
    resourceSpans: [{ resource: { entityRefs: [{ schemaUrl }] } }],
  })),
  free('ENTITY_TYPE', 'traces', '@entity.type', (type) => ({
    resourceSpans: [{ resource: { entityRefs: [{ type }] } }],
  })),
  free('ENTITY_KEY', 'traces', '@entity.key', (key) => ({
    resourceSpans: [{ resource: { entityRefs: [{ idKeys: [key] }] } }],
  })),
]

const SECRET = '4111111111111111'
const VALUES: readonly (readonly [type: string, value: Plain])[] = [
  ['string', str(`<${SECRET}>`)],
  ['string that is all of it', str(SECRET)],
  ['int', { intValue: SECRET }],
  ['double', { doubleValue: Number(SECRET) }],
  ['bytes', { bytesValue: Buffer.from(`\xff${SECRET}\xfe`, 'latin1') }],
  ['array', { arrayValue: { values: [str('a'), str(SECRET), { intValue: SECRET }] } }],
  ['kvlist', { kvlistValue: { values: [kv('inner', str(`x ${SECRET}`)), kv('n', { intValue: 7 })] } }],
  [
    'kvlist in an array',
    { arrayValue: { values: [{ kvlistValue: { values: [kv('deep', { doubleValue: Number(SECRET) })] } }] } },
  ],
]
const ACTIONS: readonly (readonly [name: string, action: Action])[] = [
  ['encrypt', ENCRYPT],
  ['hash', HASH],
  ['mask', MASK],
  ['drop', DROP],
  ['mask keep_last', { kind: 'mask', text: undefined, keepFirst: 0, keepLast: 4 }],
]

const plainText = (body: Uint8Array): string => Buffer.from(body).toString('latin1')
const secretDouble = Buffer.alloc(8)
secretDouble.writeDoubleLE(Number(SECRET))
const secretVarint = Buffer.from(encodeAnyValue({ intValue: SECRET }).subarray(1)).toString('latin1')
const isClean = (body: Uint8Array): boolean =>
  ![SECRET, secretDouble.toString('latin1'), secretVarint].some((secret) => plainText(body).includes(secret))

const cases = SURFACES.flatMap((surface) =>
  VALUES.filter(
    ([type]) => surface.hasKey || surface.place === 'LOG_BODY' || type.startsWith('string'),
  ).flatMap(([type, value]) =>
    ACTIONS.flatMap(([name, action]) =>
      (['key', 'detector', 'surface'] as const)
        .filter((by) => by !== 'key' || surface.hasKey)
        .map((by) => ({ surface, type, value, name, action, by })),
    ),
  ),
)

describe('every place, type, action and way to match', () => {
  test('the table names every place of the wire tables', () => {
    expect(new Set(SURFACES.map(({ place }) => place))).toEqual(new Set(Object.keys(Place)))
  })

  test.each(
    SURFACES.map(
      (surface) =>
        [
          `${surface.signal} ${surface.place} ${JSON.stringify(surface.build('k', str('v'))).length}`,
          surface,
        ] as const,
    ),
  )('%s', (_, surface) => {
    for (const { type, value, name, action, by } of cases.filter((row) => row.surface === surface)) {
      const label = `${type}, ${name} by ${by}`
      const match: Match =
        by === 'key'
          ? { key: ['secret.key'] }
          : by === 'detector'
            ? { detector: ['payment_card'] }
            : { surface: ALL_SURFACES }
      const tenant = testTenant()
      const body = encode(surface.signal, surface.build('secret.key', value))
      const result = redact(body, surface.signal, own([rule(match, action)]), [tenant])
      expect(result.missing, label).toEqual([])
      expect(isClean(result.body), label).toBe(true)
      expect(() => decode(surface.signal, result.body), label).not.toThrow()
      expect(
        result.counts.reduce((sum, { count }) => sum + count, 0),
        label,
      ).toBeGreaterThan(0)
      const isSealed = name === 'encrypt' && surface.signal !== 'metrics' && surface.place !== 'ENTITY_KEY'
      expect(tokens(plainText(result.body)).length > 0, label).toBe(isSealed)
      if (isSealed) expect(opened(result.body, tenant, surface), label).toBe(true)
      if (name === 'hash' || (name === 'encrypt' && !isSealed))
        expect(plainText(result.body), label).toContain('tok.v1.test.')
      if (isSealed)
        expect(
          resourceAttributes(surface.signal, result.body).get(tenant.sealer.announcementKey),
          label,
        ).toEqual(str(tenant.sealer.announcement))
    }
  })
})

const ALL_SURFACES = [...SURFACE_NAMES.keys()]

/** Whether every token in the body opens under the place's key, or a path into a kvlist there. */
function opened(body: Uint8Array, tenant: TestTenant, surface: Surface): boolean {
  return tokens(plainText(body)).every((token) =>
    [surface.boundTo, ...['inner', 'deep', 'n'].map((key) => `${surface.boundTo} → ${key}`)].some((key) => {
      try {
        decodeAnyValue(tenant.sealer.open(selfDelimited(token), 'test', key))
        return true
      } catch {
        return false
      }
    }),
  )
}

/** In bytes, a token may be followed by more base64url characters: its nonce says how long it is. */
function selfDelimited(token: string): string {
  const payloadAt = token.lastIndexOf('.') + 1
  const size = Buffer.from(token.slice(payloadAt, payloadAt + 16), 'base64url').readUInt32BE(0) + 28
  return token.slice(0, payloadAt + Math.ceil((size * 4) / 3))
}
