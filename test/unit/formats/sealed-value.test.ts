import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import {
  announcementKid,
  formatAnnouncement,
  isAnnouncement,
  parseAnnouncement,
} from '../../../src/formats/announcement.ts'
import { findTokens, parseToken } from '../../../src/formats/sealed-value.ts'
import { OpeningKey } from '../../../src/keys/data/opening-key.ts'
import { SealingKey, type SealingKeyOptions } from '../../../src/keys/data/sealing-key.ts'
import { tenantSecret } from '../../../src/keys/data/tenant-secret.ts'
import { DoorKms } from '../kms/key-service.ts'

const never = new AbortController().signal
const options: SealingKeyOptions = {
  tenant: 'acme',
  dataClasses: ['email', 'payment_card', 'name'],
  traceBound: false,
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
  sealing.sealAll([{ plaintext, attributeKey, dataClass }])[0]!

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
        const opened = opening.open(seal(plaintext, attributeKey, dataClass), attributeKey)
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
      expect(token.length).toBeLessThanOrEqual(58 + Math.ceil((size * 4) / 3) + 1)
      expect(Buffer.compare(opening.open(token, 'customer.email').plaintext, plaintext)).toBe(0)
    })
  }
})

test('every flipped bit of a token is refused with the one answer', () => {
  const token = seal(text('alice@example.com'))
  for (let at = 0; at < token.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(token, 'latin1')
      flipped[at]! ^= 1 << bit
      expect(answerOf(() => opening.open(flipped.toString('latin1'), 'customer.email'))).toBe(REFUSED)
    }
  }
})

test('every truncation and every extension of a token is refused with the one answer', () => {
  const token = seal(text('alice@example.com'))
  for (let end = 0; end < token.length; end++) {
    expect(answerOf(() => opening.open(token.slice(0, end), 'customer.email'))).toBe(REFUSED)
  }
  for (const rest of ['A', '=', ' ', '.', '\n', token]) {
    expect(answerOf(() => opening.open(token + rest, 'customer.email'))).toBe(REFUSED)
    expect(answerOf(() => opening.open(rest + token, 'customer.email'))).toBe(REFUSED)
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
    expect(answerOf(() => opening.open(token, key))).toBe(REFUSED)
  }
})

test('a token does not open under the key of another tenant, nor of the same tenant', async () => {
  const token = seal(text('alice@example.com'))
  for (const tenant of ['acme', 'acme2', '__proto__', '']) {
    const other = await SealingKey.generate(kms, { ...options, tenant }, never)
    const key = await OpeningKey.unwrap(kms, other.announcement, undefined, never)
    expect(answerOf(() => key.open(token, 'customer.email'))).toBe(REFUSED)
    const renamed = token.replace(sealing.kid, other.kid)
    expect(answerOf(() => key.open(renamed, 'customer.email'))).toBe(REFUSED)
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
    secret: { ...good, tenantSecretId: 'AAAAAAAAAAAA' },
  } as const
  for (const [name, edited] of Object.entries(edits)) {
    const announcement = formatAnnouncement(edited)
    expect(announcementKid(announcement), name).not.toBe(sealing.kid)
    await expect(OpeningKey.unwrap(kms, announcement, undefined, never), name).rejects.toThrow(
      'sealed value does not open',
    )
  }
  for (const harmless of [
    { ...good, classes: ['email'] },
    { ...good, createdMs: 5 },
    { ...good, traceBound: true },
  ]) {
    const key = await OpeningKey.unwrap(kms, formatAnnouncement(harmless), undefined, never)
    expect(answerOf(() => key.open(seal(text('x')), 'customer.email'))).toBe(REFUSED)
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
    attributeKey: 'k',
    dataClass: 'name',
  }))
  const tokens = sealing.sealAll(items)
  for (const token of tokens) nonces.add(Buffer.from(parseToken(token)!.nonce).toString('hex').slice(8))
  expect(nonces.size).toBe(items.length)
  const last = Buffer.from(parseToken(tokens.at(-1)!)!.nonce).readBigUInt64BE(4)
  expect(last).toBe(BigInt(before + items.length - 1))
  tokens.forEach((token, index) => {
    expect(Buffer.from(opening.open(token, 'k').plaintext)).toEqual(Buffer.from(items[index]!.plaintext))
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
    if (index % 250 === 0) expect(opening.open(token, key).dataClass).toBe('name')
  }
})

describe('bound to a trace', () => {
  const traceId = Buffer.alloc(16, 0xab)
  test('a value opens with its own trace id only', async () => {
    const key = await SealingKey.generate(kms, { ...options, traceBound: true }, never)
    const opener = await OpeningKey.unwrap(kms, key.announcement, undefined, never)
    const item = { plaintext: text('x'), attributeKey: 'k', dataClass: 'name' }
    const [bound, free] = key.sealAll([{ ...item, traceId }, item]) as [string, string]
    expect(opener.open(bound, 'k', traceId).dataClass).toBe('name')
    expect(answerOf(() => opener.open(bound, 'k', Buffer.alloc(16, 0xac)))).toBe(REFUSED)
    expect(answerOf(() => opener.open(bound, 'k'))).toBe(REFUSED)
    expect(opener.open(free, 'k', traceId).dataClass).toBe('name')
  })
})

test('a key with a tenant secret opens with that secret and no other', async () => {
  const secret = tenantSecret(Buffer.alloc(32, 3))
  const key = await SealingKey.generate(kms, { ...options, tenantSecret: secret }, never)
  const token = key.sealAll([{ plaintext: text('x'), attributeKey: 'k', dataClass: 'name' }])[0]!
  const opener = await OpeningKey.unwrap(kms, key.announcement, secret, never)
  expect(opener.open(token, 'k').dataClass).toBe('name')
  await expect(OpeningKey.unwrap(kms, key.announcement, undefined, never)).rejects.toThrow('does not open')
  const wrong = { id: secret.id, bytes: Buffer.alloc(32, 4) }
  await expect(OpeningKey.unwrap(kms, key.announcement, wrong, never)).rejects.toThrow('does not open')
})

describe('announcements', () => {
  test('only the canonical text under its own name is one', () => {
    const { announcement, announcementKey } = sealing
    expect(isAnnouncement(announcementKey, announcement)).toBe(true)
    expect(isAnnouncement('betrace.key.AAAAAAAAAAAA', announcement)).toBe(false)
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
    expect(findTokens('enc.v1.AAAAAAAAAAAA._____________________')).toEqual([])
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
