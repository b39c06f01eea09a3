// Twenty thousand edits of signed exports, made by another protobuf runtime: each is caught, with the outcome that
// proto/evidence.md gives it; and thousands of changes that mean nothing pass. BETRACE_MUTATION_SEED repeats a failing run,
// BETRACE_MUTATION_COUNT makes it longer.
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../src/base/errors.ts'
import { Evidence } from '../../src/evidence/evidence.ts'
import { keysFromJson } from '../../src/evidence/listed-keys.ts'
import { Verifier, type VerifySummary } from '../../src/evidence/verify.ts'
import { jsonToProtobuf, protobufToJson } from '../../src/wire/json.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  decode,
  encode,
  type Message,
  NOW_NS,
  resourceSpans,
  span,
  testKey,
} from '../unit/evidence/otlp.ts'

const SEED = Number(process.env.BETRACE_MUTATION_SEED ?? (Date.now() % 1_000_000) + 1)
const COUNT = Number(process.env.BETRACE_MUTATION_COUNT ?? 11_000)
const HARMLESS = Math.ceil(COUNT / 8)
console.log(`BETRACE_MUTATION_SEED=${SEED}`)

let state = SEED
function random(below: number): number {
  state = (state + 0x6d2b79f5) >>> 0
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below) | 0
}
const pick = <T>(from: readonly T[]): T => from[random(from.length)]!

const acme = testKey()
const beta = testKey()
const stranger = testKey()

const entryOf = (key: typeof acme, more: object = {}): object => ({
  keyId: key.keyId,
  algorithm: 'Ed25519',
  publicKey: Buffer.from(key.publicKey).toString('base64'),
  createdAt: '2020-01-01T00:00:00.000Z',
  notAfter: null,
  status: 'ACTIVE',
  endorsedBy: null,
  endorsement: null,
  ...more,
})
const lists = [
  { tenantId: 'acme', keys: [entryOf(acme)] },
  { tenantId: 'beta', keys: [entryOf(beta)] },
]
const trusted = keysFromJson([], { documents: [lists] })

/** Two tenants, two scopes, signed spans and plain ones. */
function original(proof: 'inline' | 'compact'): Message {
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID, policy: { proof } }, () => undefined)
  const groups = ['acme', 'beta'].map((tenant, ordinal) => {
    const group = resourceSpans(
      [0, 1, 2, 3].map((i) => span(ordinal * 10 + i, i === 2 ? [] : [compliant])),
      `service-${tenant}`,
    )
    group.resource.attributes.push(attribute('betrace.tenant', tenant))
    group.scopeSpans.push({ scope: { name: 'other' }, spans: [span(ordinal * 10 + 4, [compliant])] })
    return group
  })
  const keys = new Map([
    ['acme', acme],
    ['beta', beta],
  ])
  return decode(evidence.sign(encode({ resourceSpans: groups }), ['acme', 'beta'], keys, NOW_NS).body)
}

const isOurs = (key: string): boolean => key.startsWith('span.signature')
const spansOf = (group: Message): Message[] => group.scopeSpans.flatMap((scope: Message) => scope.spans)
const isSigned = (each: Message): boolean => each.attributes.some(({ key }: Message) => isOurs(key))
const allSigned = (body: Message): Message[] => body.resourceSpans.flatMap(spansOf).filter(isSigned)
const own = (each: Message): Message[] => each.attributes.filter(({ key }: Message) => !isOurs(key))
const ours = (each: Message): Message[] => each.attributes.filter(({ key }: Message) => isOurs(key))
const statementsOf = (group: Message): Message[] =>
  group.resource.attributes.filter(({ key }: Message) => key.startsWith('betrace.statement.'))

function flipped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes)
  copy[random(copy.length)]! ^= 1 << random(8)
  return copy
}

/** The text with one character of its alphabet changed, added or taken away. */
function retyped(text: string): string {
  const at = random(text.length)
  const other = pick([...'ABCxyz019-_.'].filter((each) => each !== text[at]))
  return pick([
    `${text.slice(0, at)}${other}${text.slice(at + 1)}`,
    `${text.slice(0, at)}${other}${text.slice(at)}`,
    text.slice(0, at) + text.slice(at + 1),
    text.slice(0, at),
    `${text}=`,
    ` ${text}`,
  ])
}

const VALUES: readonly (() => Message)[] = [
  () => ({ stringValue: `changed ${random(1e9)}` }),
  () => ({ intValue: random(1e9) + 1_000 }),
  () => ({ doubleValue: random(1e9) + 0.25 }),
  () => ({ bytesValue: Buffer.of(random(256), 9, 9) }),
  () => ({ arrayValue: { values: [{ stringValue: `${random(1e9)}` }] } }),
  () => ({ kvlistValue: { values: [attribute(`${random(1e9)}`, 'x')] } }),
]

type Edit = (body: Message) => void
/** On a signed span. */
const onSpan =
  (edit: (target: Message, body: Message) => void): Edit =>
  (body) =>
    edit(pick(allSigned(body)), body)

/** Edits of what is covered, of signatures, and of what stands where. */
const CAUGHT: Readonly<Record<string, Edit>> = {
  'an attribute has another value': onSpan((target) => {
    pick(own(target)).value = pick(VALUES)()
  }),
  'an attribute has another key': onSpan((target) => {
    pick(own(target)).key += pick(['x', '.y', ' '])
  }),
  'an attribute is gone': onSpan((target) => {
    const gone = pick(own(target))
    target.attributes = target.attributes.filter((each: Message) => each !== gone)
  }),
  'an attribute is new': onSpan((target) => {
    target.attributes.splice(random(target.attributes.length), 0, attribute(`new.${random(1e9)}`, 'x'))
  }),
  'an attribute stands twice': onSpan((target) => void target.attributes.push(pick(own(target)))),
  'two attributes have exchanged values': onSpan((target) => {
    const [one, other] = [pick(own(target)), pick(own(target))]
    if (one === other || JSON.stringify(one.value) === JSON.stringify(other.value)) one.value = pick(VALUES)()
    else [one.value, other.value] = [other.value, one.value]
  }),
  'the name': onSpan((target) => void Object.assign(target, { name: `other ${random(1e9)}` })),
  'the trace id': onSpan((target) => void Object.assign(target, { traceId: flipped(target.traceId) })),
  'the span id': onSpan((target) => void Object.assign(target, { spanId: flipped(target.spanId) })),
  'the parent span id': onSpan(
    (target) => void Object.assign(target, { parentSpanId: flipped(target.parentSpanId) }),
  ),
  'the trace state': onSpan((target) => void Object.assign(target, { traceState: `vendor=${random(1e9)}` })),
  'a time': onSpan((target) => {
    target[pick(['startTimeUnixNano', 'endTimeUnixNano'])] = String(1 + random(1e9))
  }),
  'the kind': onSpan((target) => void Object.assign(target, { kind: pick([0, 1, 3, 4, 5, 77]) })),
  'the status': onSpan((target) => {
    target.status = pick([{ code: 1, message: 'failed' }, { code: 2, message: 'fine' }, {}])
  }),
  'an event': onSpan((target) => {
    pick([
      () => target.events.pop(),
      () => target.events.reverse(),
      () => target.events.push({ name: 'more' }),
      () => void Object.assign(target.events[0], { name: 'other' }),
      () => void Object.assign(target.events[1], { timeUnixNano: '7' }),
      () => void Object.assign(target.events[0].attributes[0], { value: pick(VALUES)() }),
    ])()
  }),
  'a link': onSpan((target) => {
    pick([
      () => target.links.pop(),
      () => target.links.push({ traceId: Buffer.alloc(16, 3), spanId: Buffer.alloc(8, 3) }),
      () => void Object.assign(target.links[0], { traceId: flipped(target.links[0].traceId) }),
      () => void Object.assign(target.links[0], { spanId: flipped(target.links[0].spanId) }),
      () => void Object.assign(target.links[0], { traceState: 'x=y' }),
      () => void Object.assign(target.links[0].attributes[0], { value: pick(VALUES)() }),
    ])()
  }),
  'a covered resource attribute': (body) => {
    const attributes = pick<Message>(body.resourceSpans).resource.attributes
    attributes.find(({ key }: Message) => key === 'service.name').value = pick(VALUES)()
  },
  'a covered resource attribute that was not there': (body) => {
    pick<Message>(body.resourceSpans).resource.attributes.push(
      attribute(pick(['service.namespace', 'service.instance.id']), `x${random(1e9)}`),
    )
  },
  'the tenant of a resource': (body) => {
    const group = pick<Message>(body.resourceSpans)
    const tenant = group.resource.attributes.find(({ key }: Message) => key === 'betrace.tenant')
    tenant.value = { stringValue: pick(['acme2', '__proto__', 'gamma']) }
  },
  'a scope': (body) => {
    const { scope } = pick<Message>(pick<Message>(body.resourceSpans).scopeSpans)
    if (random(2) === 0) scope.name += '!'
    else scope.version = `${scope.version ?? ''}9`
  },
  'a signature is stripped': onSpan((target) => void Object.assign(target, { attributes: own(target) })),
  'an attribute of a signature is gone': onSpan((target) => {
    const gone = pick(ours(target))
    target.attributes = target.attributes.filter((each: Message) => each !== gone)
  }),
  'an attribute of a signature stands twice': onSpan(
    (target) => void target.attributes.push(pick(ours(target))),
  ),
  'an attribute of a signature has another name': onSpan((target) => {
    pick(ours(target)).key += 's'
  }),
  'an attribute of a signature is no text': onSpan((target) => {
    pick(ours(target)).value = pick(VALUES.slice(1))()
  }),
  'a text of a signature': onSpan((target) => {
    const one = pick(ours(target))
    one.value = { stringValue: retyped(one.value.stringValue) }
  }),
  'two spans have exchanged signatures': (body) => {
    const [one, other] = [pick(allSigned(body)), pick(allSigned(body))]
    if (one === other) {
      one.name += '!'
      return
    }
    const [first, second] = [ours(one), ours(other)]
    one.attributes = [...own(one), ...second]
    other.attributes = [...own(other), ...first]
  },
  'a signature is copied to a plain span that is selected': (body) => {
    const plain = body.resourceSpans.flatMap(spansOf).filter((each: Message) => !isSigned(each))
    const target = pick<Message>(plain)
    target.attributes = [...target.attributes, compliant, ...ours(pick(allSigned(body)))]
  },
  'a span has moved to the other resource': (body) => {
    const from = pick<Message>(body.resourceSpans)
    const to = body.resourceSpans.find((each: Message) => each !== from)
    const scope = from.scopeSpans[0]
    const index = scope.spans.findIndex(isSigned)
    to.scopeSpans[0].spans.push(...scope.spans.splice(index, 1))
  },
  'a span has moved to another scope': (body) => {
    const { scopeSpans } = pick<Message>(body.resourceSpans)
    const index = scopeSpans[0].spans.findIndex(isSigned)
    scopeSpans[1].spans.push(...scopeSpans[0].spans.splice(index, 1))
  },
  'a signed span is gone': (body) => {
    const { scopeSpans } = pick<Message>(body.resourceSpans)
    scopeSpans[0].spans.splice(scopeSpans[0].spans.findIndex(isSigned), 1)
  },
  'a span that should be signed is new': (body) => {
    pick<Message>(body.resourceSpans).scopeSpans[0].spans.push(span(99 + random(1e6), [compliant]))
  },
  'a changed copy stands beside a span': (body) => {
    const { spans } = pick<Message>(body.resourceSpans).scopeSpans[0]
    const target = spans.find(isSigned)
    spans.push({ ...target, name: `${target.name}!` })
  },
}

/** Edits of what a resource has for its spans. */
const CAUGHT_IN_STATEMENTS: Readonly<Record<string, Edit>> = {
  'a statement is gone': (body) => {
    const group = pick<Message>(body.resourceSpans)
    const [statement] = statementsOf(group)
    group.resource.attributes = group.resource.attributes.filter((each: Message) => each !== statement)
  },
  'a statement stands twice': (body) => {
    const group = pick<Message>(body.resourceSpans)
    group.resource.attributes.push(statementsOf(group)[0])
  },
  'a statement under another name': (body) => {
    const [statement] = statementsOf(pick<Message>(body.resourceSpans))
    statement!.key = retyped(statement!.key)
  },
  'a statement is no text': (body) => {
    statementsOf(pick<Message>(body.resourceSpans))[0]!.value = pick(VALUES.slice(1))()
  },
  'a text of a statement': (body) => {
    const [statement] = statementsOf(pick<Message>(body.resourceSpans))
    statement!.value = { stringValue: retyped(statement!.value.stringValue) }
  },
  'a part of a statement is that of the other': (body) => {
    const [one, other] = body.resourceSpans.map((group: Message) => statementsOf(group)[0])
    const [texts, others] = [one.value.stringValue.split('.'), other.value.stringValue.split('.')]
    // Both have the same policy, which is no edit.
    const at = pick([1, 2, 4])
    texts[at] = others[at]
    one.value = { stringValue: texts.join('.') }
  },
}

/** Changes that mean nothing: of order, of what is not covered, of how it is written. */
const HARMLESS_CHANGES: Readonly<Record<string, Edit>> = {
  'attributes in another order': onSpan((target) => void shuffle(target.attributes)),
  'resource attributes in another order': (body) => {
    shuffle(pick<Message>(body.resourceSpans).resource.attributes)
  },
  'a kvlist in another order': onSpan((target) => {
    const nested = target.attributes.find(({ key }: Message) => key === 'nested')
    nested.value.kvlistValue.values.reverse()
  }),
  'spans in another order': (body) => void shuffle(pick<Message>(body.resourceSpans).scopeSpans[0].spans),
  'groups in another order': (body) => void body.resourceSpans.reverse(),
  'a resource in two groups': (body) => {
    const group = pick<Message>(body.resourceSpans)
    const { scope, spans } = group.scopeSpans[0]
    const moved = spans.splice(0, 1 + random(2))
    body.resourceSpans.push({ ...group, scopeSpans: [{ scope, spans: moved }] })
  },
  'a resource attribute that is not covered': (body) => {
    pick<Message>(body.resourceSpans).resource.attributes.push(attribute(`k8s.${random(1e9)}`, 'x'))
  },
  'flags and dropped counts': onSpan((target) => {
    target.flags = random(1e6)
    target.droppedAttributesCount = random(1e6)
    target.links[0].flags = random(1e6)
  }),
  'schema URLs and scope attributes': (body) => {
    const group = pick<Message>(body.resourceSpans)
    group.schemaUrl = 'https://schemas.example/1'
    group.scopeSpans[0].scope.attributes = [attribute('x', 'y')]
  },
  'a span is delivered twice': (body) => {
    // A change before this one may have left a scope without any.
    const scopes = body.resourceSpans.flatMap(({ scopeSpans }: Message) => scopeSpans)
    const { spans } = pick<Message>(scopes.filter((each: Message) => each.spans.some(isSigned)))
    spans.push(pick(spans.filter(isSigned)))
  },
  'a plain span is gone': (body) => {
    const { scopeSpans } = pick<Message>(body.resourceSpans)
    scopeSpans[0].spans = scopeSpans[0].spans.filter(isSigned)
  },
}

function shuffle(list: unknown[]): void {
  for (let i = list.length - 1; i > 0; i--) {
    const other = random(i + 1)
    ;[list[i], list[other]] = [list[other], list[i]]
  }
}

function judge(body: Uint8Array, keys = trusted): VerifySummary {
  const verifier = new Verifier({ keys, expected: 'policy', isComplete: true })
  verifier.add(body)
  return verifier.summary()
}

describe.each(['inline', 'compact'] as const)('%s', (proof) => {
  const genuine = encode(original(proof))
  const edits = Object.entries(proof === 'compact' ? { ...CAUGHT, ...CAUGHT_IN_STATEMENTS } : CAUGHT)

  test('untouched it is good', () => {
    expect(judge(genuine)).toMatchObject({ outcome: 'good', counts: { valid: 8, unsigned: 2 } })
  })

  test(`${COUNT} edits are caught`, () => {
    const counts = new Map<string, number>()
    for (let i = 0; i < COUNT; i++) {
      const [name, edit] = edits[i % edits.length]!
      const body = decode(genuine)
      edit(body)
      const before = state
      const summary = judge(encode(body))
      const said = `seed ${SEED}, edit ${i} (${before}): ${name}: ${JSON.stringify(summary.counts)}`
      expect(summary.outcome, said).toBe('bad')
      const key = Object.entries(summary.counts)
        .filter(([verdict, count]) => count > 0 && verdict !== 'valid')
        .map(([verdict]) => verdict)
        .join('+')
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    console.log(`${proof}: ${[...counts].map(([what, count]) => `${count} ${what}`).join(', ')}`)
  })

  test(`${HARMLESS} changes that mean nothing pass, in protobuf and as JSON`, () => {
    const changes = Object.entries(HARMLESS_CHANGES)
    for (let i = 0; i < HARMLESS; i++) {
      const body = decode(genuine)
      const names: string[] = []
      for (let more = 1 + random(4); more > 0; more--) {
        const [name, change] = pick(changes)
        change(body)
        names.push(name)
      }
      const bytes = encode(body)
      const asJson = jsonToProtobuf(Buffer.from(protobufToJson(bytes, 'traces')), 'traces')
      for (const each of [bytes, asJson]) {
        const { outcome, counts } = judge(each)
        const said = `seed ${SEED}, change ${i}: ${names.join(', ')}`
        expect({ outcome, lost: counts.tampered + counts.bad_proof }, said).toEqual({
          outcome: 'good',
          lost: 0,
        })
        expect(counts.valid, said).toBeGreaterThanOrEqual(8)
      }
    }
  })

  test('a list of keys that lies makes nothing good', () => {
    const [one, other] = lists as [Message, Message]
    const lies: Readonly<Record<string, unknown>> = {
      'no keys': [],
      'a key of the other tenant': [{ tenantId: 'acme', keys: [entryOf(beta)] }, other],
      'both under one tenant': [{ tenantId: 'acme', keys: [entryOf(acme), entryOf(beta)] }],
      'a stranger': [{ tenantId: 'acme', keys: [entryOf(stranger)] }, other],
      'the id of one with the key of another': [
        { tenantId: 'acme', keys: [entryOf(stranger, { keyId: acme.keyId })] },
        other,
      ],
      revoked: [{ tenantId: 'acme', keys: [entryOf(acme, { status: 'REVOKED' })] }, other],
      'over before it signed': [
        {
          tenantId: 'acme',
          keys: [entryOf(acme, { status: 'ROTATED', notAfter: '2020-02-01T00:00:00.000Z' })],
        },
        other,
      ],
      'endorsed by nobody it has': [
        { tenantId: 'acme', keys: [entryOf(acme, { endorsement: 'AAAA' })] },
        other,
      ],
      'another algorithm': [{ tenantId: 'acme', keys: [entryOf(acme, { algorithm: 'HMAC' })] }, other],
      'an unknown status': [{ tenantId: 'acme', keys: [entryOf(acme, { status: 'GOOD' })] }, other],
      'twice, with different facts': [
        { tenantId: 'acme', keys: [entryOf(acme), entryOf(acme, { status: 'ROTATED' })] },
        other,
      ],
    }
    for (const [lie, document] of Object.entries(lies)) {
      let outcome: string
      try {
        outcome = judge(genuine, keysFromJson([], { documents: [document] })).outcome
      } catch (thrown) {
        if (!(thrown instanceof SidecarError)) throw thrown
        outcome = thrown.code
      }
      expect(['unknown', 'bad', 'USAGE'], lie).toContain(outcome)
    }
    // Good keys that nobody trusts.
    expect(judge(genuine, keysFromJson([one, other])).outcome).toBe('unknown')
  })

  test('a member of JSON that stands twice, in either spelling, is no reading at all', () => {
    const text = protobufToJson(genuine, 'traces')
    const members = [
      ...text.matchAll(/"(stringValue|traceId|spanId|name|kind|attributes|spans|scopeSpans|value|key)":/g),
    ]
    for (let i = 0; i < 1_000; i++) {
      const { index, 1: name } = pick(members)
      const snake = name!.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
      const twin = `"${pick([name, snake])}":${pick(['null', '"x"', '[]', '1'])},`
      expect(
        () => jsonToProtobuf(Buffer.from(text.slice(0, index) + twin + text.slice(index)), 'traces'),
        twin,
      ).toThrow()
    }
  })
})
