// What becomes of a request is a matter of the request, the rules and the tenant alone: not of what came before it, in
// the same request or another, nor of how keys and paths look to a cache.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Action,
  DROP,
  ENCRYPT,
  HASH,
  KEEP,
  MASK,
  REDACTION_DEFAULTS,
  type Rule,
} from '../../../src/redaction/options.ts'
import { type RedactResult, redact } from '../../../src/redaction/redact.ts'
import { compileRules, type RuleSet } from '../../../src/redaction/rules.ts'
import type { TenantKeys } from '../../../src/redaction/tenant-keys.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { decode, encode, kv, type Plain, spanAttributes, str, traceRequest } from './otlp-codec.ts'
import { SteadySealer, TestPseudonymizer, testTenant } from './test-keys.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
console.log(`fast-check seed ${SEED}`)

const map = (...entries: Plain[]): Plain => ({ kvlistValue: { values: entries } })
const list = (...values: Plain[]): Plain => ({ arrayValue: { values } })
const rulesOf = (rules: readonly Rule[], packs = REDACTION_DEFAULTS.packs): RuleSet =>
  compileRules({ ...REDACTION_DEFAULTS, packs, rules })

function logRequest(body: Plain, resource: readonly Plain[] = []): Uint8Array {
  return encode('logs', {
    resourceLogs: [{ resource: { attributes: resource }, scopeLogs: [{ logRecords: [{ body }] }] }],
  })
}

describe('a log body is judged by its own keys', () => {
  const tenant = testTenant()
  const bodyAfter = (key: string, rules = rulesOf([])): string => {
    const body = map(kv('c2', str('203.0.113.5')), kv('n', str('plain')))
    return Buffer.from(
      redact(logRequest(body, [kv(key, str('1.2.3'))]), 'logs', rules, [tenant]).body,
    ).toString('latin1')
  }

  test.each([
    'service.version',
    'host.name',
    'telemetry.sdk.version',
    'user.id',
    'token',
    'build.author',
    'x',
  ])('after the resource attribute %s', (key) => {
    const rules = rulesOf([{ name: 'author', match: { key: ['build.author'] }, action: KEEP }])
    const after = bodyAfter(key, rules)
    expect(after).not.toContain('203.0.113.5')
    expect(after).toContain('plain')
    // What was decided then is what is remembered for others.
    expect(bodyAfter('x', rules)).not.toContain('203.0.113.5')
  })

  test('after a request that was refused inside an attribute', () => {
    const rules = rulesOf([{ name: 'author', match: { key: ['build.author'] }, action: KEEP }])
    const cut = traceRequest([kv('build.author', list(str('a'), { bytesValue: 'AAAA' }))])
    cut[cut.length - 5] = 0x07
    expect(() => redact(cut, 'traces', rules, [tenant])).toThrow()
    const { body } = redact(logRequest(map(kv('c2', str('203.0.113.5')))), 'logs', rules, [tenant])
    expect(Buffer.from(body).toString('latin1')).not.toContain('203.0.113.5')
  })
})

describe('a key says no more than its bytes', () => {
  const tenant = testTenant()
  const mask: Action = { kind: 'mask', text: 'M', keepFirst: 0, keepLast: 0 }
  const rules = (): RuleSet =>
    rulesOf([{ name: 'in body', match: { key: ['request.body'], pattern: ['[0-9]{6}'] }, action: mask }], [])
  const nested = traceRequest([kv('request.body', map(kv('accountId', str('123456'))))])
  const flat = (key: string): Uint8Array => traceRequest([kv(key, str('123456'))])

  test.each(['request.body\0accountId', 'request.body.accountId', '\0request.body\0accountId'])(
    'a flat key that is spelled like a path does not stand for the path: %j',
    (key) => {
      const shared = rules()
      redact(flat(key), 'traces', shared, [tenant])
      const { body } = redact(nested, 'traces', shared, [tenant])
      expect(JSON.stringify(spanAttributes(body).get('request.body'))).toContain('"M"')
    },
  )

  test('nor the path for the key', () => {
    const shared = rules()
    redact(nested, 'traces', shared, [tenant])
    const { body } = redact(flat('request.body\0accountId'), 'traces', shared, [tenant])
    expect(spanAttributes(body).get('request.body\0accountId')).toEqual(str('123456'))
  })

  test('a key does not end at a zero byte', () => {
    const kept = rulesOf([
      { name: 'kept', match: { key: ['note'] }, action: KEEP },
      { name: 'rest', match: { detector: ['email'] }, action: mask },
    ])
    const { body } = redact(traceRequest([kv('x\0note', str('a@example.com'))]), 'traces', kept, [tenant])
    expect(spanAttributes(body).get('x\0note')).toEqual(str('M'))
  })

  test('keys that begin and end alike, at other depths and in other places', () => {
    const shared = rules()
    const shapes = [
      map(kv('a', map(kv('b', str('123456'))))),
      map(kv('a\0b', str('123456'))),
      map(kv('a', str('123456')), kv('b', str('123456'))),
      map(kv('', map(kv('a\0b', str('123456'))))),
    ]
    for (const first of ['request.body', 'request', 'a'])
      for (const shape of shapes) {
        const request = traceRequest([kv(first, shape)])
        const alone = redact(request, 'traces', rules(), [tenant]).body
        expect(redact(request, 'traces', shared, [tenant]).body).toEqual(alone)
      }
  })
})

// Few keys and values, so that the same ones meet in every place and at every depth.
const KEYS = [
  'service.version',
  'host.name',
  'user.id',
  'token',
  'password',
  'build.author',
  'request.body',
  'request.body\0accountId',
  'accountId',
  'request',
  'body',
  'note',
  '\0',
  '',
  'c2',
  'alice@example.com',
  'betrace.key.AAAAAAAAAAAA',
  'span.signature',
  'redaction.x',
  'x'.repeat(600),
]
const TEXTS = [
  'plain',
  '203.0.113.5',
  'to a@example.com and b@example.com',
  '4111111111111111',
  '123456',
  'password=hunter2&x',
  '',
]

const key = fc.constantFrom(...KEYS)
const { value } = fc.letrec<{ value: Plain; entry: Plain }>((tie) => ({
  entry: fc.tuple(key, tie('value')).map(([name, inner]) => kv(name, inner)),
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(...TEXTS).map(str),
    fc.constantFrom('4111111111111111', '7', '-5').map((intValue) => ({ intValue })),
    fc.constantFrom(4111111111111111, 1.5).map((doubleValue) => ({ doubleValue })),
    fc.constantFrom(...TEXTS).map((text) => ({ bytesValue: Buffer.from(text).toString('base64') })),
    fc.constant({}),
    fc.array(tie('entry'), { maxLength: 3 }).map((entries) => map(...entries)),
    fc.array(tie('value'), { maxLength: 3 }).map((values) => list(...values)),
  ),
}))
const attributes = fc.array(
  fc.tuple(key, value).map(([name, inner]) => kv(name, inner)),
  { maxLength: 4 },
)
const text = fc.constantFrom(...TEXTS)
const ids = { traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 2) }

const span = fc
  .record({ name: text, attributes, traceState: fc.constantFrom('', 'a=203.0.113.5,b=c') })
  .chain((fields) =>
    fc.tuple(attributes, attributes, text).map(([event, link, message]) => ({
      ...fields,
      ...ids,
      events: [{ name: message, attributes: event }],
      links: [{ ...ids, attributes: link }],
      status: { message },
    })),
  )
const record = fc.record({ body: value, attributes, severityText: text })
const metric = fc
  .record({ name: text, description: text, attributes })
  .map(({ attributes: own, ...fields }) => ({
    ...fields,
    metadata: own,
    gauge: { dataPoints: [{ attributes: own, exemplars: [{ filteredAttributes: own }] }] },
  }))

interface Group {
  readonly signal: Signal
  readonly tenant: number
  readonly resource: Plain
  readonly scope: Plain
  readonly items: readonly Plain[]
}

function groupOf(signal: Signal, item: fc.Arbitrary<Plain>): fc.Arbitrary<Group> {
  return fc.record({
    signal: fc.constant(signal),
    tenant: fc.integer({ min: 0, max: 3 }),
    resource: attributes.map((own) => ({ attributes: own })),
    scope: fc.record({ name: text, attributes }),
    items: fc.array(item, { minLength: 1, maxLength: 3 }),
  })
}

const NAMES: Readonly<Record<Signal, readonly [group: string, scope: string, item: string]>> = {
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
}

const encoded = (groups: readonly Group[]): Uint8Array => {
  const { signal } = groups[0]!
  const [group, scope, item] = NAMES[signal]
  return encode(signal, {
    [group]: groups.map((own) => ({
      resource: own.resource,
      [scope]: [{ scope: own.scope, [item]: own.items }],
    })),
  })
}

const request = fc.oneof(
  fc.array(groupOf('traces', span), { minLength: 1, maxLength: 3 }),
  fc.array(groupOf('logs', record), { minLength: 1, maxLength: 3 }),
  fc.array(groupOf('metrics', metric), { minLength: 1, maxLength: 3 }),
)

const action = fc.constantFrom<Action>(
  KEEP,
  MASK,
  DROP,
  HASH,
  ENCRYPT,
  { kind: 'encrypt', hasBeacon: true, beaconBits: 20 },
  { kind: 'mask', text: undefined, keepFirst: 1, keepLast: 2 },
)
const match = fc.constantFrom<Rule['match']>(
  { key: ['build.author'] },
  { key: ['request.body'], pattern: ['[0-9]{6}'] },
  { key: ['request.body.accountId', 'note'] },
  { key: ['accountId'], surface: ['body', 'span'] },
  { key: ['*body*', 'n?te'], detector: ['email', 'payment_card'] },
  { detector: ['ipv4'], surface: ['body'] },
  { key: ['user.*'], tenant: ['tenant-1'] },
  { surface: ['severity', 'status'] },
  { detector: ['email'], tenant: ['tenant-?'] },
)
const userRules = fc
  .array(fc.record({ match, action }), { maxLength: 5 })
  .map((rules) => rules.map((rule, index): Rule => ({ name: `rule ${index}`, dataClass: 'own', ...rule })))
const packs = fc.constantFrom(REDACTION_DEFAULTS.packs, [])

const TENANTS: readonly TenantKeys[] = [0, 1, 2].map((index) => ({
  tenant: `tenant-${index}`,
  sealer: new SteadySealer(`tenant-${index}`),
  pseudonymizer: new TestPseudonymizer(`tenant-${index}`),
}))
const KEYLESS: TenantKeys = { tenant: 'tenant-3', sealer: 'mask', pseudonymizer: 'mask' }

function outcome(ruleSet: RuleSet, groups: readonly Group[]): RedactResult {
  const tenants = groups.map((group) => TENANTS[group.tenant] ?? KEYLESS)
  return redact(encoded(groups), groups[0]!.signal, ruleSet, tenants)
}

/** Leaves the redactor in the middle of a request. */
function refused(ruleSet: RuleSet, groups: readonly Group[], part: number): void {
  const whole = encoded(groups)
  // The outermost length is as it was, so the scan ends where the bytes do.
  const cut = whole.slice()
  cut.fill(0x07, Math.floor(whole.length * part))
  const tenants = groups.map((group) => TENANTS[group.tenant] ?? KEYLESS)
  try {
    redact(cut, groups[0]!.signal, ruleSet, [...tenants, ...tenants])
  } catch {
    // Whether it is refused does not matter here.
  }
}

describe('the outcome of a request', () => {
  const numRuns = Number(process.env.FC_RUNS ?? 40)

  test('is the same alone, after any others and after refused ones', () => {
    fc.assert(
      fc.property(
        fc.array(request, { minLength: 2, maxLength: 6 }),
        userRules,
        packs,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (requests, rules, names, part) => {
          const shared = rulesOf(rules, names)
          const alone = requests.map((groups) => outcome(rulesOf(rules, names), groups))
          requests.forEach((groups, index) => {
            expect(outcome(shared, groups)).toEqual(alone[index])
            refused(shared, groups, part)
          })
          for (let index = requests.length - 1; index >= 0; index--)
            expect(outcome(shared, requests[index]!)).toEqual(alone[index])
        },
      ),
      { numRuns, seed: SEED },
    )
  })

  test('is that of its groups, in any order', () => {
    fc.assert(
      fc.property(request, userRules, packs, (groups, rules, names) => {
        const shared = rulesOf(rules, names)
        const parts = groups.map((group) => outcome(rulesOf(rules, names), [group]).body)
        expect(Buffer.from(outcome(shared, groups).body)).toEqual(Buffer.concat(parts))
        expect(Buffer.from(outcome(shared, groups.toReversed()).body)).toEqual(
          Buffer.concat(parts.toReversed()),
        )
      }),
      { numRuns, seed: SEED },
    )
  })

  test('is that of its items, in any order', () => {
    fc.assert(
      fc.property(request, userRules, packs, ([group], rules, names) => {
        const shared = rulesOf(rules, names)
        const [groupName, scopeName, itemName] = NAMES[group!.signal]
        const itemsOf = (own: Group): unknown[] => {
          const decoded = decode(group!.signal, outcome(shared, [own]).body) as Record<string, Plain[]>
          const scopes = decoded[groupName]![0]![scopeName] as Plain[]
          return scopes[0]![itemName] as unknown[]
        }
        const backwards = itemsOf({ ...group!, items: group!.items.toReversed() })
        expect(backwards).toEqual(itemsOf(group!).toReversed())
      }),
      { numRuns, seed: SEED },
    )
  })
})
