// The table of answers in proto/evidence.md, each row by the real command over an input that has what it says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, describe, expect, test } from 'vitest'
import { verify } from '../../../../src/cli/verify/verify.ts'
import { Evidence } from '../../../../src/evidence/evidence.ts'
import type { PolicyOptions } from '../../../../src/evidence/policy.ts'
import { protobufToJson } from '../../../../src/wire/json.ts'
import { BOOT_ID, compliant, encode, NOW_NS, request, span, testKey } from '../../evidence/otlp.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-answers-'))
afterAll(() => rmSync(folder, { recursive: true }))
const key = testKey()
const spans = [span(0, [compliant]), span(1), span(2, [compliant])]

function sign(policy: Partial<PolicyOptions> = {}, body = request(spans)): string {
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID, policy }, () => undefined)
  return protobufToJson(
    evidence.sign(encode(body), ['acme'], new Map([['acme', key]]), NOW_NS).body,
    'traces',
  )
}

let putCount = 0
function put(content: string): string {
  const name = `in-${putCount++}`
  writeFileSync(join(folder, name), content)
  return name
}

const keyFile = put(
  JSON.stringify({
    tenantId: 'acme',
    keys: [
      {
        keyId: key.keyId,
        algorithm: 'Ed25519',
        publicKey: Buffer.from(key.publicKey).toString('base64'),
        createdAt: '2026-01-01T00:00:00.000Z',
        notAfter: null,
        status: 'ACTIVE',
        endorsedBy: null,
      },
    ],
  }),
)
const TRUST = ['--trust', keyFile]

interface Answer {
  readonly code: number
  readonly text: string
  readonly json: { readonly outcome: string; readonly [member: string]: unknown }
}

async function answerOf(content: string, more: readonly string[]): Promise<Answer> {
  const path = put(content)
  const [text, json] = [new PassThrough(), new PassThrough()]
  const io = { stderr: new PassThrough(), cwd: folder, env: {} }
  const code = await verify([path, ...more], { ...io, stdout: text })
  expect(await verify([path, '--json', ...more], { ...io, stdout: json })).toBe(code)
  return { code, text: String(text.read()), json: JSON.parse(String(json.read())) as Answer['json'] }
}

type Json = {
  resourceSpans: {
    resource: { attributes: object[] }
    scopeSpans: { spans: { attributes: { key: string }[] }[] }[]
  }[]
}

/** The first span without its signature. */
function stripped(text: string): string {
  const body = JSON.parse(text) as Json
  const [first] = body.resourceSpans[0]!.scopeSpans[0]!.spans
  first!.attributes = first!.attributes.filter((each) => !each.key.startsWith('span.signature'))
  return JSON.stringify(body)
}

function without(text: string, index: number): string {
  const body = JSON.parse(text) as Json
  body.resourceSpans[0]!.scopeSpans[0]!.spans.splice(index, 1)
  return JSON.stringify(body)
}

const good = sign()
const unsignedOf = (tenant: string): string =>
  JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'betrace.tenant', value: { stringValue: tenant } }] },
        scopeSpans: [{ spans: [{ traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), name: 'plain' }] }],
      },
    ],
  })

/** By the words of the table: an input with that, and options. */
const INPUTS: Readonly<Record<string, readonly [content: string, options: readonly string[]]>> = {
  'a span that is tampered': [good.replace('/orders/0', '/orders/7'), TRUST],
  'a span with a bad proof': [
    sign({ proof: 'inline' }).replace(/("span\.signature\.timestamp","value":\{"stringValue":")\d/, '$19'),
    TRUST,
  ],
  'an unsigned span that should be signed': [stripped(good), TRUST],
  'a signature that covers less than `--require-coverage`': [
    sign({ mutable: ['http.*'] }),
    [...TRUST, '--require-coverage', 'default'],
  ],
  'a batch that is not whole, with `--complete`': [without(good, 0), [...TRUST, '--complete']],
  'a span whose key is not known, or does not count': [good, []],
  'a key that no trusted key leads to': [good, ['--keys', keyFile]],
  'a signature that covers no attribute, without `--require-coverage`': [sign({ mutable: ['*'] }), TRUST],
  'unsigned spans before a policy of globs': [
    `${unsignedOf('acme')}\n${sign({ select: ['compliance.*'] })}`,
    TRUST,
  ],
  'something that cannot be read': [`${good}\nnot json\n`, TRUST],
  'no span': ['{"resourceSpans":[]}', TRUST],
  'none of these': [good, TRUST],
}

const page = readFileSync(new URL('../../../../proto/evidence.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| (.+?) \| (\d) \| `(\w+)` \| `([\w.]+)` \|$/gm)].map(
  ([, what, exit, outcome, member]) => ({ what: what!, exit: Number(exit), outcome, member: member! }),
)

test('every row of the table has an input here, and the other way round', () => {
  expect(rows.map(({ what }) => what).toSorted()).toEqual(Object.keys(INPUTS).toSorted())
})

describe.each(rows)('$what', ({ what, exit, outcome, member }) => {
  test(`exit ${exit}`, async () => {
    const [content, options] = INPUTS[what]!
    const { code, text, json } = await answerOf(content, options)
    expect([code, json.outcome], text).toEqual([exit, outcome])
    const value = member.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], json)
    expect(value).toBeDefined()
    if (what !== 'no span') expect(Array.isArray(value) ? value.length : value).toBeGreaterThan(0)
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})

describe('what unsigned spans mean is a matter of the signed policy', () => {
  const all = sign({ select: 'all' })
  const compact = sign({ select: ['http.*'], proof: 'compact' })

  test.each<[name: string, content: string, options: readonly string[], code: number]>([
    ['under "all" any unsigned span is a failure', stripped(all), [], 1],
    ['unless the reader expects none', stripped(all), ['--expect', 'none'], 0],
    ['also one that came before the first statement', `${unsignedOf('acme')}\n${all}`, [], 1],
    ['but not one of another tenant', `${unsignedOf('beta')}\n${all}`, [], 0],
    ['a plain span under "compliance" is none', `${unsignedOf('acme')}\n${good}`, [], 0],
    ['globs count where the resource has the statement', stripped(compact), [], 1],
  ])('%s', async (_, content, options, code) => {
    const answer = await answerOf(content, [...TRUST, ...options])
    expect(answer.code, answer.text).toBe(code)
  })
})

describe('coverage', () => {
  test.each<[policy: Partial<PolicyOptions>, required: string, code: number]>([
    [{}, 'default', 0],
    [{ mutable: ['http.*'] }, 'default', 1],
    [{ mutable: ['http.*'] }, 'compliance.control', 0],
    [{ mutable: ['http.*'] }, 'http.route', 1],
    [{ mutable: ['*'] }, 'http.route', 1],
    [{ resourceAttributes: ['service.name'] }, 'default', 1],
    [{ resourceAttributes: ['service.name'] }, 'resource:service.name', 0],
    [{ resourceAttributes: ['service.name'] }, 'resource:host.name', 1],
  ])('%j, required %s: exit %d', async (policy, required, code) => {
    const answer = await answerOf(sign(policy), [...TRUST, '--require-coverage', required])
    expect(answer.code, answer.text).toBe(code)
  })

  test('is told', async () => {
    const { text } = await answerOf(sign({ mutable: ['http.*'] }), TRUST)
    expect(text.replaceAll(/\n +/g, ' ')).toContain(
      'all attributes of spans but http.*; of the resource service.name',
    )
  })
})
