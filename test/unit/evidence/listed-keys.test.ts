// Who vouches for a key of a list, and whether somebody does whom the reader trusts.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Evidence } from '../../../src/evidence/evidence.ts'
import { keysFromJson, type Pins } from '../../../src/evidence/listed-keys.ts'
import { Verifier } from '../../../src/evidence/verify.ts'
import { signEndorsement, signingKeyId } from '../../../src/formats/endorsement.ts'
import { BOOT_ID, compliant, encode, lookup, NOW_NS, request, span, testKey } from './otlp.ts'

interface Pair {
  readonly privateKey: KeyObject
  readonly publicKey: Uint8Array
  readonly keyId: string
}

function pair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  return { privateKey, publicKey: raw, keyId: signingKeyId(raw) }
}

const CREATED_MS = Date.parse('2026-08-01T02:00:00.000Z')

function entry(of: Pair, by?: Pair, more: object = {}, tenant = 'acme'): object {
  const { keyId, publicKey } = of
  const signed = by && { tenant, keyId, publicKey, endorsedBy: by.keyId, createdMs: CREATED_MS }
  return {
    keyId,
    algorithm: 'Ed25519',
    publicKey: Buffer.from(publicKey).toString('base64'),
    createdAt: new Date(CREATED_MS).toISOString(),
    notAfter: null,
    status: by === undefined ? 'ROTATED' : 'ACTIVE',
    endorsedBy: by?.keyId ?? null,
    endorsement: by && signed ? Buffer.from(signEndorsement(signed, by.privateKey)).toString('base64') : null,
    ...more,
  }
}

const [first, second, third, stranger] = [pair(), pair(), pair(), pair()]
const list = (...keys: object[]): object => ({ tenantId: 'acme', keys })
const chain = list(entry(first), entry(second, first), entry(third, second))
const of = (documents: object[], pins: Pins, which: Pair, tenant = 'acme') =>
  keysFromJson(documents, pins)(which.keyId, tenant, 'ed25519-merkle-v1')

test('without a pin a list vouches for itself alone', () => {
  expect(of([chain], {}, first)).toMatchObject({ endorsement: 'first', isPinned: false })
  expect(of([chain], {}, third)).toMatchObject({
    endorsement: 'endorsed',
    rootKeyId: first.keyId,
    isPinned: false,
  })
})

describe('a pinned key', () => {
  test.each<[what: string, pins: Pins]>([
    ['by its id', { keyIds: [first.keyId] }],
    ['by its file', { documents: [list(entry(first))] }],
  ])('%s carries the chain that begins with it', (_what, pins) => {
    for (const each of [first, second, third])
      expect(of([chain], pins, each)).toMatchObject({ rootKeyId: first.keyId, isPinned: true })
  })

  test('in the middle of a chain carries what comes after it, and nothing before', () => {
    const pins = { keyIds: [second.keyId] }
    expect(of([chain], pins, first)).toMatchObject({ isPinned: false })
    expect(of([chain], pins, second)).toMatchObject({ endorsement: 'first', isPinned: true })
    expect(of([chain], pins, third)).toMatchObject({ rootKeyId: second.keyId, isPinned: true })
  })

  test('counts although its endorser was revoked, and not when it was revoked itself', () => {
    const keys = list(entry(first, undefined, { status: 'REVOKED' }), entry(second, first))
    expect(of([keys], {}, second)).toMatchObject({ endorsement: 'endorser_revoked', isPinned: false })
    expect(of([keys], { keyIds: [second.keyId] }, second)).toMatchObject({ isPinned: true, isRevoked: false })
    expect(of([keys], { keyIds: [first.keyId] }, first)).toMatchObject({ isRevoked: true })
    expect(of([keys], { keyIds: [first.keyId] }, second)).toMatchObject({ endorsement: 'endorser_revoked' })
  })

  test('that is in no list, or in the lists of two tenants, is a mistake to be told', () => {
    expect(() => of([chain], { keyIds: [stranger.keyId] }, first)).toThrow('in no list')
    const claimed = { tenantId: 'beta', keys: [entry(first)] }
    expect(() => of([chain, claimed], { keyIds: [first.keyId] }, first)).toThrow('several tenants')
  })

  test('of a file is pinned for the tenant of that file alone', () => {
    const claimed = { tenantId: 'beta', keys: [entry(first)] }
    const pins = { documents: [list(entry(first))] }
    expect(of([claimed], pins, first, 'beta')).toMatchObject({ isPinned: false })
    expect(of([claimed], pins, first, 'acme')).toMatchObject({ isPinned: true })
  })
})

test('a trusted file pins all that is good in it, and nothing that it calls bad itself', () => {
  const bad = entry(third, stranger, { endorsedBy: second.keyId })
  const pins = { documents: [list(entry(second, first), bad)] }
  expect(of([], pins, second)).toMatchObject({ isPinned: true })
  expect(of([], pins, third)).toMatchObject({ endorsement: 'bad', isPinned: false })
})

test.each<[what: string, keys: () => object[], verdict: string]>([
  ['for another tenant', () => [entry(first), entry(second, first, {}, 'beta')], 'bad'],
  [
    'by another key than it names',
    () => [entry(first), entry(second, stranger, { endorsedBy: first.keyId })],
    'bad',
  ],
  [
    'at another time',
    () => [entry(first), entry(second, first, { createdAt: '2026-08-01T02:00:00.001Z' })],
    'bad',
  ],
  ['by nobody', () => [entry(second, first, { endorsedBy: null })], 'bad'],
  ['without a signature', () => [entry(first), entry(second, first, { endorsement: null })], 'bad'],
  ['by a key that is not there', () => [entry(second, first)], 'endorser_unknown'],
  [
    'by a key that had ended',
    () => [entry(first, undefined, { notAfter: '2026-08-01T01:59:59.999Z' }), entry(second, first)],
    'bad',
  ],
])('endorsed %s: not trusted with its endorser', (_what, keys, verdict) => {
  const pins = { keyIds: verdict === 'bad' && keys().length > 1 ? [first.keyId] : [] }
  expect(of([list(...keys())], pins, second)).toMatchObject({ endorsement: verdict, isPinned: false })
})

test('keys are found by tenant and id, and never as secrets', () => {
  expect(of([chain], {}, first, 'beta')).toBeUndefined()
  expect(keysFromJson([chain])(first.keyId, undefined, 'ed25519-merkle-v1')).toBeUndefined()
  expect(keysFromJson([chain])(first.keyId, 'acme', 'hmac-sha256')).toBeUndefined()
})

test('a chain of thousands is followed once', () => {
  const pairs = Array.from({ length: 3_000 }, pair)
  const keys = pairs.map((each, index) => entry(each, pairs[index - 1]))
  const lookup = keysFromJson([list(...keys)], { keyIds: [pairs[0]!.keyId] })
  const startMs = performance.now()
  for (const { keyId } of pairs.toReversed())
    expect(lookup(keyId, 'acme', 'ed25519-merkle-v1')?.isPinned).toBe(true)
  expect(performance.now() - startMs).toBeLessThan(20_000)
})

test.each(['inline', 'compact'] as const)('a key that is revoked meanwhile counts no longer, %s', (proof) => {
  const revocable = testKey('k1')
  let isRevoked = false
  const evidence = new Evidence({ instanceId: 'i', bootId: BOOT_ID, policy: { proof } }, () => undefined)
  const signed = evidence.sign(
    encode(request([span(0, [compliant])])),
    ['acme'],
    new Map([['acme', revocable]]),
    NOW_NS,
  ).body
  const known = lookup(revocable)
  const verifier = new Verifier({
    keys: (...asked) => {
      const key = known(...asked)
      return key && { ...key, isRevoked }
    },
  })
  expect(verifier.add(signed).map(({ verdict }) => verdict)).toEqual(['valid'])
  isRevoked = true
  expect(verifier.add(signed).map(({ verdict }) => verdict)).toEqual(['unknown_key'])
})
