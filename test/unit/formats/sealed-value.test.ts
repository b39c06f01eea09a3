import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import {
  announcementKid,
  formatAnnouncement,
  isAnnouncement,
  parseAnnouncement,
} from '../../../src/formats/announcement.ts'
import { findTokens, parseToken, unpadded } from '../../../src/formats/sealed-value.ts'
import { namedPlace, PLACE_NAMES, readPlace } from '../../../src/formats/value-place.ts'
import { OpeningKey } from '../../../src/keys/data/opening-key.ts'
import { SealingKey, type SealingKeyOptions } from '../../../src/keys/data/sealing-key.ts'
import { tenantSecret } from '../../../src/keys/data/tenant-secret.ts'
import { DoorKms } from '../kms/key-service.ts'
import { attributePlace, OUTSIDE } from './places.ts'

const never = new AbortController().signal
const options: SealingKeyOptions = {
  tenant: 'acme',
  dataClasses: ['email', 'payment_card', 'name'],
  idsBound: true,
  padded: false,
  tenantSecret: undefined,
  nowMs: 1_790_000_000_000,
}
const text = (value: string): Uint8Array => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.of(0x0a, bytes.length), bytes])
}

let kms: DoorKms
let sealing: SealingKey
let opening: OpeningKey
beforeAll(async () => {
  kms = await DoorKms.open()
  sealing = await SealingKey.generate(kms, options, never)
  opening = await OpeningKey.unwrap(kms, sealing.announcement, undefined, never)
})

const seal = (plaintext: Uint8Array, attributeKey = 'customer.email', dataClass = 'email'): string =>
  sealing.sealAll([{ plaintext, place: attributePlace(attributeKey), dataClass }])[0]!

const answerOf = (run: () => unknown): string => {
  try {
    run()
    return 'opened'
  } catch (thrown) {
    return thrown instanceof SidecarError ? `${thrown.code}: ${thrown.message}` : String(thrown)
  }
}
const REFUSED = 'SEALED_VALUE: sealed value does not open'

test('whatever is sealed opens to the same bytes, under its own class and key', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(...options.dataClasses),
      (plaintext, attributeKey, dataClass) => {
        const opened = opening.open(
          seal(plaintext, attributeKey, dataClass),
          attributePlace(attributeKey),
          OUTSIDE,
        )
        expect(Buffer.from(opened.plaintext)).toEqual(Buffer.from(plaintext))
        expect(opened.dataClass).toBe(dataClass)
      },
    ),
  )
})

describe('boundaries of length', () => {
  for (const size of [0, 1, 2, 3, 127, 128, 16_383, 16_384, 65_507, 65_508, 65_509, 1_000_000]) {
    test(`a value of ${size} bytes seals and opens, within its promised size`, () => {
      const plaintext = Buffer.alloc(size, 7)
      const token = seal(plaintext)
      expect(token.length).toBe(30 + Math.ceil(((size + 28) * 4) / 3))
      expect(
        Buffer.compare(opening.open(token, attributePlace('customer.email'), OUTSIDE).plaintext, plaintext),
      ).toBe(0)
    })
  }
})

test('every flipped bit of a token is refused with the one answer', () => {
  const token = seal(text('alice@example.com'))
  for (let at = 0; at < token.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(token, 'latin1')
      flipped[at]! ^= 1 << bit
      expect(
        answerOf(() => opening.open(flipped.toString('latin1'), attributePlace('customer.email'), OUTSIDE)),
      ).toBe(REFUSED)
    }
  }
})

test('every truncation and every extension of a token is refused with the one answer', () => {
  const token = seal(text('alice@example.com'))
  for (let end = 0; end < token.length; end++) {
    expect(answerOf(() => opening.open(token.slice(0, end), attributePlace('customer.email'), OUTSIDE))).toBe(
      REFUSED,
    )
  }
  for (const rest of ['A', '=', ' ', '.', '\n', token]) {
    expect(answerOf(() => opening.open(token + rest, attributePlace('customer.email'), OUTSIDE))).toBe(
      REFUSED,
    )
    expect(answerOf(() => opening.open(rest + token, attributePlace('customer.email'), OUTSIDE))).toBe(
      REFUSED,
    )
  }
})

test('a token does not open in another attribute', () => {
  const token = seal(text('alice@example.com'))
  for (const key of [
    '',
    'customer.emai',
    'customer.email2',
    'Customer.email',
    'customer.email\0',
    '@span.name',
  ]) {
    expect(answerOf(() => opening.open(token, attributePlace(key), OUTSIDE))).toBe(REFUSED)
  }
})

test('a token does not open under the key of another tenant, nor of the same tenant', async () => {
  const token = seal(text('alice@example.com'))
  for (const tenant of ['acme', 'acme2', '__proto__', '']) {
    const other = await SealingKey.generate(kms, { ...options, tenant }, never)
    const key = await OpeningKey.unwrap(kms, other.announcement, undefined, never)
    expect(answerOf(() => key.open(token, attributePlace('customer.email'), OUTSIDE))).toBe(REFUSED)
    const renamed = token.replace(sealing.kid, other.kid)
    expect(answerOf(() => key.open(renamed, attributePlace('customer.email'), OUTSIDE))).toBe(REFUSED)
  }
})

test('an announcement edited in any field does not unwrap, or names another key', async () => {
  const good = parseAnnouncement(sealing.announcement)!
  const edits = {
    tenant: { ...good, context: { tenantId: 'other', purpose: 'pii' } },
    purpose: { ...good, context: { tenantId: 'acme', purpose: 'probe' } },
    extraKeyId: { ...good, context: { tenantId: 'acme', purpose: 'pii', keyId: 'x' } },
    commitment: { ...good, commitment: Buffer.alloc(32, 1) },
    wrappedKey: { ...good, wrappedKey: Buffer.from(good.wrappedKey).fill(good.wrappedKey[20]! ^ 9, 20, 21) },
    provider: { ...good, provider: 'aws' },
    masterKeyId: { ...good, masterKeyId: `${good.masterKeyId}x` },
    classes: { ...good, classes: ['email'] },
    createdMs: { ...good, createdMs: 5 },
    idsBound: { ...good, idsBound: false },
    padded: { ...good, padded: true },
    secret: { ...good, tenantSecretId: 'A'.repeat(22) },
  } as const
  for (const [name, edited] of Object.entries(edits)) {
    const announcement = formatAnnouncement(edited)
    expect(announcementKid(announcement), name).not.toBe(sealing.kid)
    await expect(OpeningKey.unwrap(kms, announcement, undefined, never), name).rejects.toThrow(
      name === 'masterKeyId' ? 'key_not_found' : 'sealed value does not open',
    )
  }
})

test('another data key of the same tenant, put into an announcement, fails at the commitment', async () => {
  const foreign = await kms.generateDataKey({ tenantId: 'acme', purpose: 'pii' }, never)
  const good = parseAnnouncement(sealing.announcement)!
  const announcement = formatAnnouncement({ ...good, wrappedKey: foreign.wrapped })
  await expect(OpeningKey.unwrap(kms, announcement, undefined, never)).rejects.toThrow(
    'sealed value does not open',
  )
})

test('nonces never repeat and count up from zero', () => {
  const nonces = new Set<string>()
  const before = sealing.usesCount
  const items = Array.from({ length: 5_000 }, (_, index) => ({
    plaintext: text(String(index)),
    place: attributePlace('k'),
    dataClass: 'name',
  }))
  const tokens = sealing.sealAll(items)
  for (const token of tokens) nonces.add(Buffer.from(parseToken(token)!.nonce).toString('hex').slice(8))
  expect(nonces.size).toBe(items.length)
  const last = Buffer.from(parseToken(tokens.at(-1)!)!.nonce).readBigUInt64BE(4)
  expect(last).toBe(BigInt(before + items.length - 1))
  tokens.forEach((token, index) => {
    expect(Buffer.from(opening.open(token, attributePlace('k'), OUTSIDE).plaintext)).toEqual(
      Buffer.from(items[index]!.plaintext),
    )
  })
})

test('a class that is not announced cannot be sealed', () => {
  expect(() => seal(text('x'), 'k', 'secret')).toThrow('data class is not announced by this key')
  expect(() => seal(text('x'), 'k', '__proto__')).toThrow('data class is not announced by this key')
})

test('more attribute keys than are remembered, and very long ones, still open', () => {
  for (let index = 0; index < 5_000; index++) {
    const key = `key.${index}${index % 100 === 0 ? 'x'.repeat(300) : ''}`
    const token = seal(text('v'), key, 'name')
    if (index % 250 === 0) expect(opening.open(token, attributePlace(key), OUTSIDE).dataClass).toBe('name')
  }
})

describe('bound to the ids around it', () => {
  const ids = Buffer.alloc(24, 0xab)
  const others = [
    undefined,
    Buffer.alloc(24),
    Buffer.concat([ids.subarray(0, 16), Buffer.alloc(8, 1)]),
    Buffer.concat([Buffer.alloc(16, 1), ids.subarray(16)]),
  ]

  test('a value opens with its own trace and span id only, and one of a resource with none', () => {
    const item = { plaintext: text('x'), place: attributePlace('k'), dataClass: 'name' }
    const [bound, free] = sealing.sealAll([{ ...item, ids }, item]) as [string, string]
    expect(opening.open(bound, item.place, [...others, ids]).dataClass).toBe('name')
    expect(answerOf(() => opening.open(bound, item.place, others))).toBe(REFUSED)
    expect(opening.open(free, item.place, OUTSIDE).dataClass).toBe('name')
    expect(answerOf(() => opening.open(free, item.place, [ids, ...others.slice(1)]))).toBe(REFUSED)
  })

  test('a setting gives it up', async () => {
    const key = await SealingKey.generate(kms, { ...options, idsBound: false }, never)
    const opener = await OpeningKey.unwrap(kms, key.announcement, undefined, never)
    const [token] = key.sealAll([
      { plaintext: text('x'), place: attributePlace('k'), dataClass: 'name', ids },
    ]) as [string]
    for (const other of others) {
      expect(opener.open(token, attributePlace('k'), [other]).dataClass).toBe('name')
    }
  })
})

test('no two places open each other', () => {
  const places = [
    attributePlace('a', 'b'),
    attributePlace('a.b'),
    attributePlace('a', '1:b'),
    attributePlace('a1:b'),
    attributePlace('@span.name'),
    attributePlace(''),
    attributePlace('', ''),
    namedPlace('span.name', [])!,
    namedPlace('log.body', [])!,
    namedPlace('log.body', ['a', 'b'])!,
    ...PLACE_NAMES.filter((name) => !['attribute', 'span.name', 'log.body'].includes(name)).map(
      (name) => namedPlace(name, [])!,
    ),
  ]
  expect(new Set(places).size).toBe(places.length)
  for (const place of places) {
    const [token] = sealing.sealAll([{ plaintext: text('x'), place, dataClass: 'name' }]) as [string]
    for (const other of places) {
      const answer = answerOf(() => opening.open(token, other, OUTSIDE))
      expect(answer, `${place} at ${other}`).toBe(other === place ? 'opened' : REFUSED)
    }
  }
})

test.each(['p', '0/p', '0/9:p', '0/-1:p', '0/x:p', '0/1:pp', '0/1:p1'])('%j is no place', (text) => {
  expect(() => readPlace(text)).toThrow()
})

test('any path of keys reads as it was written', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 6 }), (path) => {
      expect(readPlace(attributePlace(...path))).toEqual({ number: 0, path })
    }),
  )
})

describe('padding', () => {
  test('a token tells a size class and not the size, and opens to what it was', async () => {
    const key = await SealingKey.generate(kms, { ...options, padded: true }, never)
    const opener = await OpeningKey.unwrap(kms, key.announcement, undefined, never)
    const lengths = new Map<number, number>()
    for (let size = 0; size < 1_100; size++) {
      const plaintext = Buffer.alloc(size, size % 3 === 0 ? 0 : 0x80)
      const [token] = key.sealAll([{ plaintext, place: attributePlace('k'), dataClass: 'name' }]) as [string]
      expect(Buffer.from(opener.open(token, attributePlace('k'), OUTSIDE).plaintext)).toEqual(plaintext)
      lengths.set(token.length, size)
    }
    expect([...lengths.values()]).toEqual([15, 31, 63, 127, 255, 511, 767, 1_023, 1_099])
  })

  test.each(['', '80', '00', '6180', `61${'00'.repeat(15)}`, `6180${'00'.repeat(13)}01`])(
    'bytes that padding does not make are refused: %s',
    (hex) => {
      expect(unpadded(Buffer.from(hex, 'hex'))).toBeUndefined()
    },
  )
})

test('a key with a tenant secret opens with that secret and no other', async () => {
  const secret = tenantSecret(Buffer.alloc(32, 3))
  const key = await SealingKey.generate(kms, { ...options, tenantSecret: secret }, never)
  const token = key.sealAll([{ plaintext: text('x'), place: attributePlace('k'), dataClass: 'name' }])[0]!
  const opener = await OpeningKey.unwrap(kms, key.announcement, secret, never)
  expect(opener.open(token, attributePlace('k'), OUTSIDE).dataClass).toBe('name')
  await expect(OpeningKey.unwrap(kms, key.announcement, undefined, never)).rejects.toThrow('does not open')
  const wrong = { id: secret.id, bytes: Buffer.alloc(32, 4) }
  await expect(OpeningKey.unwrap(kms, key.announcement, wrong, never)).rejects.toThrow('does not open')
})

describe('announcements', () => {
  test('only the canonical text under its own name is one', () => {
    const { announcement, announcementKey } = sealing
    expect(isAnnouncement(announcementKey, announcement)).toBe(true)
    expect(isAnnouncement(`betrace.key.${'A'.repeat(22)}`, announcement)).toBe(false)
    const variants = {
      space: announcement.replace('{"v":1,', '{"v":1, '),
      order: announcement.replace(/"v":1,("provider":"local")/, '$1,"v":1'),
      escape: announcement.replace('"local"', '"\\u006cocal"'),
      extra: announcement.replace('{"v":1,', '{"v":1,"x":1,'),
      twice: announcement.replace('{"v":1,', '{"v":1,"v":1,'),
      version: announcement.replace('"v":1', '"v":2'),
      noClasses: announcement.replace(/"classes":\[[^\]]*\]/, '"classes":[]'),
      sameClass: announcement.replace(/"classes":\[[^\]]*\]/, '"classes":["a","a"]'),
      badClass: announcement.replace(/"classes":\[[^\]]*\]/, '"classes":["a.b"]'),
      badTime: announcement.replace(/"created":"[^"]*"/, '"created":"2026-02-30T00:00:00.000Z"'),
      short: announcement.slice(0, -1),
      nothing: '',
      list: '[]',
      nul: 'null',
    }
    for (const [name, variant] of Object.entries(variants)) {
      expect(variant, name).not.toBe(announcement)
      expect(parseAnnouncement(variant), name).toBeUndefined()
    }
  })

  test('a text beyond its bound is refused before it is parsed', () => {
    expect(parseAnnouncement(`${sealing.announcement}${' '.repeat(20_000)}`)).toBeUndefined()
  })
})

describe('finding tokens in text', () => {
  test('a token may stand directly before letters, dashes, dots and other tokens', () => {
    const one = seal(text('alice@example.com'))
    const two = seal(text('4111111111111111'))
    for (const [before, between, after] of [
      ['', '', ''],
      ['x', 'abc', '-_9'],
      ['enc.v1.', '.', '.v1.'],
      ['user=', '&card=', '&x=1'],
      ['A', '=', 'AAAA'],
    ] as const) {
      const line = before + one + between + two + after
      const found = findTokens(line).map(({ start, end }) => line.slice(start, end))
      expect(found).toEqual([one, two])
    }
  })

  test('what says it is longer than the text is not a token', () => {
    const token = seal(text('alice@example.com'))
    expect(findTokens(token.slice(0, -1))).toEqual([])
    expect(findTokens(`${token.slice(0, -1)} `)).toEqual([])
    expect(findTokens(`enc.v1.${'A'.repeat(22)}._____________________`)).toEqual([])
  })

  test('what begins like a token and is none is told, wherever it stands', () => {
    const token = seal(text('alice@example.com'))
    const longer = token.replace(/(?<=^.{30})./, (byte) => (byte === 'A' ? 'B' : 'A'))
    for (const [line, expected] of [
      [token, []],
      [token.slice(0, -1), [0]],
      [`${token} ${token.slice(0, 20)} ${token}`, [token.length + 1]],
      [`x${longer}`, [1]],
      ['enc.v1. is how tokens begin', []],
      [`enc.v1.${token}`, []],
      ['enc.v1.AAAAAAAA', [0]],
      ['enc.v2.x', []],
    ] as const) {
      const damaged: number[] = []
      findTokens(line, damaged)
      expect(damaged, line).toEqual(expected)
    }
  })

  test('any text is searched without throwing, and what is found is inside it', () => {
    const token = seal(text('a'))
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(token, token.slice(3), 'enc.v1.', '.', 'AAAA', '-', 'é', token.slice(0, 40)),
        ),
        (parts) => {
          const line = parts.join('')
          for (const { start, end } of findTokens(line)) expect(end <= line.length && start < end).toBe(true)
        },
      ),
    )
  })
})
