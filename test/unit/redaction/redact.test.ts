import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DETECTORS } from '../../../src/detection/detectors.ts'
import { Matches } from '../../../src/detection/engine/matches.ts'
import { scanText, stopTable } from '../../../src/detection/engine/text-scan.ts'
import {
  type Action,
  DROP,
  ENCRYPT,
  HASH,
  KEEP,
  MASK,
  type Match,
  REDACTION_DEFAULTS,
  type Rule,
} from '../../../src/redaction/options.ts'
import { redact } from '../../../src/redaction/redact.ts'
import { compileRules, type RuleSet, type RuleSetHooks } from '../../../src/redaction/rules.ts'
import { ValueType } from '../../../src/wire/otlp.ts'
import { scan } from '../../../src/wire/scan.ts'
import { attributePlace } from '../formats/places.ts'
import { BENIGN, LABELLED } from './corpus.ts'
import {
  decodeAnyValue,
  encode,
  firstSpan,
  kv,
  type Plain,
  resourceAttributes,
  spanAttributes,
  str,
  traceRequest,
} from './otlp-codec.ts'
import { TestSealer, testTenant } from './test-keys.ts'

const SEED = Number(process.env.FC_SEED ?? Date.now() % 2 ** 31)
const runs = { numRuns: 60, seed: SEED }
console.log(`fast-check seed ${SEED}`)

const DEFAULT = compileRules(REDACTION_DEFAULTS)
const rule = (match: Match, action: Action, dataClass = 'test', name = 'test rule'): Rule => ({
  name,
  match,
  action,
  dataClass,
})
const own = (rules: readonly Rule[], hooks: RuleSetHooks = {}): RuleSet =>
  compileRules({ ...REDACTION_DEFAULTS, packs: [], rules }, hooks)
const text = (value: Plain | undefined): string => String(value?.stringValue)
const attribute = (body: Uint8Array, key: string): string => text(spanAttributes(body).get(key))

describe('which rule decides', () => {
  const tenant = testTenant()
  const one = (rules: readonly Rule[], value: string, key = 'note'): string =>
    attribute(redact(traceRequest([kv(key, str(value))]), 'traces', own(rules), [tenant]).body, key)
  const fixed = (mask: string): Action => ({ kind: 'mask', text: mask, keepFirst: 0, keepLast: 0 })
  const email = rule({ detector: ['email'] }, fixed('E'))

  test.each<[string, readonly Rule[], string, string]>([
    ['a part of a text changes alone', [email], 'to a@example.com!', 'to E!'],
    ['every part does', [email], 'a@example.com b@example.com', 'E E'],
    ['the first of two rules', [email, rule({ detector: ['email'] }, fixed('X'))], 'x a@example.com', 'x E'],
    ['a whole value by key', [rule({ key: ['note'] }, fixed('W')), email], 'x a@example.com', 'W'],
    [
      'a later whole value takes what an earlier part leaves',
      [email, rule({ key: ['note'] }, fixed('W'))],
      'x a@example.com',
      'W',
    ],
    [
      'an earlier part that is everything',
      [email, rule({ key: ['note'] }, fixed('W'))],
      'a@example.com',
      'E',
    ],
    [
      'keep protects from later rules',
      [rule({ key: ['note'] }, KEEP), email],
      'x a@example.com',
      'x a@example.com',
    ],
    [
      'keep of a part protects only that',
      [rule({ pattern: ['ops@[a-z.]+'] }, KEEP), email],
      'ops@example.com a@example.com',
      'ops@example.com E',
    ],
    [
      'a pattern finds bytes behind other characters',
      [rule({ pattern: ['b+'] }, fixed('P'))],
      'éabbc',
      'éaPc',
    ],
    [
      'what an overlap leaves goes too',
      [rule({ pattern: ['example'] }, fixed('P')), email],
      'a@example.com',
      'EPE',
    ],
    [
      'key and detector must both fit',
      [rule({ key: ['other'], detector: ['email'] }, fixed('W'))],
      'a@example.com',
      'a@example.com',
    ],
    ['a drop takes the part', [rule({ detector: ['email'] }, DROP)], 'to a@example.com!', 'to !'],
    ['keys fit in any case', [rule({ key: ['NoTe'] }, fixed('W'))], 'v', 'W'],
    ['globs', [rule({ key: ['n?t*'] }, fixed('W'))], 'v', 'W'],
  ])('%s', (_, rules, value, expected) => {
    expect(one(rules, value)).toBe(expected)
  })

  test('a dropped attribute is gone, and its neighbours are not', () => {
    const body = traceRequest([kv('a', str('1')), kv('note', { intValue: 5 }), kv('b', str('2'))])
    const result = redact(body, 'traces', own([rule({ key: ['note'] }, DROP)]), [tenant])
    expect([...spanAttributes(result.body).keys()]).toEqual(['a', 'b'])
  })

  test('a nested entry fits by its own key, by a dotted path and by the end of one', () => {
    for (const key of ['email', 'user.email', 'request.user.email', '*.email']) {
      const value = {
        kvlistValue: {
          values: [kv('user', { kvlistValue: { values: [kv('email', str('x')), kv('other', str('y'))] } })],
        },
      }
      const result = redact(
        traceRequest([kv('request', value)]),
        'traces',
        own([rule({ key: [key] }, fixed('W'))]),
        [tenant],
      )
      expect(JSON.stringify(spanAttributes(result.body).get('request')), key).toContain('"W"')
      expect(JSON.stringify(spanAttributes(result.body).get('request')), key).toContain('"y"')
    }
  })

  test('a rule with a detector on a key holds inside the kvlist under that key', () => {
    const value = { kvlistValue: { values: [kv('deep', str('a@example.com'))] } }
    const rules = own([rule({ key: ['note'], detector: ['email'] }, fixed('E'))])
    const result = redact(traceRequest([kv('note', value), kv('free', value)]), 'traces', rules, [tenant])
    expect(JSON.stringify(spanAttributes(result.body).get('note'))).toContain('"E"')
    expect(JSON.stringify(spanAttributes(result.body).get('free'))).toContain('a@example.com')
  })

  test('rules of a tenant are for that tenant, also one called __proto__', () => {
    const rules = own([rule({ key: ['note'], tenant: ['__proto__', 'eu-*'] }, fixed('W'))])
    for (const [name, expected] of [
      ['__proto__', 'W'],
      ['eu-1', 'W'],
      ['acme', 'v'],
      ['constructor', 'v'],
    ] as const) {
      const result = redact(traceRequest([kv('note', str('v'))]), 'traces', rules, [testTenant(name)])
      expect(attribute(result.body, 'note'), name).toBe(expected)
    }
  })

  test('a mask that keeps characters keeps separators, and hides all of a short value', () => {
    const last4: Action = { kind: 'mask', text: undefined, keepFirst: 0, keepLast: 4 }
    expect(
      one(
        [rule({ detector: ['payment_card'] }, last4)],
        'card 4111-1111-1111-1234 x'.replace('1234', '1111'),
      ),
    ).toBe('card ****-****-****-1111 x')
    expect(one([rule({ key: ['note'] }, last4)], 'abcdef')).toBe('[REDACTED:test]')
    expect(one([rule({ key: ['note'] }, last4)], 'éééééééé')).toBe('****éééé')
  })
})

describe('keys of attributes', () => {
  const tenant = testTenant()
  test('a match in a key becomes a pseudonym there, and the value is bound to the new key', () => {
    const body = traceRequest([kv('cart of a@example.com', str('b@example.com'))])
    const result = redact(body, 'traces', own([rule({ detector: ['email'] }, ENCRYPT)]), [tenant])
    const [[key, value]] = [...spanAttributes(result.body)] as [[string, Plain]]
    expect(key).toMatch(/^cart of tok\.v1\.test\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$/)
    expect(decodeAnyValue(tenant.sealer.open(text(value), 'test', key))).toEqual(str('b@example.com'))
  })
  test('a rule that drops takes the attribute', () => {
    const result = redact(
      traceRequest([kv('a@example.com', str('v')), kv('k', str('v'))]),
      'traces',
      own([rule({ detector: ['email'] }, DROP)]),
      [tenant],
    )
    expect([...spanAttributes(result.body).keys()]).toEqual(['k'])
  })
})

test('a rewritten key and a dropped value go together', () => {
  const rules = own([rule({ detector: ['email'] }, MASK), rule({ detector: ['payment_card'] }, DROP)])
  const drop = own([rule({ detector: ['email'] }, MASK), rule({ key: ['a@example.com'] }, DROP)])
  for (const ruleSet of [rules, drop]) {
    for (const value of [
      str('4111111111111111'),
      { intValue: '4111111111111111' },
      { arrayValue: { values: [str('4111111111111111')] } },
    ]) {
      const result = redact(
        traceRequest([kv('a@example.com', value), kv('k', str('v'))]),
        'traces',
        ruleSet,
        [testTenant()],
      )
      expect(JSON.stringify(firstSpan(result.body))).not.toMatch(/4111|example/)
      expect(attribute(result.body, 'k')).toBe('v')
    }
  }
})

describe('keys of tenants', () => {
  const body = traceRequest([kv('user.email', str('a@example.com')), kv('user.id', str('7'))])
  test('a key that is not at hand is named, and the body is the one that came', () => {
    const result = redact(body, 'traces', DEFAULT, [
      { tenant: 'acme', sealer: undefined, pseudonymizer: undefined },
    ])
    expect(result.missing).toEqual([
      { tenant: 'acme', key: 'encryption' },
      { tenant: 'acme', key: 'pseudonym' },
    ])
    expect(result.body).toBe(body)
  })
  test("with 'mask', both are masked and counted as that", () => {
    const result = redact(body, 'traces', DEFAULT, [
      { tenant: 'acme', sealer: 'mask', pseudonymizer: 'mask' },
    ])
    expect(result.missing).toEqual([])
    expect(attribute(result.body, 'user.email')).toBe('[REDACTED:email]')
    expect(attribute(result.body, 'user.id')).toBe('[REDACTED:user]')
    expect(result.counts).toContainEqual({ rule: 'user identifiers', action: 'mask', count: 1 })
  })
  test('each group has its own keys, what one tenant has in a row is one call, and each group is announced once', () => {
    const acme = testTenant('acme')
    const other = testTenant('other')
    const group = {
      scopeSpans: [
        {
          spans: [
            { attributes: [kv('user.email', str('a@example.com')), kv('email', str('b@example.com'))] },
          ],
        },
      ],
    }
    const request = encode('traces', {
      resourceSpans: [group, { ...group, resource: {} }, group, { scopeSpans: [] }],
    })
    const result = redact(request, 'traces', DEFAULT, [acme, other, acme, other])
    const out = Buffer.from(result.body).toString('latin1')
    expect(out.split(acme.sealer.announcementKey)).toHaveLength(3)
    expect(out.split(other.sealer.announcementKey)).toHaveLength(2)
    expect([acme.sealer.calls, other.sealer.calls]).toEqual([2, 1])
    expect(result.itemsByGroup).toEqual([1, 1, 1, 0])
  })
  test('the resource may stand after the spans', () => {
    const tenant = testTenant()
    const group = encode('traces', {
      resourceSpans: [{ scopeSpans: [{ spans: [{ name: 'a@example.com' }] }] }],
    })
    const tail = encode('traces', {
      resourceSpans: [{ resource: { attributes: [kv('service.name', str('s'))] } }],
    }).subarray(2)
    const request = Buffer.concat([
      Buffer.from([0x0a, group.length - 2 + tail.length]),
      group.subarray(2),
      tail,
    ])
    const result = redact(request, 'traces', DEFAULT, [tenant])
    expect([...resourceAttributes('traces', result.body).keys()]).toEqual([
      'service.name',
      tenant.sealer.announcementKey,
    ])
  })
  test('a beacon stands beside the sealed value', () => {
    const tenant = testTenant()
    const rules = own([rule({ key: ['user.email'] }, { kind: 'encrypt', hasBeacon: true, beaconBits: 20 })])
    const result = redact(body, 'traces', rules, [tenant])
    expect(attribute(result.body, 'user.email.tok')).toBe(
      tenant.pseudonymizer.pseudonym('test', Buffer.from('a@example.com'), 20),
    )
    expect(
      decodeAnyValue(tenant.sealer.open(attribute(result.body, 'user.email'), 'test', 'user.email')),
    ).toEqual(str('a@example.com'))
  })
})

describe('what a sidecar before us left', () => {
  const first = new TestSealer('acme', 'first')
  const [sealed] = first.sealAll([
    { plaintext: Buffer.from('x'.repeat(20)), place: attributePlace('user.email'), dataClass: 'email' },
  ]) as [string]
  const hooks: RuleSetHooks = {
    isTrustedAnnouncement: (kid, value) => kid === first.kid && value === first.announcement,
  }
  const rules = compileRules(REDACTION_DEFAULTS, hooks)
  const announced = [kv(first.announcementKey, str(first.announcement))]

  test('a token and its announcement pass untouched', () => {
    const body = traceRequest(
      [kv('user.email', str(sealed)), kv('note', str(`see ${sealed}`))],
      {},
      announced,
    )
    const result = redact(body, 'traces', rules, [testTenant()])
    expect(result.body).toBe(body)
    expect(result.forged).toBe(0)
  })
  test('what stands beside a token is searched', () => {
    const body = traceRequest([kv('note', str(`${sealed} a@example.com ${sealed}`))], {}, announced)
    const out = attribute(redact(body, 'traces', rules, [testTenant()]).body, 'note')
    expect(out.startsWith(`${sealed} enc.v1.`) && out.endsWith(` ${sealed}`)).toBe(true)
    expect(out).not.toContain('example')
  })
  test.each([
    ['without an announcement', [], sealed],
    ['with a forged announcement', [kv(first.announcementKey, str('{}'))], sealed],
    ['with something behind it', announced, `${sealed}A`],
    ['cut short', announced, sealed.slice(0, -1)],
    ['that is only a prefix', announced, 'enc.v1.4111111111111111'],
  ])('a token %s is text', (_, resource, value) => {
    const tenant = testTenant()
    const result = redact(traceRequest([kv('user.email', str(value))], {}, resource), 'traces', rules, [
      tenant,
    ])
    expect(attribute(result.body, 'user.email')).toMatch(new RegExp(`^enc\\.v1\\.${tenant.sealer.kid}\\.`))
  })
  test('reserved attributes from outside are removed and counted, everywhere', () => {
    const body = traceRequest(
      [
        kv('betrace.key.AAAAAAAAAAAA', str('x')),
        kv('redaction.masked.count', { intValue: 1 }),
        kv('ok', str('v')),
      ],
      {},
      [kv('betrace.key.BBBBBBBBBBBB', str('{}'))],
    )
    const result = redact(body, 'traces', rules, [testTenant()])
    expect([...spanAttributes(result.body).keys()]).toEqual(['ok'])
    expect([...resourceAttributes('traces', result.body).keys()]).toEqual([])
    expect(result.forged).toBe(3)
  })
  test('signatures are left to evidence on spans, and are text where no evidence follows', () => {
    const body = traceRequest([kv('span.signature.proof', str('a@example.com'))])
    expect(redact(body, 'traces', rules, [testTenant()]).body).toBe(body)
    const alone = compileRules(REDACTION_DEFAULTS, { evidenceFollows: false })
    expect(attribute(redact(body, 'traces', alone, [testTenant()]).body, 'span.signature.proof')).toMatch(
      /^enc\.v1\./,
    )
    const log = encode('logs', {
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ attributes: [kv('span.signature', str('a@example.com'))] }] }] },
      ],
    })
    expect(Buffer.from(redact(log, 'logs', rules, [testTenant()]).body).toString('latin1')).not.toContain(
      'example.com',
    )
  })
})

describe('trace state stays a list', () => {
  test.each([
    ['a match changes the value of its member', 'a=1,v=x.4111111111111111,b=2', MASK, /^a=1,v=redacted,b=2$/],
    ['a sealed value fits', 'v=4111111111111111', ENCRYPT, /^v=enc\.v1\.[A-Za-z0-9_.-]{1,249}$/],
    ['one that is too long is masked', `v=${'x'.repeat(150)} 4111111111111111`, ENCRYPT, /^v=redacted$/],
    ['a drop leaves an empty member', 'a=1,v=4111111111111111', DROP, /^a=1,$/],
    ['a match in a key takes the member', '4111111111111111=x,b=2', MASK, /^,b=2$/],
  ] as const)('%s', (_, traceState, action, expected) => {
    const rules = own([rule({ detector: ['payment_card'] }, action)])
    const result = redact(traceRequest([], { traceState }), 'traces', rules, [testTenant()])
    expect(firstSpan(result.body).traceState).toMatch(expected)
  })
})

test('a value that is too much work is masked whole and counted', () => {
  const rules = compileRules(REDACTION_DEFAULTS, { valueWorkMax: 1000 })
  const result = redact(
    traceRequest([kv('small', str('v'.repeat(1000))), kv('large', str('v'.repeat(1001)))]),
    'traces',
    rules,
    [testTenant()],
  )
  expect(attribute(result.body, 'large')).toBe('[REDACTED]')
  expect(attribute(result.body, 'small')).toHaveLength(1000)
  expect(result.overBudget).toBe(1)
})

describe('properties', () => {
  const mask = (1 << DETECTORS.length) - 1
  const stops = stopTable(mask)
  /** Every text of the request that still has a match. */
  const left = (body: Uint8Array): string[] => {
    const found: string[] = []
    const matches = new Matches()
    const look = (start: number, end: number): void => {
      matches.clear()
      scanText(body, start, end, mask, stops, matches)
      if (matches.count > 0) found.push(Buffer.from(body.subarray(start, end)).toString())
    }
    let isOurs = false
    scan(body, 'traces', {
      enter: () => {},
      leave: () => {},
      attribute: (_p, _d, _f, _e, keyStart, keyEnd) => {
        isOurs = Buffer.from(body.subarray(keyStart, keyEnd)).toString().startsWith('betrace.key.')
        look(keyStart, keyEnd)
        return isOurs
      },
      scalar: (_p, type, start, end) => {
        if (type === ValueType.STRING) look(start, end)
      },
      text: (_p, start, end) => look(start, end),
      attributeEnd: () => {},
    })
    return found
  }
  const piece = fc.oneof(
    fc.constantFrom(...LABELLED.map(({ text: labelled }) => labelled), ...BENIGN),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
  )
  const value = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(' '))
  const key = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom('note', 'url.full', 'db.query.text', 'a@example.com'),
  )
  const everything = compileRules({
    ...REDACTION_DEFAULTS,
    packs: [],
    rules: [rule({ detector: DETECTORS.map(({ name }) => name) }, MASK, 'pii')],
  })

  test('after redaction no detector finds anything', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(key, value), { maxLength: 6 }),
        value,
        value,
        (attributes, name, message) => {
          const body = traceRequest(
            attributes.map(([k, v]) => kv(k, str(v))),
            { name, status: { message } },
          )
          const result = redact(body, 'traces', everything, [testTenant()])
          expect(left(result.body)).toEqual([])
        },
      ),
      runs,
    )
  })
  test('and a second time nothing changes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 6 }), (attributes) => {
        const once = redact(traceRequest(attributes.map(([k, v]) => kv(k, str(v)))), 'traces', everything, [
          testTenant(),
        ]).body
        expect(redact(once, 'traces', everything, [testTenant()]).body).toBe(once)
      }),
      runs,
    )
  })
  test('without a match the buffer is the same one', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...BENIGN), { maxLength: 8 }), (values) => {
        const body = traceRequest(values.map((v, i) => kv(`key.${i}`, str(v))))
        const result = redact(body, 'traces', DEFAULT, [testTenant()])
        expect(result.body).toBe(body)
        expect(result.counts).toEqual([])
        expect(result.itemCount).toBe(1)
      }),
      runs,
    )
  })
  test('every sealed part opens to what stood there', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a@example.com', 'x', ' ', 'é', 'bob@mail.example.org'), { maxLength: 8 }),
        (pieces) => {
          const original = pieces.join(' ')
          const tenant = testTenant()
          const result = redact(
            traceRequest([kv('note', str(original))]),
            'traces',
            own([rule({ detector: ['email'] }, ENCRYPT)]),
            [tenant],
          )
          const out = attribute(result.body, 'note').replace(/enc\.v1\.[A-Za-z0-9_.-]+/g, (token) =>
            text(decodeAnyValue(tenant.sealer.open(token, 'test', 'note'))),
          )
          expect(out).toBe(original)
        },
      ),
      runs,
    )
  })
  test('equal values join by pseudonym, whole or as a part', () => {
    const tenant = testTenant()
    const body = traceRequest([kv('a', str('a@example.com')), kv('b', str('to a@example.com'))])
    const result = redact(body, 'traces', own([rule({ detector: ['email'] }, HASH)]), [tenant])
    expect(`to ${attribute(result.body, 'a')}`).toBe(attribute(result.body, 'b'))
  })
})
