// Writes signed spans with random content, some of them changed, for the second implementation to judge:
//   node test/vectors/evidence.ts > /tmp/ours.json && python3 test/vectors/evidence.py check /tmp/ours.json
import { createSecretKey, randomBytes } from 'node:crypto'
import type { VerifyingKey } from '../../src/evidence/check.ts'
import { Evidence } from '../../src/evidence/evidence.ts'
import type { PolicyOptions } from '../../src/evidence/policy.ts'
import { verifyTraces } from '../../src/evidence/verify.ts'
import { ed25519PublicKey } from '../../src/formats/ed25519.ts'
import { jsonToProtobuf, protobufToJson } from '../../src/wire/json.ts'
import {
  attribute,
  BOOT_ID,
  encode,
  type Message,
  NOW_NS,
  resourceSpans,
  span,
  testKey,
} from '../unit/evidence/otlp.ts'

const pick = <T>(from: readonly T[]): T => from[randomBytes(1)[0]! % from.length]!
const number = (limit: number): number => randomBytes(4).readUInt32BE() % limit
const TEXTS = ['', 'a', 'é🦊', '\u0000', 'x'.repeat(300), '"\\']

function value(depth: number): Message {
  const scalars = [
    () => ({ stringValue: pick(TEXTS) }),
    () => ({ intValue: randomBytes(8).readBigInt64BE().toString() }),
    () => ({
      doubleValue: pick([0, -0, Number.NaN, Number.POSITIVE_INFINITY, randomBytes(8).readDoubleBE()]),
    }),
    () => ({ boolValue: pick([true, false]) }),
    () => ({ bytesValue: randomBytes(number(40)) }),
    () => ({}),
    () => undefined,
  ]
  if (depth === 0) return pick(scalars)()
  const lists = [
    () => ({ arrayValue: { values: Array.from({ length: number(4) }, () => value(depth - 1) ?? {}) } }),
    () => ({ kvlistValue: { values: Array.from({ length: number(4) }, () => entry(depth - 1)) } }),
  ]
  return pick([...scalars, ...lists])()
}

function entry(depth: number): Message {
  const inner = value(depth)
  return {
    key: pick(['a', 'b', 'a.b', 'é', '', 'compliance.x']),
    ...(inner === undefined ? {} : { value: inner }),
  }
}

const ed25519 = testKey('k1')
const secret = randomBytes(32)
const mac = { keyId: 's1', privateKey: createSecretKey(secret) }
const known = new Map<string, VerifyingKey>([
  ['k1', { algorithm: 'ed25519-merkle-v1', key: ed25519PublicKey(ed25519.publicKey) }],
  ['s1', { algorithm: 'hmac-sha256', key: mac.privateKey, tenant: 't' }],
])

const POLICIES: Partial<PolicyOptions>[] = [
  {},
  { select: 'all' },
  { select: 'all', resourceAttributes: ['host.name'], mutable: ['a*'] },
  { select: 'all', algorithm: 'hmac-sha256' },
  { select: ['a.*', 'é'] },
  { select: 'all', proof: 'compact' },
  { select: 'all', proof: 'compact', resourceAttributes: ['host.name'], mutable: ['a*'] },
]

function makeCase(index: number): Message {
  const policy = POLICIES[index % POLICIES.length]!
  const evidence = new Evidence({ policy, instanceId: 'made', bootId: BOOT_ID }, () => undefined)
  const spans = Array.from({ length: 1 + number(12) }, (_, i) =>
    span(
      i,
      Array.from({ length: number(8) }, () => entry(3)),
    ),
  )
  const keys = new Map([['t', policy.algorithm === 'hmac-sha256' ? mac : ed25519]])
  const { body } = evidence.sign(encode({ resourceSpans: [resourceSpans(spans)] }), ['t'], keys, NOW_NS)
  const request = JSON.parse(protobufToJson(body, 'traces'))
  if (index % 3 === 0) change(pick(request.resourceSpans[0].scopeSpans[0].spans))
  const { spans: judged } = verifyTraces(jsonToProtobuf(Buffer.from(JSON.stringify(request)), 'traces'), {
    keys: (id, _tenant, algorithm) => {
      const key = known.get(id)
      return key?.algorithm === algorithm ? key : undefined
    },
  })
  return { name: `case ${index}`, request, verdicts: judged.map(({ verdict }) => verdict) }
}

function change(target: Message): void {
  pick([
    () => target.attributes.push(attribute('new', 'x')),
    () => target.attributes.splice(number(target.attributes.length), 1),
    () => target.attributes.reverse(),
    () => {
      target.events.reverse()
    },
    () => {
      target.name = 'other'
    },
  ])()
}

const cases = Array.from({ length: 400 }, (_, index) => makeCase(index))
const publicKey = Buffer.from(ed25519.publicKey).toString('hex')
process.stdout.write(
  JSON.stringify({ keys: { t: { k1: publicKey } }, secrets: { t: { s1: secret.toString('hex') } }, cases }),
)
