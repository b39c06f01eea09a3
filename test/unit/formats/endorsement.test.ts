// test/vectors/key-endorsement.json was made by a second implementation, in Python, that follows proto/key-endorsement.md.
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import {
  checkEndorsement,
  type EndorsedKey,
  type Endorsement,
  endorsedKeyOf,
  endorsementBytes,
  judgeEndorsements,
  type PublicKeyRecord,
  signEndorsement,
  signingKeyId,
} from '../../../src/formats/endorsement.ts'
import { readKeyLists } from '../../../src/formats/key-list.ts'

interface List {
  readonly name: string
  readonly tenantId: string
  readonly keys: readonly PublicKeyRecord[]
  readonly usable: boolean
  readonly statements?: Readonly<Record<string, string>>
  readonly verdicts?: Readonly<Record<string, string>>
}

const file = new URL('../../vectors/key-endorsement.json', import.meta.url)
// The file is checked in; its shape is what the tests below hold it to.
const { lists } = JSON.parse(readFileSync(file, 'utf8')) as { lists: readonly List[] }

test('there are vectors of every verdict', () => {
  expect(lists.length).toBeGreaterThanOrEqual(15)
  expect(lists.filter(({ usable }) => !usable).length).toBeGreaterThanOrEqual(15)
  expect(new Set(lists.flatMap(({ verdicts = {} }) => Object.values(verdicts)))).toEqual(
    new Set(['first', 'endorsed', 'bad', 'endorser_unknown', 'endorser_revoked']),
  )
})

for (const { name, tenantId, keys, usable, statements = {}, verdicts } of lists) {
  test(`vector: ${name}, ${JSON.stringify(tenantId)}`, () => {
    if (!usable) return expect(() => readKeyLists({ tenantId, keys })).toThrow(SidecarError)
    const [read] = readKeyLists({ tenantId, keys })
    const expected = [...new Map(keys.map((key) => [key.keyId, endorsedKeyOf(key)])).values()]
    expect([...read!.keys.values()].map(comparable)).toEqual(expected.map(comparable))
    const judged = judgeEndorsements(tenantId, [...read!.keys.values()])
    expect(Object.fromEntries(judged)).toEqual(verdicts)
    for (const record of keys) {
      const key = endorsedKeyOf(record)
      if (key.endorsedBy === '') continue
      const signed = Buffer.from(endorsementBytes({ ...key, tenant: tenantId }))
      expect(signed.toString('hex')).toMatch(new RegExp(`${statements[record.keyId]!}$`))
    }
    if (name === 'a chain of four')
      for (const record of keys) expect(signingKeyId(endorsedKeyOf(record).publicKey)).toBe(record.keyId)
  })
}

/** Buffers and plain arrays of equal bytes count as equal. */
const comparable = (key: ReturnType<typeof endorsedKeyOf>): object => ({
  ...key,
  publicKey: Buffer.from(key.publicKey).toString('hex'),
  endorsement: Buffer.from(key.endorsement).toString('hex'),
})

function pair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  return { privateKey, publicKey: new Uint8Array(raw), keyId: signingKeyId(raw) }
}

describe('an endorsement', () => {
  const [old, next, other] = [pair(), pair(), pair()]
  const endorsement: Endorsement = {
    tenant: 'acme',
    keyId: next.keyId,
    publicKey: next.publicKey,
    endorsedBy: old.keyId,
    createdMs: 1_790_000_000_000,
  }
  const signature = signEndorsement(endorsement, old.privateKey)

  test('verifies under the key that made it, and under no other', () => {
    expect(checkEndorsement(endorsement, old.publicKey, signature)).toBe(true)
    expect(checkEndorsement(endorsement, next.publicKey, signature)).toBe(false)
    expect(checkEndorsement(endorsement, other.publicKey, signature)).toBe(false)
  })

  const changes: Record<string, Partial<Endorsement>> = {
    tenant: { tenant: 'acmf' },
    'a tenant that takes a byte of the key id': {
      tenant: `acme${next.keyId[0]}`,
      keyId: next.keyId.slice(1),
    },
    'key id': { keyId: other.keyId },
    'public key': { publicKey: other.publicKey },
    endorser: { endorsedBy: other.keyId },
    'time, by a millisecond': { createdMs: endorsement.createdMs + 1 },
    'no time': { createdMs: Number.NaN },
  }
  for (const [what, change] of Object.entries(changes))
    test(`does not verify for another statement: ${what}`, () =>
      expect(checkEndorsement({ ...endorsement, ...change }, old.publicKey, signature)).toBe(false))

  test('does not verify with any bit of its signature flipped, or cut short', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 511 }), (bit) => {
        const spoilt = Uint8Array.from(signature)
        spoilt[bit >> 3]! ^= 1 << (bit & 7)
        return !checkEndorsement(endorsement, old.publicKey, spoilt)
      }),
    )
    for (const length of [0, 32, 63])
      expect(checkEndorsement(endorsement, old.publicKey, signature.subarray(0, length))).toBe(false)
    expect(checkEndorsement(endorsement, new Uint8Array(0), signature)).toBe(false)
  })

  test('a chain of a thousand is followed in any order', () => {
    const pairs = Array.from({ length: 1_000 }, pair)
    const keys = pairs.map(({ keyId, publicKey }, index): EndorsedKey => {
      const endorser = pairs[index - 1]
      const createdMs = 1_790_000_000_000 + index
      const endorsedBy = endorser?.keyId ?? ''
      const signed = { tenant: 'acme', keyId, publicKey, endorsedBy, createdMs }
      const by = endorser && signEndorsement(signed, endorser.privateKey)
      return {
        keyId,
        publicKey,
        createdMs,
        status: 'ACTIVE',
        endorsedBy,
        endorsement: by ?? new Uint8Array(0),
      }
    })
    for (const order of [keys, keys.toReversed()]) {
      const verdicts = judgeEndorsements('acme', order)
      expect(verdicts.size).toBe(1_000)
      expect([...verdicts.values()].filter((verdict) => verdict !== 'endorsed')).toEqual(['first'])
    }
  })
})
