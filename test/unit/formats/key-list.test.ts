import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { signingKeyId } from '../../../src/formats/endorsement.ts'
import { LISTED_KEYS_MAX, mergeKeyLists, readKeyLists } from '../../../src/formats/key-list.ts'

function entry(more: object = {}): Record<string, unknown> {
  const { publicKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  return {
    keyId: signingKeyId(raw),
    algorithm: 'Ed25519',
    publicKey: raw.toString('base64'),
    createdAt: '2026-08-01T02:00:00.000Z',
    notAfter: null,
    status: 'ACTIVE',
    endorsedBy: null,
    endorsement: null,
    ...more,
  }
}

const key = entry()
const other = entry()
const list = (...keys: unknown[]): object => ({ tenantId: 'acme', keys })

test('reads a list, and several in an array', () => {
  const read = readKeyLists([list(key), { tenantId: 'beta', keys: [other] }])
  expect(read.map(({ tenantId, keys }) => [tenantId, [...keys.keys()]])).toEqual([
    ['acme', [key.keyId]],
    ['beta', [other.keyId]],
  ])
})

describe('a list in which anything is unclear is unusable as a whole', () => {
  const NOT_SOUND = Buffer.alloc(32).toString('base64')
  const cases: readonly (readonly [what: string, document: unknown, message: string])[] = [
    ['nothing', null, 'a key file is'],
    ['no list', { keys: [] }, 'a key file is'],
    ['keys that are none', { tenantId: 'acme', keys: {} }, 'a key file is'],
    ['a list in a list', [[list(key)]], 'a key file is'],
    ['no tenant', { tenantId: '', keys: [key] }, 'a tenantId is not one'],
    ['no possible tenant', { tenantId: 'a\nb', keys: [key] }, 'a tenantId is not one'],
    ['a key that is text', list('x'), 'a key is not an object'],
    ['another algorithm', list(entry({ algorithm: 'Ed448' })), 'algorithm'],
    ['another spelling of the algorithm', list(entry({ algorithm: 'ed25519' })), 'algorithm'],
    ['no algorithm', list(entry({ algorithm: undefined })), 'algorithm'],
    ['an unknown status', list(entry({ status: 'RETIRED' })), 'status'],
    ['a status in small letters', list(entry({ status: 'revoked' })), 'status'],
    ['no status', list(entry({ status: null })), 'status'],
    ['the id of another key', list({ ...key, keyId: other.keyId }), 'keyId'],
    ['the key of another id', list({ ...key, publicKey: other.publicKey }), 'keyId'],
    ['a short id', list({ ...key, keyId: String(key.keyId).slice(0, -1) }), 'keyId'],
    [
      'base64 without its padding',
      list({ ...key, publicKey: String(key.publicKey).replace('=', '') }),
      'base64',
    ],
    [
      'a public key of 31 bytes',
      list({ ...key, publicKey: Buffer.alloc(31, 3).toString('base64') }),
      'publicKey',
    ],
    ['a public key of small order', list({ ...key, publicKey: NOT_SOUND }), 'publicKey'],
    ['no time of creation', list(entry({ createdAt: null })), 'createdAt'],
    ['a time of creation in another form', list(entry({ createdAt: '2026-08-01T02:00:00Z' })), 'createdAt'],
    ['a time in 1969', list(entry({ createdAt: '1969-12-31T23:59:59.999Z' })), 'createdAt'],
    ['an end that is a number', list(entry({ notAfter: 0 })), 'notAfter'],
    ['an end in another form', list(entry({ notAfter: 'never' })), 'notAfter'],
    ['an endorser that is no text', list(entry({ endorsedBy: 5 })), 'endorsedBy'],
    ['an empty endorser', list(entry({ endorsedBy: '' })), 'endorsedBy'],
    ['an endorsement that is no base64', list(entry({ endorsement: '?' })), 'endorsement'],
    ['an empty endorsement', list(entry({ endorsement: '' })), 'endorsement'],
    ...Object.entries({
      status: 'REVOKED',
      createdAt: '2026-08-01T02:00:00.001Z',
      notAfter: '2027-08-01T02:00:00.000Z',
      endorsedBy: 'somebody',
      endorsement: 'AAAA',
    }).map(
      ([name, value]) =>
        [
          `a key listed twice, with another ${name}`,
          list(key, other, { ...key, [name]: value }),
          'twice',
        ] as const,
    ),
    [
      'a key listed twice, in two lists of one tenant in one file',
      [list(key), list({ ...key, status: 'REVOKED' })],
      'twice',
    ],
    ['more keys than any tenant has', list(...Array(LISTED_KEYS_MAX + 1).fill(key)), 'too many'],
  ]
  test.each(cases)('%s', (_what, document, message) => {
    expect(() => readKeyLists(document)).toThrow(message)
    if (Array.isArray(document)) return
    // Also where a good list stands beside it.
    expect(() => readKeyLists([list(other), document])).toThrow(message)
  })
})

test('a key listed twice with the same facts is one', () => {
  expect(readKeyLists(list(key, { ...key })).map(({ keys }) => keys.size)).toEqual([1])
})

describe('lists of several files', () => {
  const merged = (...documents: object[]) =>
    mergeKeyLists(documents.flatMap(readKeyLists)).get('acme')!.get(String(key.keyId))

  test('a key that has ended since stays ended, whichever file comes first', () => {
    const now = list({ ...key, status: 'ROTATED', notAfter: '2026-09-01T00:00:00.000Z' })
    for (const documents of [
      [list(key), now],
      [now, list(key)],
    ])
      expect(merged(...documents)).toMatchObject({
        status: 'ROTATED',
        notAfterMs: Date.parse('2026-09-01T00:00:00.000Z'),
      })
    const revoked = list({ ...key, status: 'REVOKED', notAfter: '2026-08-20T00:00:00.000Z' })
    expect(merged(now, revoked, list(key))).toMatchObject({
      status: 'REVOKED',
      notAfterMs: Date.parse('2026-08-20T00:00:00.000Z'),
    })
  })

  test.each(['createdAt', 'endorsedBy', 'endorsement'])('do not agree on %s: unusable', (name) => {
    const value = { createdAt: '2026-08-01T02:00:00.001Z', endorsedBy: 'x', endorsement: 'AAAA' }[name]
    expect(() => merged(list(key), list({ ...key, [name]: value }))).toThrow('twice')
  })

  test('each vouches for its own tenant alone', () => {
    const all = mergeKeyLists(readKeyLists([list(key), { tenantId: 'beta', keys: [other] }]))
    expect(all.get('acme')!.has(String(other.keyId))).toBe(false)
  })
})

test('whatever a file holds, it is read or refused with one constant line', () => {
  const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000_000)
  const good = JSON.parse(
    readFileSync(new URL('../../vectors/key-endorsement.json', import.meta.url), 'utf8'),
  ).lists as object[]
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(
      null,
      '',
      'ACTIVE',
      0,
      -1,
      1e308,
      [],
      {},
      'A'.repeat(44),
      '2026-08-01T02:00:00.000Z',
    ),
  )
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(), anything), { minLength: 1, maxLength: 4 })
  console.log(`key lists: seed ${seed}`)
  fc.assert(
    fc.property(edits, (changes) => {
      const document = structuredClone(good[changes[0]![0] % good.length]!) as {
        keys: Record<string, unknown>[]
      }
      for (const [which, where, how, value] of changes) {
        const target = how % 5 === 0 ? document : document.keys[which % document.keys.length]
        if (typeof target !== 'object' || target === null) continue
        const names = Object.keys(target)
        Object.assign(target, { [names[where % names.length] ?? 'x']: value })
        if (!Array.isArray(document.keys) || document.keys.length === 0) break
      }
      try {
        readKeyLists(document)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(SidecarError)
        expect((thrown as SidecarError).code).toBe('USAGE')
        expect((thrown as SidecarError).message).toMatch(/^[a-zA-Z0-9 ,.:{}"[\]]{5,90}$/)
      }
    }),
    { seed, numRuns: 2_000 },
  )
})
