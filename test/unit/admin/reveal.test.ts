import { expect, test } from 'vitest'
import { createAuditedReveal } from '../../../src/admin/audited-reveal.ts'
import { REVEAL_VALUES_MAX } from '../../../src/admin/reveal.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { SidecarError } from '../../../src/base/errors.ts'
import { Registry, silentTelemetry } from '../../../src/base/telemetry.ts'
import { KEYS_DEFAULTS, Keys } from '../../../src/keys/keys.ts'
import type { ExportRequest } from '../../../src/pipeline/pipeline.ts'
import { protobufToJson } from '../../../src/wire/json.ts'
import { attributePlace } from '../formats/places.ts'
import { MemoryKeyStore } from '../keys/memory-keystore.ts'
import { DoorKms } from '../kms/key-service.ts'
import { admin, REVEAL_TOKEN, TOKEN } from './fixture.ts'

const URL = '/api/admin/reveal'
const headers = { authorization: `Bearer ${REVEAL_TOKEN}` }
const never = new AbortController().signal
const REASON = 'ticket 4711: the patient asked'

async function desk() {
  const kms = await DoorKms.open()
  const { log } = silentTelemetry()
  const keys = new Keys(
    { kms, store: new MemoryKeyStore(), clock: systemClock, log, registry: new Registry() },
    { ...KEYS_DEFAULTS, dataClasses: ['email'] },
  )
  const audits: ExportRequest[] = []
  const state = { audit: async (): Promise<void> => undefined }
  const reveal = createAuditedReveal({
    kms,
    clock: systemClock,
    defaultTenant: 'fallback',
    version: '1.2.3',
    accept: async (request) => {
      audits.push(request)
      await state.audit()
      return { itemCount: 1, rejectedItems: 0, message: '' }
    },
  })
  const server = admin({ reveal })
  const post = (payload: object) => server.inject({ method: 'POST', url: URL, headers, payload })
  const seal = async (tenant: string, value: string) => {
    const sealer = await keys.loadSealer(tenant, never)
    const text = Buffer.from(value)
    const plaintext = Buffer.concat([Buffer.of(0x0a, text.length), text]) // AnyValue.string_value
    const [token] = sealer.sealAll([{ plaintext, place: attributePlace('user.email'), dataClass: 'email' }])
    return { token: token!, attributeKey: 'user.email', announcement: sealer.announcement }
  }
  return { kms, server, post, seal, audits, state }
}

interface AuditSpan {
  readonly name: string
  readonly attributes: { key: string; value: Record<string, unknown> }[]
}

function spanOf({ signal, body }: ExportRequest): { span: AuditSpan; text: string } {
  expect(signal).toBe('traces')
  const text = protobufToJson(body, 'traces')
  const request = JSON.parse(text) as { resourceSpans: [{ scopeSpans: [{ spans: [AuditSpan] }] }] }
  return { span: request.resourceSpans[0].scopeSpans[0].spans[0], text }
}

test('a sealed value opens for a reason, and an audit span tells of it without telling the value', async () => {
  const { post, seal, audits } = await desk()
  const sealed = await seal('acme', 'ada@clinic.example')
  const answer = await post({ reason: REASON, actor: 'ada lovelace', values: [sealed] })
  expect(answer.statusCode).toBe(200)
  expect(answer.json()).toEqual({
    values: [{ tenantId: 'acme', dataClass: 'email', value: { stringValue: 'ada@clinic.example' } }],
  })
  expect(audits).toHaveLength(1)
  expect(audits[0]!.tenant).toBe('acme')
  expect(audits[0]!.deadlineMs).toBeGreaterThan(performance.now())
  const { span, text } = spanOf(audits[0]!)
  const kid = /^\S*?([A-Za-z0-9_-]{22})/.exec(sealed.token)
  expect(kid).not.toBeNull()
  expect(Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]))).toEqual(
    {
      'compliance.framework': 'hipaa',
      'compliance.control': '164.312(b)',
      'compliance.evidence_type': 'audit_trail',
      'compliance.outcome': 'pass',
      'audit.action': 'reveal',
      'audit.reason': REASON,
      'audit.actor': 'ada lovelace',
      'audit.values_requested': '1',
      'audit.values_opened': '1',
      'audit.data_classes': { values: [{ stringValue: 'email' }] },
      'audit.key_ids': { values: [{ stringValue: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/) }] },
    },
  )
  expect(text).not.toContain('ada@clinic')
  expect(text).not.toContain(sealed.token)
})

test('where the audit span cannot be made durable, nothing is answered', async () => {
  const { post, seal, state } = await desk()
  state.audit = () => Promise.reject(new SidecarError('STORE_FAILED', 'the store is full'))
  const answer = await post({ reason: REASON, values: [await seal('acme', 'ada@clinic.example')] })
  expect([answer.statusCode, answer.json().error.code]).toEqual([503, 'STORE_FAILED'])
  expect(answer.body).not.toContain('ada@')
})

test('the answer waits for the audit span', async () => {
  const { post, seal, state, audits } = await desk()
  const durable = Promise.withResolvers<void>()
  state.audit = () => durable.promise
  let isAnswered = false
  const answer = post({ reason: REASON, values: [await seal('acme', 'x')] }).then((each) => {
    isAnswered = true
    return each
  })
  await expect.poll(() => audits.length).toBe(1)
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
  expect(isAnswered).toBe(false)
  durable.resolve()
  expect((await answer).statusCode).toBe(200)
})

test('each tenant has a span of its own, in the evidence of its own', async () => {
  const { post, seal, audits } = await desk()
  const values = [await seal('acme', 'a'), await seal('__proto__', 'b'), await seal('acme', 'c')]
  const answer = await post({ reason: REASON, values })
  expect(answer.json().values.map(({ value }: { value: object }) => value)).toEqual([
    { stringValue: 'a' },
    { stringValue: 'b' },
    { stringValue: 'c' },
  ])
  expect(audits.map(({ tenant }) => tenant)).toEqual(['acme', '__proto__'])
  const counts = audits.map((audit) => {
    const { attributes } = spanOf(audit).span
    return attributes.find(({ key }) => key === 'audit.values_requested')?.value
  })
  expect(counts).toEqual([{ intValue: '2' }, { intValue: '1' }])
})

test('what does not open is said for each value, and the attempt is on record', async () => {
  const { post, seal, audits, kms } = await desk()
  const good = await seal('acme', 'a')
  const values = [
    good,
    { ...good, attributeKey: 'user.phone' },
    { ...good, token: `${good.token.slice(0, -4)}AAAA` },
    { ...good, announcement: 'nonsense' },
  ]
  const answer = await post({ reason: REASON, values })
  const outcomes = answer.json().values as { error?: { code: string } }[]
  expect(outcomes.map(({ error }) => error?.code)).toEqual([
    undefined,
    'SEALED_VALUE',
    'SEALED_VALUE',
    'SEALED_VALUE',
  ])
  expect(audits.map(({ tenant }) => tenant)).toEqual(['acme', 'fallback'])
  expect(spanOf(audits[0]!).span.attributes).toContainEqual({
    key: 'compliance.outcome',
    value: { stringValue: 'partial' },
  })

  kms.fail('network')
  const down = await post({ reason: REASON, values: [good] })
  expect(down.json().values).toEqual([{ error: { code: 'KMS', message: 'key service: network' } }])
  expect(audits).toHaveLength(3)
})

test('the admin token does not open values, nor does any token where none is configured for it', async () => {
  const { server, audits } = await desk()
  const payload = { reason: REASON, values: [{ token: 't', attributeKey: 'k', announcement: 'a' }] }
  const asAdmin = { authorization: `Bearer ${TOKEN}` }
  expect((await server.inject({ method: 'POST', url: URL, headers: asAdmin, payload })).statusCode).toBe(401)
  const without = admin(
    { reveal: { reveal: () => Promise.reject(new Error('reached')) } },
    { revealToken: undefined },
  )
  expect((await without.inject({ method: 'POST', url: URL, headers, payload })).statusCode).toBe(401)
  expect(audits).toEqual([])
})

test('where nothing signs the audit span, values do not open', async () => {
  const payload = { reason: REASON, values: [{ token: 't', attributeKey: 'k', announcement: 'a' }] }
  const answer = await admin().inject({ method: 'POST', url: URL, headers, payload })
  expect([answer.statusCode, answer.json().error.code]).toEqual([501, 'NOT_IMPLEMENTED'])
})

const item = { token: 't', attributeKey: 'k', announcement: 'a' }
test.each([
  ['no reason', { values: [item] }],
  ['an empty reason', { reason: ' \n', values: [item] }],
  ['a reason that is no text', { reason: 7, values: [item] }],
  ['a long reason', { reason: 'x'.repeat(501), values: [item] }],
  ['a reason without UTF-8', { reason: '\ud800', values: [item] }],
  ['an actor that is no text', { reason: REASON, actor: {}, values: [item] }],
  ['no values', { reason: REASON }],
  ['an empty list', { reason: REASON, values: [] }],
  ['too many values', { reason: REASON, values: Array(REVEAL_VALUES_MAX + 1).fill(item) }],
  ['a value that is no object', { reason: REASON, values: [null] }],
  ['a value without a token', { reason: REASON, values: [{ ...item, token: undefined }] }],
  ['a value without its announcement', { reason: REASON, values: [{ ...item, announcement: 1 }] }],
  ['an odd trace id', { reason: REASON, values: [{ ...item, traceId: 'abc' }] }],
  ['a list', [REASON]],
])('%s is refused, and nothing is opened or recorded', async (_, payload) => {
  const { post, audits, kms } = await desk()
  const answer = await post(payload)
  expect([answer.statusCode, answer.json().error.code]).toEqual([400, 'MALFORMED'])
  expect([audits.length, kms.calls.length]).toEqual([0, 0])
})
