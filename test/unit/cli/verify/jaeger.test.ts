// Spans as Jaeger answers them. What Jaeger keeps whole verifies; of the rest nothing can be told, and it never says good.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, describe, expect, test } from 'vitest'
import { verify } from '../../../../src/cli/verify/verify.ts'
import { Evidence } from '../../../../src/evidence/evidence.ts'
import { protobufToJson } from '../../../../src/wire/json.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  encode,
  type Message,
  NOW_NS,
  request,
  span,
  testKey,
} from '../../evidence/otlp.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-jaeger-'))
afterAll(() => rmSync(folder, { recursive: true }))

const key = testKey('k1')
const publicKey = Buffer.from(key.publicKey).toString('base64')
const entry = { keyId: key.keyId, algorithm: 'Ed25519', publicKey, createdAt: '2026-01-01T00:00:00Z' }
writeFileSync(
  join(folder, 'keys.json'),
  JSON.stringify({
    tenantId: 'acme',
    keys: [{ ...entry, notAfter: null, status: 'ACTIVE', endorsedBy: null }],
  }),
)

/** What Jaeger keeps whole: microseconds, plain attributes, no links. */
const plain: Message = {
  traceId: Buffer.alloc(16, 5),
  spanId: Buffer.alloc(8, 6),
  parentSpanId: Buffer.alloc(8, 7),
  traceState: 'vendor=abc',
  name: 'GET /visits',
  kind: 2,
  startTimeUnixNano: '1700000000000001000',
  endTimeUnixNano: '1700000000000251000',
  attributes: [
    attribute('cached', false),
    compliant,
    attribute('http.response.status_code', { intValue: 200 }),
    attribute('latency', { doubleValue: 12.5 }),
  ],
  events: [{ timeUnixNano: '1700000000000005000', name: 'retry', attributes: [attribute('why', 'late')] }],
  status: { code: 2, message: 'failed' },
}

interface Otlp {
  resourceSpans: {
    resource: { attributes: OtlpAttribute[] }
    scopeSpans: { scope: { name: string; version: string }; spans: OtlpSpan[] }[]
  }[]
}
interface OtlpAttribute {
  key: string
  value: { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean }
}
interface OtlpSpan {
  [field: string]: unknown
  traceId: string
  spanId: string
  parentSpanId: string
  attributes: OtlpAttribute[]
  events?: { timeUnixNano: string; name: string; attributes?: OtlpAttribute[] }[]
}

function signed(spans: Message[]): Otlp {
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, () => undefined)
  const { body } = evidence.sign(encode(request(spans)), ['acme'], new Map([['acme', key]]), NOW_NS)
  return JSON.parse(protobufToJson(body, 'traces')) as Otlp
}

function tag({ key, value }: OtlpAttribute): object {
  if (value.stringValue !== undefined) return { key, type: 'string', value: value.stringValue }
  if (value.intValue !== undefined) return { key, type: 'int64', value: Number(value.intValue) }
  if (value.doubleValue !== undefined) return { key, type: 'float64', value: value.doubleValue }
  if (value.boolValue !== undefined) return { key, type: 'bool', value: value.boolValue }
  return { key, type: 'string', value: JSON.stringify(value) }
}

const micros = (nanos: unknown): number => Number(BigInt(String(nanos)) / 1_000n)

/** As `/api/traces` answers. */
function asJaeger({ resourceSpans }: Otlp): object {
  const [{ resource, scopeSpans }] = resourceSpans as [Otlp['resourceSpans'][number]]
  const { scope, spans } = scopeSpans[0]!
  return {
    data: [
      {
        traceID: spans[0]!.traceId,
        spans: spans.map((each) => ({
          traceID: each.traceId,
          spanID: each.spanId,
          flags: each.flags,
          operationName: each.name,
          references: [{ refType: 'CHILD_OF', traceID: each.traceId, spanID: each.parentSpanId }],
          startTime: micros(each.startTimeUnixNano),
          duration: micros(each.endTimeUnixNano) - micros(each.startTimeUnixNano),
          tags: [
            ...each.attributes.map(tag),
            { key: 'otel.scope.name', type: 'string', value: scope.name },
            { key: 'otel.scope.version', type: 'string', value: scope.version },
            { key: 'span.kind', type: 'string', value: 'server' },
            { key: 'error', type: 'bool', value: true },
            { key: 'otel.status_code', type: 'string', value: 'ERROR' },
            { key: 'otel.status_description', type: 'string', value: 'failed' },
            { key: 'w3c.tracestate', type: 'string', value: 'vendor=abc' },
            { key: 'internal.span.format', type: 'string', value: 'otlp' },
          ],
          logs: each.events?.map(({ timeUnixNano, name, attributes = [] }) => ({
            timestamp: micros(timeUnixNano),
            fields: [{ key: 'event', type: 'string', value: name }, ...attributes.map(tag)],
          })),
          processID: 'p1',
          warnings: null,
        })),
        processes: {
          p1: {
            serviceName: 'shop',
            tags: resource.attributes.filter(({ key }) => key !== 'service.name').map(tag),
          },
        },
        warnings: null,
      },
    ],
    total: 0,
    limit: 0,
    offset: 0,
    errors: null,
  }
}

/** As `/api/v3/traces` answers in versions that write protobuf's JSON. */
function asV3(otlp: Otlp): object {
  const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')
  const resourceSpans = otlp.resourceSpans.map((each) => ({
    ...each,
    scopeSpans: each.scopeSpans.map((scope) => ({
      ...scope,
      spans: scope.spans.map((one) => ({
        ...one,
        traceId: base64(one.traceId),
        spanId: base64(one.spanId),
        parentSpanId: base64(one.parentSpanId),
        kind: 'SPAN_KIND_SERVER',
        status: { code: 'STATUS_CODE_ERROR', message: 'failed' },
      })),
    })),
  }))
  return { result: { resourceSpans } }
}

async function run(content: string, expectWhat = 'compliance') {
  writeFileSync(join(folder, 'answer.json'), content)
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const argv = ['answer.json', '--keys', 'keys.json', '--expect', expectWhat]
  const code = await verify(argv, { stdout, stderr, cwd: folder, env: {} })
  return { code, out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') }
}

const FORMS: readonly (readonly [string, (otlp: Otlp) => object])[] = [
  ['/api/traces', asJaeger],
  ['/api/v3/traces', asV3],
  ['/api/v3/traces in OTLP’s spelling', (otlp) => ({ result: otlp })],
]

describe.each(FORMS)('%s', (_, answer) => {
  test.each([
    ['in one line', 0],
    ['indented', 2],
  ])('a span that Jaeger keeps whole verifies, %s', async (_, indent) => {
    const { code, out, err } = await run(JSON.stringify(answer(signed([plain])), undefined, indent))
    expect({ code, err }, out).toEqual({ code: 0, err: '' })
    expect(out).toContain('1 span: 1 valid')
  })

  test('a span that differs is none of which anything can be told, and no good one', async () => {
    const otlp = signed([plain])
    otlp.resourceSpans[0]!.scopeSpans[0]!.spans[0]!.name = 'GET /other'
    const { code, out } = await run(JSON.stringify(answer(otlp)))
    expect(code).toBe(2)
    expect(out).toContain('CANNOT TELL')
    expect(out.replaceAll(/\s+/g, ' ')).toContain('changed, or not kept whole by where it comes from')
    expect(out).not.toContain('TAMPERED')
  })

  test('a span that should be signed and is not stays a failure', async () => {
    const otlp = JSON.parse(protobufToJson(encode(request([plain])), 'traces')) as Otlp
    expect(await run(JSON.stringify(answer(otlp)))).toMatchObject({ code: 1 })
  })
})

test('what the old API cannot hold, nanoseconds and lists, is not called tampered', async () => {
  const rich = { ...span(0, [compliant]), links: [], flags: undefined }
  const { code, out } = await run(JSON.stringify(asJaeger(signed([rich]))))
  expect(code, out).toBe(2)
  expect(out).toContain('CANNOT TELL')
})

test('the same change in OTLP itself is tampering', async () => {
  const otlp = signed([plain])
  otlp.resourceSpans[0]!.scopeSpans[0]!.spans[0]!.name = 'GET /other'
  const { code, out } = await run(JSON.stringify(otlp))
  expect(code).toBe(1)
  expect(out).toContain('TAMPERED')
})

test('several answers, one a line, and one without traces', async () => {
  const line = JSON.stringify(asV3(signed([plain])))
  expect((await run(`${line}\n${line}\n`)).out).toContain('2 spans: 2 valid')
  expect(await run('{"data":[],"total":0,"limit":0,"offset":0,"errors":null}')).toMatchObject({ code: 2 })
})

test.each(['{"data":', '{"data":[null]}', '{"data":[{"spans":[{}]}]}', '{"result":{}}', '{"data":{"a":1}}'])(
  'hostile or half an answer ends in a verdict, never in good: %s',
  async (content) => {
    expect((await run(content)).code).not.toBe(0)
  },
)
