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
import { asJaeger, asV3, JAEGER_ANSWERS, type Otlp } from '../exported-file/jaeger-answers.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-jaeger-'))
afterAll(() => rmSync(folder, { recursive: true }))

const key = testKey()
const publicKey = Buffer.from(key.publicKey).toString('base64')
const entry = { keyId: key.keyId, algorithm: 'Ed25519', publicKey, createdAt: '2026-01-01T00:00:00.000Z' }
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

function signed(spans: Message[]): Otlp {
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, () => undefined)
  const { body } = evidence.sign(encode(request(spans)), ['acme'], new Map([['acme', key]]), NOW_NS)
  return JSON.parse(protobufToJson(body, 'traces')) as Otlp
}

async function run(content: string, expectWhat = 'compliance') {
  writeFileSync(join(folder, 'answer.json'), content)
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const argv = ['answer.json', '--trust', 'keys.json', '--expect', expectWhat]
  const code = await verify(argv, { stdout, stderr, cwd: folder, env: {} })
  return { code, out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') }
}

describe.each(JAEGER_ANSWERS)('%s', (_, answer) => {
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
