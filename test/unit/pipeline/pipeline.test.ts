// One request through the pipeline: each step's failure, each answer, and what the books say of it.
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { ITEMS_PER_REQUEST_MAX } from '../../../src/base/limits.ts'
import { KmsError } from '../../../src/kms/kms.ts'
import { jsonToProtobuf } from '../../../src/wire/json.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { makePipeline, type PipelineChanges, spanRequest } from './pipeline-fixture.ts'

const MAIL = 'ann@example.org'
const PERSONAL = { 'user.email': MAIL, 'compliance.evidence': 'true' }
const HARMLESS = { 'http.route': '/orders' }

async function metric(registry: { metrics(): Promise<string> }, name: string): Promise<string[]> {
  const lines = (await registry.metrics()).split('\n')
  return lines.filter((line) => line.startsWith(name) && !line.endsWith(' 0'))
}

describe('OK', () => {
  test('what is delivered is sealed and signed, with its statement, in one entry', async () => {
    const { answer, delivered, outcomes } = makePipeline()
    expect(await answer(spanRequest(PERSONAL, 'acme', 3))).toBe('OK 3 0')
    expect(delivered).toHaveLength(1)
    const { entry, statements } = delivered[0]!
    const text = Buffer.from(entry.body).toString('latin1')
    expect(text).not.toContain(MAIL)
    expect(text.match(/enc\.v1\./g)).toHaveLength(3)
    expect(text.match(/span\.signature/g)).toHaveLength(3)
    expect([entry.signal, entry.itemCount]).toEqual(['traces', 3])
    expect(entry.refs.length).toBeGreaterThan(0)
    expect(statements.length).toBeGreaterThanOrEqual(1)
    expect(outcomes).toEqual(['accepted 3 traces'])
  })

  test('a request that no rule changes and nothing signs is delivered as the bytes that came', async () => {
    const { answer, delivered } = makePipeline({ settings: { signing: undefined } })
    const body = spanRequest(HARMLESS)
    expect(await answer(body)).toBe('OK 1 0')
    expect(delivered[0]!.entry.body).toBe(body)
    expect([delivered[0]!.entry.refs.length, delivered[0]!.statements]).toEqual([0, []])
  })

  test.each<Signal>(['logs', 'metrics'])(
    '%s without rules of their own pass, and are never signed',
    async (signal) => {
      const { answer, delivered } = makePipeline()
      const json = {
        logs: { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: MAIL } }] }] }] },
        metrics: {
          resourceMetrics: [
            { scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints: [{ asInt: '1' }] } }] }] },
          ],
        },
        traces: {},
      }[signal]
      const body = jsonToProtobuf(Buffer.from(JSON.stringify(json)), signal)
      expect(await answer(body, { signal })).toBe('OK 1 0')
      expect(delivered[0]!.entry.body).toBe(body)
      expect(delivered[0]!.statements).toEqual([])
    },
  )

  test('an empty body is OK and leaves no trace', async () => {
    const { answer, delivered, outcomes, steps } = makePipeline()
    expect(await answer(new Uint8Array(0))).toBe('OK 0 0')
    expect([delivered, outcomes, steps]).toEqual([[], [], []])
  })

  test('a large request, which is worked on in slices, ends as a small one does', async () => {
    const { answer, delivered } = makePipeline()
    expect(await answer(spanRequest(PERSONAL, 'acme', 2_000))).toBe('OK 2000 0')
    const text = Buffer.from(delivered[0]!.entry.body).toString('latin1')
    expect(text).not.toContain(MAIL)
    expect(text.match(/span\.signature/g)).toHaveLength(2_000)
  })

  test('one bad item is rejected, the rest kept, and both are counted', async () => {
    const { send, delivered, outcomes, registry } = makePipeline()
    const good = Buffer.from(spanRequest(HARMLESS, 'acme', 3))
    // The second span's name is no UTF-8 any more.
    const at = good.indexOf('GET /orders', good.indexOf('GET /orders') + 1)
    good[at] = 0xff
    const answer = await send(good)
    expect(answer).toMatchObject({ itemCount: 2, rejectedItems: 1 })
    expect(answer.message).toContain('spans[1].name')
    expect(delivered[0]!.entry.itemCount).toBe(2)
    expect(outcomes.toSorted()).toEqual(['accepted 2 traces', 'refused 1 traces'])
    expect(await metric(registry, 'betrace_items_accepted_total')).toEqual([
      'betrace_items_accepted_total{signal="traces"} 3',
    ])
    expect(await metric(registry, 'betrace_items_rejected_total')).toEqual([
      'betrace_items_rejected_total{signal="traces",reason="INVALID_UTF8"} 1',
    ])
  })
})

describe('a step that fails refuses the request, once, by its own code, and nothing is delivered', () => {
  const fails = (error: SidecarError) => () => Promise.reject(error)
  const cases: Record<string, readonly [changes: PipelineChanges, code: string, body?: Uint8Array]> = {
    'more items than a request may have': [
      {},
      'TOO_LARGE',
      spanRequest({}, 'acme', ITEMS_PER_REQUEST_MAX + 1),
    ],
    'bytes that are no request': [{}, 'MALFORMED', Uint8Array.of(0x0a, 0x05)],
    'a tenant that is not allowed': [{ tenants: { allow: ['globex'] } }, 'TENANT_DENIED'],
    'more tenants than a request may have': [
      { tenants: { maxPerRequest: 1 } },
      'TOO_LARGE',
      Buffer.concat([spanRequest(HARMLESS, 'a'), spanRequest(HARMLESS, 'b')]),
    ],
    'an announcement that nobody can judge now': [
      { checkAnnouncements: fails(new SidecarError('KEY_UNAVAILABLE', 'cannot be said now')) },
      'KEY_UNAVAILABLE',
    ],
    'no key to seal with': [
      { keyFailure: new KmsError('access_denied', 'generate_data_key', 'no') },
      'KEY_UNAVAILABLE',
    ],
    'no key to sign with': [
      {
        keyFailure: new KmsError('key_disabled', 'decrypt', 'no'),
        settings: { redaction: new Map() },
      },
      'KEY_UNAVAILABLE',
    ],
    'a store that cannot take a new key, which is no matter of the key service': [
      { keyFailure: new SidecarError('STORE_FAILED', 'the data folder was removed or replaced') },
      'STORE_FAILED',
    ],
    'no room in the queue': [
      { hasKeys: true, room: fails(new SidecarError('QUEUE_FULL', 'queue is full')) },
      'QUEUE_FULL',
    ],
    'a disk that fails': [
      { hasKeys: true, deliver: fails(new SidecarError('STORE_FAILED', 'disk')) },
      'STORE_FAILED',
    ],
    'a bug of ours': [
      {
        hasKeys: true,
        deliver: () => {
          throw new TypeError('undefined is not a function')
        },
      },
      'INTERNAL',
    ],
  }
  for (const [name, [changes, code, body = spanRequest(PERSONAL)]] of Object.entries(cases)) {
    test(name, async () => {
      const { answer, delivered, outcomes, pipeline, tenants } = makePipeline(changes)
      expect(await answer(body)).toBe(code)
      expect(delivered).toEqual([])
      expect(outcomes).toHaveLength(1)
      expect(outcomes[0]).toMatch(/^refused \d+ traces$/)
      expect(pipeline.underWayCount).toBe(0)
      expect(tenants.tenantCount).toBe(1)
    })
  }

  test('a bug’s own words stay off the wire', async () => {
    const { send } = makePipeline({
      hasKeys: true,
      deliver: () => Promise.reject(new TypeError('ann@example.org is not a function')),
    })
    await expect(send(spanRequest(PERSONAL))).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'internal error',
    })
  })
})

test('without a usable key a value is masked only where the configuration says so, and then never sealed by half', async () => {
  const keyFailure = new KmsError('access_denied', 'generate_data_key', 'no')
  const { answer, delivered } = makePipeline({
    keyFailure,
    onKmsFailure: 'mask',
    settings: { signing: undefined },
  })
  expect(await answer(spanRequest(PERSONAL))).toBe('OK 1 0')
  const text = Buffer.from(delivered[0]!.entry.body).toString('latin1')
  expect(text).not.toContain(MAIL)
  expect(text).not.toContain('enc.v1.')
  expect(text).toContain('[REDACTED:email]')
})

test('with ack: exported OK waits for the next hop; when it refuses, the items stay accepted', async () => {
  let settle = (): void => {}
  const exported = new Promise<void>((resolve) => {
    settle = resolve
  })
  const { answer, registry } = makePipeline({ hasKeys: true, deliver: async () => () => exported })
  let said = ''
  const waiting = answer(spanRequest(PERSONAL)).then((text) => {
    said = text
  })
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(said).toBe('')
  settle()
  await waiting
  expect(said).toBe('OK 1 0')

  const refused = makePipeline({
    hasKeys: true,
    deliver: async () => () => Promise.reject(new SidecarError('DOWNSTREAM_UNAVAILABLE', 'not yet')),
  })
  expect(await refused.answer(spanRequest(PERSONAL))).toBe('DOWNSTREAM_UNAVAILABLE')
  // It is durable and goes out later: a client that sends it again makes it twice, which is told, never lost.
  expect(await metric(refused.registry, 'betrace_items_rejected_total')).toEqual([])
  expect(await metric(registry, 'betrace_items_accepted_total')).toEqual([
    'betrace_items_accepted_total{signal="traces"} 1',
  ])
})

test('keys that were loaded while another request worked are looked up again, and the request is signed once', async () => {
  const { answer, steps, delivered } = makePipeline()
  const answers = await Promise.all([1, 2, 3].map(() => answer(spanRequest(PERSONAL))))
  expect(answers).toEqual(['OK 1 0', 'OK 1 0', 'OK 1 0'])
  expect(delivered).toHaveLength(3)
  const STATEMENT = 0
  const numbers = delivered.flatMap(({ statements }) =>
    statements.filter(({ key }) => key[0] === STATEMENT).map(({ key }) => Buffer.from(key).toString('hex')),
  )
  expect(new Set(numbers).size).toBe(numbers.length)
  expect(steps.filter((step) => step === 'leave acme true')).toHaveLength(3)
})
