// The compact form as it is written, read first by the words of proto/evidence.md §5 alone, and then by our own verifier.
import { createHash, verify as verifySignature } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { CanonicalForm } from '../../../src/evidence/canonical.ts'
import type { KeyLookup } from '../../../src/evidence/check.ts'
import { Evidence, type EvidenceOptions, type SigningKey } from '../../../src/evidence/evidence.ts'
import { compileCoverage, Policy } from '../../../src/evidence/policy.ts'
import { SpanWalk } from '../../../src/evidence/span-walk.ts'
import { DEFAULT_COVERAGE, decodeStatement, pae, STATEMENT_TYPE } from '../../../src/evidence/statement.ts'
import { verifyTraces } from '../../../src/evidence/verify.ts'
import { ed25519PublicKey } from '../../../src/formats/ed25519.ts'
import {
  attribute,
  BOOT_ID,
  compliant,
  decode,
  encode,
  type Message,
  NOW_NS,
  request,
  resourceSpans,
  span,
  testKey,
} from './otlp.ts'

const key = testKey('k1')
const other = testKey('k2')
const keys = new Map<string, SigningKey>([
  ['acme', key],
  ['beta', other],
])

function sign(body: Message, tenants: readonly string[], options: Partial<EvidenceOptions> = {}): Uint8Array {
  const evidence = new Evidence(
    { instanceId: 'sidecar-1', bootId: BOOT_ID, policy: { proof: 'compact', select: 'all' }, ...options },
    () => undefined,
  )
  return evidence.sign(encode(body), tenants, keys, NOW_NS).body
}

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const nodeOf = (left: Buffer, right: Buffer): Buffer => sha256(Uint8Array.of(1), left, right)
const nodes = (text = ''): Buffer[] =>
  (text.match(/.{43}/g) ?? []).map((each) => Buffer.from(each, 'base64url'))

function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0]!
  const half = 2 ** (Math.ceil(Math.log2(hashes.length)) - 1)
  return nodeOf(rootOf(hashes.slice(0, half)), rootOf(hashes.slice(half)))
}

function leavesOf(body: Uint8Array): Buffer[] {
  const form = new CanonicalForm(compileCoverage(DEFAULT_COVERAGE))
  const leaves: Buffer[] = []
  new SpanWalk({
    resource() {},
    scope() {},
    span: (each) => void leaves.push(Buffer.from(form.leaf(each), 'latin1')),
  }).run(body)
  return leaves
}

interface Resource {
  readonly statements: [string, string][]
  readonly references: string[]
}

function resourcesOf(body: Uint8Array): Resource[] {
  return decode(body).resourceSpans.map((group: Message) => ({
    statements: (group.resource?.attributes ?? [])
      .filter((each: Message) => each.key.startsWith('betrace.statement.'))
      .map((each: Message) => [each.key.slice('betrace.statement.'.length), each.value.stringValue]),
    references: group.scopeSpans
      .flatMap((scope: Message) => scope.spans)
      .map((each: Message) => {
        const signature = each.attributes.filter((one: Message) => one.key.startsWith('span.signature'))
        expect(signature.map((one: Message) => one.key)).toEqual(['span.signature'])
        return signature[0].value.stringValue
      }),
  }))
}

/** Follows every span of a body to a root that its tenant's key has signed. */
function expectGood(body: Uint8Array, tenants: readonly string[]): void {
  const leaves = leavesOf(body)
  resourcesOf(body).forEach(({ statements, references }, group) => {
    expect(statements.length).toBe(1)
    const [id, value] = statements[0]!
    const [version, ...parts] = value.split('.')
    const [statement, signature, policy] = parts.map((part) => Buffer.from(part, 'base64url'))
    expect(version).toBe('v1')
    expect(id).toBe(sha256(statement!).subarray(0, 16).toString('base64url'))
    const { tenant, root, leafCount = 0, policyId } = decodeStatement(statement!)
    expect(tenant).toBe(tenants[group])
    expect(sha256(policy!)).toEqual(Buffer.from(policyId))
    const publicKey = ed25519PublicKey(tenant === 'acme' ? key.publicKey : other.publicKey)
    expect(verifySignature(null, pae(STATEMENT_TYPE, statement!), publicKey, signature!)).toBe(true)
    const row = nodes(parts[3])
    if (row.length > 0) expect(rootOf(row)).toEqual(Buffer.from(root!))
    for (const reference of references) {
      const [, sid, index, path] = reference.split('.')
      expect(sid).toBe(id)
      expect(climb(leaves.shift()!, Number(index), leafCount, nodes(path), row)).toEqual(
        row.length === 0 ? new Uint8Array(root!) : undefined,
      )
    }
  })
  expect(leaves).toEqual([])
}

/** The root; with a row nothing, once the leaf has led to its node there. */
function climb(
  leaf: Buffer,
  index: number,
  count: number,
  path: Buffer[],
  row: Buffer[],
): Uint8Array | undefined {
  let node = leaf
  while (row.length === 0 ? count > 1 : count > row.length) {
    if (index % 2 === 1) node = nodeOf(path.shift()!, node)
    else if (index + 1 < count) node = nodeOf(node, path.shift()!)
    index >>= 1
    count = Math.ceil(count / 2)
  }
  expect(path).toEqual([])
  if (row.length === 0) return new Uint8Array(node)
  expect(node).toEqual(row[index])
  return undefined
}

const spans = (count: number): Message[] => Array.from({ length: count }, (_, i) => span(i, [compliant]))

test.each([1, 2, 3, 5, 31, 32, 33, 64, 65, 512])(
  '%i spans of one resource: every one leads to the signed root',
  (count) => {
    const body = sign(request(spans(count)), ['acme'])
    expectGood(body, ['acme'])
    const row = nodes(resourcesOf(body)[0]!.statements[0]![1].split('.')[4])
    expect(row.length).toBeLessThanOrEqual(32)
    if (count > 1 && count <= 32) expect(row.length).toBe(count)
  },
)

test('resources of several sizes and tenants, without a Resource, and without a signed span', () => {
  const groups = [
    resourceSpans(spans(40)),
    resourceSpans(spans(3)),
    { scopeSpans: [{ spans: spans(2) }] },
    resourceSpans(spans(1)),
  ]
  const tenants = ['acme', 'beta', 'acme', 'acme']
  expectGood(sign({ resourceSpans: groups }, tenants), tenants)
  const unsigned = { ...resourceSpans([span(0)]), scopeSpans: [{ spans: [span(0)] }] }
  const policy = { proof: 'compact' as const }
  const mixed = sign({ resourceSpans: [unsigned, groups[1]] }, ['acme', 'acme'], { policy })
  expect(resourcesOfAny(mixed)).toEqual([0, 1])
})

const resourcesOfAny = (body: Uint8Array): number[] =>
  decode(body).resourceSpans.map(
    (group: Message) =>
      group.resource.attributes.filter((each: Message) => each.key.startsWith('betrace.statement.')).length,
  )

test('a resource that stands behind its spans gets the statement all the same', () => {
  const [head, tail] = [request([]), { resourceSpans: [{ scopeSpans: resourceSpans(spans(4)).scopeSpans }] }]
  head.resourceSpans[0].scopeSpans = []
  // Two occurrences of one message field are read as one message: the resource's bytes follow the spans'.
  const group = (body: Message): Buffer => Buffer.from(encode(body)).subarray(3)
  const inner = Buffer.concat([group(tail), Buffer.from(encode(head)).subarray(2)])
  const length = Buffer.from([(inner.length & 0x7f) | 0x80, inner.length >> 7])
  const raw = Buffer.concat([Buffer.from([0x0a]), length, inner])
  const evidence = new Evidence(
    { instanceId: 'sidecar-1', bootId: BOOT_ID, policy: { proof: 'compact', select: 'all' } },
    () => undefined,
  )
  expectGood(evidence.sign(raw, ['acme'], keys, NOW_NS).body, ['acme'])
})

test('what says to be a statement and is of no signed span is removed, whatever it holds', () => {
  const body = request(spans(2))
  body.resourceSpans[0].resource.attributes.unshift(
    attribute('betrace.statement.x', 'alice@example.com'),
    attribute(`betrace.statement.${'A'.repeat(22)}`, 'v1.a.b.c'),
    attribute('betrace.statement.', { intValue: 7 }),
  )
  const signed = sign(body, ['acme'])
  expect(Buffer.from(signed).includes('alice@example.com')).toBe(false)
  expectGood(signed, ['acme'])
  const none = sign(body, ['acme'], { policy: { proof: 'compact', select: ['nothing.*'] } })
  expect(resourcesOfAny(none)).toEqual([0])
})

test('statements of sidecars before do not make a span one to sign', () => {
  const body = request([span(0)])
  body.resourceSpans[0].resource.attributes.push(attribute('betrace.statement.x', 'y'))
  const policy = new Policy({ proof: 'compact' })
  expect(policy.selectsResource(Buffer.from('betrace.statement.x'), 0, 19)).toBe(false)
  const evidence = new Evidence(
    { instanceId: 'a', bootId: BOOT_ID, policy: { proof: 'compact' } },
    () => undefined,
  )
  expect(evidence.sign(encode(body), ['acme'], keys, NOW_NS).signedCount).toBe(0)
})

test.each([
  [1, 560],
  [32, 120],
  [512, 240],
])('%i spans a request grow by at most %i bytes each', (count, bytesMax) => {
  const body = request(spans(count))
  const added = sign(body, ['acme']).length - encode(body).length
  console.log(`compact, ${count} spans a request: ${(added / count).toFixed(0)} bytes added a span`)
  expect(added / count).toBeLessThanOrEqual(bytesMax)
})

describe('read again', () => {
  const lookUp: KeyLookup = (keyId, tenant) => {
    const owner = tenant === 'beta' ? other : key
    if (owner.keyId !== keyId) return undefined
    return { algorithm: 'ed25519-merkle-v1', key: ed25519PublicKey(owner.publicKey) }
  }
  const verdicts = (body: Message | Uint8Array): string[] =>
    verifyTraces(body instanceof Uint8Array ? body : encode(body), { keys: lookUp }).spans.map(
      ({ verdict }) => verdict,
    )
  const signed = (count: number): Message => decode(sign(request(spans(count)), ['acme']))
  const statementOf = (body: Message): Message =>
    body.resourceSpans[0].resource.attributes.find((each: Message) =>
      each.key.startsWith('betrace.statement.'),
    )
  const spansOf = (body: Message): Message[] => body.resourceSpans[0].scopeSpans[0].spans
  const signatureOf = (each: Message): Message =>
    each.attributes.find((one: Message) => one.key === 'span.signature').value

  test.each([1, 2, 33, 512])(
    '%i spans are valid, in any order and split into resources of their own',
    (count) => {
      const body = signed(count)
      expect(new Set(verdicts(body))).toEqual(new Set(['valid']))
      const { resource } = body.resourceSpans[0]
      const apart = spansOf(body)
        .toReversed()
        .map((each) => ({
          resource,
          scopeSpans: [{ scope: { name: 'lib', version: '1.2.3' }, spans: [each] }],
        }))
      expect(new Set(verdicts({ resourceSpans: apart }))).toEqual(new Set(['valid']))
    },
  )

  const put = (target: Message, name: string, value: Message): void =>
    void Object.assign(target, { [name]: value })
  const edit = (value: Message, change: (text: string) => string): void =>
    put(value, 'stringValue', change(value.stringValue))

  const CHANGES: Record<string, [change: (body: Message) => void, first: string, rest?: string]> = {
    'a changed name': [(body) => put(spansOf(body)[0], 'name', 'x'), 'tampered'],
    'a changed attribute': [
      (body) => put(spansOf(body)[0].attributes[0], 'value', { stringValue: 'x' }),
      'tampered',
    ],
    'signatures swapped': [
      (body) => {
        const [a, b] = spansOf(body).map(signatureOf) as [Message, Message]
        ;[a.stringValue, b.stringValue] = [b.stringValue, a.stringValue]
      },
      'tampered',
    ],
    'the index of another leaf': [
      (body) => {
        const value = signatureOf(spansOf(body)[0])
        value.stringValue = value.stringValue.replace(/(?<=^v1\..{22}\.)0/, '2')
      },
      'tampered',
    ],
    'an index beyond all leaves': [
      (body) => {
        const value = signatureOf(spansOf(body)[0])
        value.stringValue = value.stringValue.replace(/(?<=^v1\..{22}\.)0/, '4000')
      },
      'bad_proof',
    ],
    'a path cut': [(body) => edit(signatureOf(spansOf(body)[0]), (text) => text.slice(0, -44)), 'bad_proof'],
    'a path that is too long': [
      (body) => edit(signatureOf(spansOf(body)[0]), (text) => text + 'A'.repeat(43)),
      'bad_proof',
    ],
    'a signature stripped': [(body) => void spansOf(body)[0].attributes.pop(), 'unsigned'],
    'a second signature attribute': [
      (body) => void spansOf(body)[0].attributes.push(attribute('span.signature.key_id', 'k1')),
      'bad_proof',
    ],
    'a signature doubled': [
      (body) => void spansOf(body)[0].attributes.push(spansOf(body)[0].attributes.at(-1)),
      'bad_proof',
    ],
    'the statement gone': [
      (body) => {
        const { resource } = body.resourceSpans[0]
        resource.attributes = resource.attributes.filter((each: Message) => each !== statementOf(body))
      },
      'bad_proof',
      'bad_proof',
    ],
    'the statement doubled': [
      (body) => void body.resourceSpans[0].resource.attributes.push(statementOf(body)),
      'bad_proof',
      'bad_proof',
    ],
    'the statement renamed': [
      (body) => put(statementOf(body), 'key', `betrace.statement.${'A'.repeat(22)}`),
      'bad_proof',
      'bad_proof',
    ],
    'a node of the row changed': [
      (body) => {
        const { value } = statementOf(body)
        const row = value.stringValue.lastIndexOf('.') + 1
        const at = value.stringValue[row] === 'A' ? 'B' : 'A'
        value.stringValue = value.stringValue.slice(0, row) + at + value.stringValue.slice(row + 1)
      },
      'bad_proof',
      'bad_proof',
    ],
    'the row gone': [
      (body) => {
        const { value } = statementOf(body)
        value.stringValue = value.stringValue.slice(0, value.stringValue.lastIndexOf('.'))
      },
      'bad_proof',
      'bad_proof',
    ],
    'another policy': [
      (body) => {
        const { value } = statementOf(body)
        const parts = value.stringValue.split('.')
        parts[3] = Buffer.from(new Policy({ select: ['x'] }).document).toString('base64url')
        value.stringValue = parts.join('.')
      },
      'bad_proof',
      'bad_proof',
    ],
    'another signature': [
      (body) => {
        const { value } = statementOf(body)
        const parts = value.stringValue.split('.')
        parts[2] = Buffer.alloc(64, 1).toString('base64url')
        value.stringValue = parts.join('.')
      },
      'bad_proof',
      'bad_proof',
    ],
    'a resource that names another tenant': [
      (body) => void body.resourceSpans[0].resource.attributes.push(attribute('betrace.tenant', 'beta')),
      'bad_proof',
      'bad_proof',
    ],
    'a covered attribute of the resource': [
      (body) => put(body.resourceSpans[0].resource.attributes[0], 'value', { stringValue: 'x' }),
      'tampered',
      'tampered',
    ],
  }

  test.each(Object.entries(CHANGES))('%s is told', (_, [change, first, rest = 'valid']) => {
    const body = signed(100)
    change(body)
    const [found, second, ...others] = verdicts(body)
    expect(found).toBe(first)
    if (second !== 'tampered') expect(second).toBe(rest)
    expect(new Set(others)).toEqual(new Set([rest]))
  })

  test('a statement of a tenant counts under that tenant’s keys alone', () => {
    const body = sign(request(spans(2)), ['beta'])
    expect(verdicts(body)).toEqual(['valid', 'valid'])
    const onlyAcme: KeyLookup = (keyId, tenant) =>
      tenant === 'acme' ? lookUp(keyId, 'beta', 'ed25519-merkle-v1') : undefined
    const { spans: found } = verifyTraces(body, { keys: onlyAcme })
    expect(found.map(({ verdict }) => verdict)).toEqual(['unknown_key', 'unknown_key'])
  })

  test('a second sidecar leaves the first signature alone, with what it needs and nothing more', () => {
    const body = signed(40)
    body.resourceSpans[0].resource.attributes.unshift(
      attribute('betrace.statement.x', 'alice@example.com'),
      attribute(`betrace.statement.${'A'.repeat(22)}`, statementOf(body).value.stringValue),
    )
    const second = new Evidence(
      {
        instanceId: 'sidecar-2',
        bootId: BOOT_ID,
        policy: { proof: 'compact', select: 'all' },
        knownKeys: lookUp,
      },
      () => undefined,
    ).sign(encode(body), ['acme'], keys, NOW_NS)
    expect(second).toMatchObject({ keptCount: 40, forgedCount: 0, signedCount: 0 })
    expect(new Set(verdicts(second.body))).toEqual(new Set(['valid']))
    expect(resourcesOfAny(second.body)).toEqual([1])
    const added = decode(second.body)
    added.resourceSpans[0].scopeSpans[0].spans.push(span(41, [compliant]))
    const third = new Evidence(
      {
        instanceId: 'sidecar-3',
        bootId: BOOT_ID,
        policy: { proof: 'compact', select: 'all' },
        knownKeys: lookUp,
      },
      () => undefined,
    ).sign(encode(added), ['acme'], keys, NOW_NS)
    expect(third).toMatchObject({ keptCount: 40, signedCount: 1 })
    expect(new Set(verdicts(third.body))).toEqual(new Set(['valid']))
    expect(resourcesOfAny(third.body)).toEqual([2])
  })
})
