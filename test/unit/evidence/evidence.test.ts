import { createHash, createSecretKey, verify as verifySignature } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { isTipRecord, tipKey } from '../../../src/evidence/chain.ts'
import {
  Evidence,
  type EvidenceOptions,
  type SigningKey,
  type StatementRecord,
} from '../../../src/evidence/evidence.ts'
import { decodeRefs, encodeRefs } from '../../../src/evidence/refs.ts'
import {
  DEFAULT_COVERAGE,
  decodeSignedStatement,
  decodeStatement,
  Kind,
  pae,
  Reason,
  STATEMENT_TYPE,
  type Statement,
  statementHash,
} from '../../../src/evidence/statement.ts'
import { PENDING_STATEMENTS_MAX } from '../../../src/evidence/streams.ts'
import { verifyTraces } from '../../../src/evidence/verify.ts'
import { ed25519PublicKey } from '../../../src/formats/ed25519.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  decode,
  encode,
  lookup,
  type Message,
  NOW_NS,
  request,
  resourceSpans,
  span,
  testKey,
} from './otlp.ts'

const key = testKey('k1')
const otherKey = testKey('k2')
const acme = new Map<string, SigningKey>([['acme', key]])
const both = new Map<string, SigningKey>([
  ['acme', key],
  ['__proto__', otherKey],
])
const oneSpan = encode(request([span(0, [compliant])]))

function newEvidence(options: Partial<EvidenceOptions> = {}, store?: Map<string, Uint8Array>): Evidence {
  const tips = (tenant: string): Uint8Array | undefined => store?.get(hex(tipKey(tenant)))
  const policy = { proof: 'inline', ...options.policy } as const
  return new Evidence({ instanceId: 'sidecar-1', bootId: BOOT_ID, ...options, policy }, tips)
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const statementOf = (record: StatementRecord): Statement =>
  decodeStatement(decodeSignedStatement(record.value).statement)
const statementsOf = (records: readonly StatementRecord[]): Statement[] =>
  records.filter((record) => !isTipRecord(record)).map(statementOf)
const kindsOf = (records: readonly StatementRecord[]): number[] =>
  statementsOf(records).map(({ kind }) => kind)
const spansOf = (body: Uint8Array): Message[] => decode(body).resourceSpans[0].scopeSpans[0].spans

/** A statement table: what a commit does. */
function commit(store: Map<string, Uint8Array>, records: readonly StatementRecord[]): void {
  for (const { key: at, value } of records) store.set(hex(at), value)
}

/** Every statement in the store signed, numbered without gaps and chained, per boot. */
function assertWhole(store: ReadonlyMap<string, Uint8Array>, tenant = 'acme', by = key): Statement[] {
  const found = [...store]
    .filter(([at]) => at.startsWith('00'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, value]) => decodeSignedStatement(value))
    .filter(({ statement }) => decodeStatement(statement).tenant === tenant)
  let previous: Uint8Array = new Uint8Array(0)
  let number = 0
  for (const { statement, signature } of found) {
    const decoded = decodeStatement(statement)
    if (decoded.kind === Kind.BOOT) number = 0
    expect(decoded.number).toBe(number++)
    expect(hex(decoded.previous)).toBe(hex(previous))
    expect(
      verifySignature(null, pae(STATEMENT_TYPE, statement), ed25519PublicKey(by.publicKey), signature),
    ).toBe(true)
    previous = statementHash(statement)
  }
  return found.map(({ statement }) => decodeStatement(statement))
}

describe('what is signed', () => {
  test.each<[name: string, message: Message, signed: number]>([
    ['a compliance attribute', request([span(0, [compliant]), span(1)]), 1],
    ['a betrace attribute', request([span(0, [attribute('betrace.x', 'y')]), span(1)]), 1],
    [
      'no such attribute',
      request([span(0), span(1, [attribute('compliance', 'x'), attribute('xcompliance.y', '')])]),
      0,
    ],
    ['one on an event', request([{ ...span(0), events: [{ attributes: [compliant] }] }, span(1)]), 1],
    ['one on a link', request([{ ...span(0), links: [{ attributes: [compliant] }] }, span(1)]), 1],
    [
      'one inside a kvlist only',
      request([span(0, [{ key: 'a', value: { kvlistValue: { values: [compliant] } } }])]),
      0,
    ],
    ['one on the resource', onResource([compliant]), 2],
    [
      'a key announcement and the tenant on the resource',
      onResource([attribute('betrace.key.k', ''), attribute('betrace.tenant', 't')]),
      0,
    ],
    ['one on the scope', onScope([compliant]), 2],
    ['nothing at all', {}, 0],
  ])('by default: %s', (_name, message, signed) => {
    expect(newEvidence().sign(encode(message), ['acme'], acme, NOW_NS).signedCount).toBe(signed)
  })

  test('select all takes every span; a list of globs those with a matching key', () => {
    const body = encode(request([span(0), span(1, [attribute('app.customer.id', 'x')]), { name: 'bare' }]))
    const counts = (select: 'all' | string[]): number =>
      newEvidence({ policy: { select } }).sign(body, ['acme'], acme, NOW_NS).signedCount
    expect(counts('all')).toBe(3)
    expect(counts(['app.customer.*'])).toBe(1)
    expect(counts(['*.path', 'nothing'])).toBe(2)
    expect(counts([])).toBe(0)
  })

  function onResource(attributes: Message[]): Message {
    const message = request([span(0), span(1)])
    message.resourceSpans[0].resource.attributes.push(...attributes)
    return message
  }

  function onScope(attributes: Message[]): Message {
    const message = request([span(0), span(1)])
    message.resourceSpans[0].scopeSpans[0].scope.attributes = attributes
    return message
  }
})

test('nothing selected: the same buffer, no statement', () => {
  const body = encode(request([span(0)]))
  const signed = newEvidence().sign(body, ['acme'], new Map(), NOW_NS)
  expect(signed.body).toBe(body)
  expect(signed).toMatchObject({ signedCount: 0, statements: [], refs: [], missing: [] })
})

test('signing adds five attributes to the selected spans and changes nothing else', () => {
  const message = request([span(0, [compliant]), span(1), span(2, [compliant])])
  const { body } = newEvidence().sign(encode(message), ['acme'], acme, NOW_NS)
  const decoded = decode(body)
  for (const each of decoded.resourceSpans[0].scopeSpans[0].spans) {
    const own = each.attributes.filter(({ key: name }: Message) => name.startsWith('span.signature'))
    expect(own.length === 0 || own.length === 5).toBe(true)
    each.attributes = each.attributes.filter((one: Message) => !own.includes(one))
  }
  expect(decoded).toEqual(decode(encode(message)))
})

test('a tenant whose key is missing is named, and no state moves', () => {
  const evidence = newEvidence()
  const body = encode({
    resourceSpans: [resourceSpans([span(0, [compliant])]), resourceSpans([span(1, [compliant])])],
  })
  const refused = evidence.sign(body, ['acme', '__proto__'], acme, NOW_NS)
  expect(refused).toMatchObject({ missing: ['__proto__'], statements: [], refs: [], signedCount: 0 })
  expect(evidence.tenants).toEqual([])
  const signed = evidence.sign(body, ['acme', '__proto__'], both, NOW_NS)
  expect(statementsOf(signed.statements).map(({ tenant, number }) => [tenant, number])).toEqual([
    ['acme', 0],
    ['acme', 1],
    ['__proto__', 0],
    ['__proto__', 1],
  ])
  expect(verifyTraces(signed.body, { keys: lookup(key, otherKey) }).summary.counts.valid).toBe(2)
})

test('resource groups of one tenant share one tree, in the order of the request', () => {
  const groups = [0, 1, 2].map((index) => resourceSpans([span(index, [compliant])], `s${index}`))
  const signed = newEvidence().sign(
    encode({ resourceSpans: groups }),
    ['acme', '__proto__', 'acme'],
    both,
    NOW_NS,
  )
  const { spans } = verifyTraces(signed.body, { keys: lookup(key, otherKey) })
  expect(spans.map(({ tenant, index, verdict }) => [tenant, index, verdict])).toEqual([
    ['acme', 0, 'valid'],
    ['__proto__', 0, 'valid'],
    ['acme', 1, 'valid'],
  ])
  expect(signed.refs.map(({ tenant, leafCount }) => [tenant, leafCount])).toEqual([
    ['acme', 2],
    ['__proto__', 1],
  ])
  expect(encodeRefs(decodeRefs(encodeRefs(signed.refs)))).toEqual(encodeRefs(signed.refs))
  expect(decodeRefs(encodeRefs(signed.refs))[1]).toMatchObject({
    tenant: '__proto__',
    number: 1,
    leafCount: 1,
  })
})

test('hmac-sha256 signs each span under the secret that is passed in, without statements', () => {
  const secret = createSecretKey(createHash('sha256').update('s').digest())
  const keys = new Map([['acme', { keyId: 's1', privateKey: secret }]])
  const evidence = newEvidence({ policy: { algorithm: 'hmac-sha256' } })
  const signed = evidence.sign(
    encode(request([span(0, [compliant]), span(1, [compliant])])),
    ['acme'],
    keys,
    NOW_NS,
  )
  expect(signed).toMatchObject({ signedCount: 2, statements: [], refs: [] })
  const verdicts = (body: Uint8Array, tenant = 'acme', macCoverage = DEFAULT_COVERAGE): string[] =>
    verifyTraces(body, {
      keys: () => ({ algorithm: 'hmac-sha256', key: secret, tenant }),
      macCoverage,
    }).spans.map(({ verdict }) => verdict)
  expect(verdicts(signed.body)).toEqual(['valid', 'valid'])
  // The MAC covers whose it is and what it covers, so neither can be another.
  expect(verdicts(signed.body, 'beta')).toEqual(['tampered', 'tampered'])
  expect(verdicts(signed.body, 'acme', { ...DEFAULT_COVERAGE, mutable: ['nothing.of.it'] })).toEqual([
    'tampered',
    'tampered',
  ])
  const changed = decode(signed.body)
  changed.resourceSpans[0].scopeSpans[0].spans[1].kind = 1
  expect(verdicts(encode(changed))).toEqual(['valid', 'tampered'])
  expect(verifyTraces(signed.body, { keys: () => undefined }).summary.outcome).toBe('unknown')
})

test('bytes that are no request are refused before anything moves', () => {
  const evidence = newEvidence()
  expect(() => evidence.sign(Buffer.from('0a05ff', 'hex'), ['acme'], acme, NOW_NS)).toThrow(
    expect.objectContaining({ code: 'MALFORMED' }),
  )
  expect(evidence.tenants).toEqual([])
})

describe('signatures that come in from outside', () => {
  const signed = newEvidence().sign(oneSpan, ['acme'], acme, NOW_NS).body

  test('without known keys every one is removed, counted and replaced by our own', () => {
    const again = newEvidence().sign(signed, ['acme'], both, NOW_NS + 1n)
    expect(again).toMatchObject({ forgedCount: 1, keptCount: 0, signedCount: 1 })
    expect(
      spansOf(again.body)[0].attributes.filter(({ key: name }: Message) => name.startsWith('span.signature')),
    ).toHaveLength(5)
    expect(verifyTraces(again.body, { keys: lookup(key) }).summary.counts.valid).toBe(1)
  })

  test('a good one stays, and the span is not signed again', () => {
    const again = newEvidence({ knownKeys: lookup(key) }).sign(signed, ['acme'], acme, NOW_NS + 1n)
    expect(again).toMatchObject({ forgedCount: 0, keptCount: 1, signedCount: 0, statements: [] })
    expect(again.body).toBe(signed)
  })

  test.each<[name: string, edit: (target: Message) => void]>([
    [
      'of a changed span',
      (target) => {
        target.name = 'x'
      },
    ],
    ['with an unknown key', (target) => retext(target, 'span.signature.key_id', 'k2')],
    ['stripped of its proof', (target) => void target.attributes.pop()],
    [
      'that is only a name',
      (target) => {
        target.attributes = [attribute('span.signature.note', 'x')]
      },
    ],
  ])('one %s is removed and counted, also from a span that is not selected', (_name, edit) => {
    const decoded = decode(signed)
    const [target] = decoded.resourceSpans[0].scopeSpans[0].spans
    edit(target)
    target.attributes = target.attributes.filter(({ key: name }: Message) => name !== compliant.key)
    const again = newEvidence({ knownKeys: lookup(key) }).sign(encode(decoded), ['acme'], acme, NOW_NS)
    expect(again).toMatchObject({ forgedCount: 1, keptCount: 0, signedCount: 0, statements: [] })
    const left = spansOf(again.body)[0].attributes.map(({ key: name }: Message) => name)
    expect(left.filter((name: string) => name.startsWith('span.signature'))).toEqual([])
  })

  function retext(target: Message, name: string, text: string): void {
    target.attributes.find((each: Message) => each.key === name).value.stringValue = text
  }
})

describe('the chain of statements', () => {
  test('boot, batches, heartbeat, tombstone and shutdown follow each other without a gap', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    const first = evidence.sign(oneSpan, ['acme'], acme, NOW_NS)
    commit(store, first.statements)
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 1n).statements)
    commit(store, evidence.heartbeat(acme, NOW_NS + 2n).statements)
    commit(store, evidence.tombstone(first.refs, 'dead_letter', acme, NOW_NS + 3n).statements)
    commit(store, evidence.shutdown(acme, NOW_NS + 4n).statements)
    const statements = assertWhole(store)
    expect(statements.map(({ kind }) => kind)).toEqual([
      Kind.BOOT,
      Kind.BATCH,
      Kind.BATCH,
      Kind.HEARTBEAT,
      Kind.TOMBSTONE,
      Kind.SHUTDOWN,
    ])
    expect(statements[4]!.tombstone).toMatchObject({
      number: 1,
      ranges: [{ first: 0, count: 1 }],
      reason: Reason.DEAD_LETTER,
    })
    expect(() => evidence.sign(oneSpan, ['acme'], acme, NOW_NS)).toThrow(
      expect.objectContaining({ code: 'SHUTTING_DOWN' }),
    )
  })

  test('a boot names the last statement of the boot before, also when that one crashed', () => {
    const store = new Map<string, Uint8Array>()
    commit(store, newEvidence({}, store).sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    const bootId = Buffer.from(BOOT_ID)
    bootId[5]!++
    commit(store, newEvidence({ bootId }, store).sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    expect(assertWhole(store).map(({ kind }) => kind)).toEqual([Kind.BOOT, Kind.BATCH, Kind.BOOT, Kind.BATCH])
  })

  test('a tombstone after a restart names the batch of the boot before', () => {
    const store = new Map<string, Uint8Array>()
    const { refs, statements } = newEvidence({}, store).sign(oneSpan, ['acme'], acme, NOW_NS)
    commit(store, statements)
    const bootId = Buffer.alloc(16, 0xff)
    const later = newEvidence({ bootId }, store)
    expect(later.tombstone(refs, 'dropped', new Map(), NOW_NS)).toEqual({ statements: [], missing: ['acme'] })
    const { statements: records } = later.tombstone(decodeRefs(encodeRefs(refs)), 'dropped', acme, NOW_NS)
    expect(kindsOf(records)).toEqual([Kind.BOOT, Kind.TOMBSTONE])
    expect(hex(statementsOf(records)[1]!.tombstone!.bootId)).toBe(hex(BOOT_ID))
  })

  test('a stream that is idle ends, is forgotten, and goes on without a gap when its tenant comes back', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    expect(evidence.idleTenants(NOW_NS, 10)).toEqual([])
    expect(evidence.idleTenants(NOW_NS + 1n, 0)).toEqual([])
    const idle = evidence.idleTenants(NOW_NS + 1n, 10)
    expect(idle).toEqual(['acme'])
    commit(store, evidence.end(idle, acme, NOW_NS + 1n).statements)
    evidence.forget(idle)
    expect([evidence.tenants, evidence.isActive('acme')]).toEqual([[], false])
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 2n).statements)
    commit(store, evidence.shutdown(acme, NOW_NS + 3n).statements)
    expect(assertWhole(store).map(({ kind }) => kind)).toEqual([
      Kind.BOOT,
      Kind.BATCH,
      Kind.SHUTDOWN,
      Kind.BATCH,
      Kind.SHUTDOWN,
    ])
  })

  test.each<[name: string, between: (evidence: Evidence, store: Map<string, Uint8Array>) => void]>([
    [
      'signs while its end is on the way to the store',
      (evidence, store) => commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 2n).statements),
    ],
    ['was not ended for want of its key', () => {}],
    [
      'has a failed commit',
      (evidence) => evidence.failed(evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 2n).statements),
    ],
  ])('a stream that %s is not forgotten', (name, between) => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    const keys = name.includes('want of its key') ? new Map<string, SigningKey>() : acme
    const { statements } = evidence.end(['acme'], keys, NOW_NS + 1n)
    between(evidence, store)
    commit(store, statements)
    evidence.forget(['acme'])
    expect(evidence.tenants).toEqual(['acme'])
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 3n).statements)
    assertWhole(store)
  })

  test('a stream whose end did not reach the store is kept, and hands it out again', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    evidence.failed(evidence.end(['acme'], acme, NOW_NS + 1n).statements)
    expect(evidence.idleTenants(NOW_NS + 5n, 10)).toEqual([])
    commit(store, evidence.flush(acme, NOW_NS + 2n).statements)
    expect(assertWhole(store).map(({ kind }) => kind)).toEqual([Kind.BOOT, Kind.BATCH, Kind.SHUTDOWN])
  })

  test('a tip that cannot be read or a key that cannot sign moves nothing', () => {
    const broken = new Evidence({ instanceId: 'i', bootId: BOOT_ID }, () => Buffer.from('nonsense'))
    expect(() => broken.sign(oneSpan, ['acme'], acme, NOW_NS)).toThrow()
    expect(broken.tenants).toEqual([])
    const evidence = newEvidence()
    const body = encode({
      resourceSpans: [resourceSpans([span(0, [compliant])]), resourceSpans([span(1, [compliant])])],
    })
    const unusable = new Map(both).set('__proto__', {
      keyId: 'k2',
      privateKey: createSecretKey(Buffer.alloc(32)),
    })
    expect(() => evidence.sign(body, ['acme', '__proto__'], unusable, NOW_NS)).toThrow()
    const signed = evidence.sign(body, ['acme', '__proto__'], both, NOW_NS)
    expect(statementsOf(signed.statements).map(({ tenant, number }) => [tenant, number])).toEqual([
      ['acme', 0],
      ['acme', 1],
      ['__proto__', 0],
      ['__proto__', 1],
    ])
  })
})

describe('statements of a failed commit', () => {
  test('are handed out again with the next ones, with a tombstone for their spans', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    evidence.failed(evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    const next = evidence.sign(oneSpan, ['acme'], acme, NOW_NS + 1n)
    expect(kindsOf(next.statements)).toEqual([Kind.BOOT, Kind.BATCH, Kind.TOMBSTONE, Kind.BATCH])
    expect(statementsOf(next.statements)[2]!.tombstone).toMatchObject({
      number: 1,
      reason: Reason.NOT_STORED,
    })
    expect(next.refs).toMatchObject([{ number: 3 }])
    expect(evidence.pendingCount).toBe(0)
    commit(store, next.statements)
    assertWhole(store)
  })

  test('come back as often as the commit fails, with one tombstone per batch', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    for (let i = 0; i < 5; i++) evidence.failed(evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    commit(store, evidence.flush(acme, NOW_NS).statements)
    const statements = assertWhole(store)
    expect(statements.filter(({ kind }) => kind === Kind.BATCH)).toHaveLength(5)
    const buried = statements
      .filter(({ kind }) => kind === Kind.TOMBSTONE)
      .map(({ tombstone }) => tombstone!.number)
    expect(buried.sort()).toEqual(
      statements
        .filter(({ kind }) => kind === Kind.BATCH)
        .map(({ number }) => number)
        .sort(),
    )
    expect(evidence.flush(acme, NOW_NS)).toEqual({ statements: [], missing: [] })
  })

  test('leave no gap when later commits, signed meanwhile, succeed first', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    const [first, second, third] = [0, 1, 2].map(
      () => evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements,
    )
    commit(store, second!)
    evidence.failed(first!)
    commit(store, third!)
    commit(store, evidence.sign(encode(request([span(0)])), ['acme'], acme, NOW_NS).statements)
    assertWhole(store)
    const tip = statementHash(decodeSignedStatement(store.get(hex(tipKey('acme')))!).statement)
    const bootId = Buffer.alloc(16, 0xff)
    const boot = newEvidence({ bootId }, store).sign(oneSpan, ['acme'], acme, NOW_NS).statements[0]!
    expect(hex(statementOf(boot).previous)).toBe(hex(tip))
    commit(store, [boot])
    assertWhole(store)
  })

  test('wait for their own tenant, whose key signs the tombstone', () => {
    const evidence = newEvidence()
    evidence.failed(evidence.sign(oneSpan, ['__proto__'], both, NOW_NS).statements)
    expect(evidence.pendingCount).toBe(2)
    expect(
      statementsOf(evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements).map(({ tenant }) => tenant),
    ).toEqual(['acme', 'acme'])
    expect(evidence.flush(acme, NOW_NS)).toEqual({ statements: [], missing: ['__proto__'] })
    expect(kindsOf(evidence.flush(both, NOW_NS).statements)).toEqual([Kind.BOOT, Kind.BATCH, Kind.TOMBSTONE])
  })

  test('a failed heartbeat comes back, and the tip with it', () => {
    const store = new Map<string, Uint8Array>()
    const evidence = newEvidence({}, store)
    commit(store, evidence.sign(oneSpan, ['acme'], acme, NOW_NS).statements)
    const lost = evidence.heartbeat(acme, NOW_NS).statements
    evidence.failed(lost.map(({ key: at, value }) => ({ key: Buffer.from(at), value: Buffer.from(value) })))
    commit(store, evidence.flush(acme, NOW_NS).statements)
    expect(assertWhole(store).map(({ kind }) => kind)).toEqual([Kind.BOOT, Kind.BATCH, Kind.HEARTBEAT])
    const tip = decodeSignedStatement(store.get(hex(tipKey('acme')))!).statement
    expect(decodeStatement(tip).kind).toBe(Kind.HEARTBEAT)
  })

  test('are bounded: then signing is refused retryably but for a probe, which carries all of them', () => {
    const evidence = newEvidence()
    let nowNs = NOW_NS
    const handedOut: StatementRecord[] = []
    while (evidence.pendingCount < PENDING_STATEMENTS_MAX) {
      // Each round leaves a batch of its own behind; handing them out only at the end keeps the rounds small.
      const { statements } = evidence.sign(oneSpan, ['acme'], acme, nowNs)
      handedOut.push(...statements.filter((record) => !isTipRecord(record)))
      if (handedOut.length >= PENDING_STATEMENTS_MAX) evidence.failed(handedOut)
    }
    nowNs += 1n
    const probe = evidence.sign(oneSpan, ['acme'], acme, nowNs)
    expect(statementsOf(probe.statements).length).toBeGreaterThan(PENDING_STATEMENTS_MAX)
    evidence.failed(probe.statements)
    expect(() => evidence.sign(oneSpan, ['acme'], acme, nowNs + 1n)).toThrow(
      expect.objectContaining({ code: 'STORE_FAILED', isRetryable: true }),
    )
    expect(evidence.sign(oneSpan, ['acme'], acme, nowNs + 5_000_000_000n).signedCount).toBe(1)
    expect(evidence.pendingCount).toBe(0)
  })
})
