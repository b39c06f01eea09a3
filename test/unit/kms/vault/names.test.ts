import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { base64Bytes, ciphertextOf, parseTransitText } from '../../../../src/kms/vault/ciphertext.ts'
import { isVaultPath, parseMasterKeyId } from '../../../../src/kms/vault/path.ts'
import { parseSigningKeyName } from '../../../../src/kms/vault/signing.ts'

describe('ciphertexts', () => {
  const accepted = {
    'one byte': ['vault:v1:AA==', 1, 'AA=='],
    'two bytes': ['vault:v1:AAA=', 1, 'AAA='],
    'three bytes': ['vault:v1:AAAA', 1, 'AAAA'],
    'a late version': ['vault:v123456789:+/+/', 123_456_789, '+/+/'],
  } as const
  for (const [name, [text, version, base64]] of Object.entries(accepted)) {
    test(`${name}: read`, () => expect(parseTransitText(text)).toEqual({ version, base64 }))
  }

  const refused = {
    nothing: '',
    'no body': 'vault:v1:',
    'no prefix': 'AAAA',
    'another prefix': 'Vault:v1:AAAA',
    'version 0': 'vault:v0:AAAA',
    'a leading zero': 'vault:v01:AAAA',
    'ten digits': 'vault:v1234567890:AAAA',
    'no version': 'vault:v:AAAA',
    'a sign': 'vault:v+1:AAAA',
    'spare bits in two bytes': 'vault:v1:AAB=',
    'spare bits in one byte': 'vault:v1:AB==',
    'no padding': 'vault:v1:AA',
    'padding inside': 'vault:v1:AA==AAAA',
    'the other alphabet': 'vault:v1:-_-_',
    'a line break after it': 'vault:v1:AAAA\n',
    'a space before it': ' vault:v1:AAAA',
    'two of them': 'vault:v1:AAAA,vault:v1:AAAA',
    'a body of 16 KiB': `vault:v1:${'A'.repeat(16_384)}`,
  }
  for (const [name, text] of Object.entries(refused)) {
    test(`${name}: refused`, () => expect(parseTransitText(text)).toBe(undefined))
  }

  test('what is read has no second spelling', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999_999_999 }),
        fc.uint8Array({ minLength: 1 }),
        (version, bytes) => {
          const base64 = Buffer.from(bytes).toString('base64')
          const text = `vault:v${version}:${base64}`
          expect(parseTransitText(text)).toEqual({ version, base64 })
          const last = base64.replace(/=+$/, '').length - 1
          for (const letter of 'ABCD/') {
            const other = base64.slice(0, last) + letter + base64.slice(last + 1)
            const parsed = parseTransitText(`vault:v${version}:${other}`)
            if (parsed !== undefined)
              expect(Buffer.from(other, 'base64').equals(bytes)).toBe(other === base64)
          }
        },
      ),
    )
  })

  test('bytes above ASCII are no ciphertext', () => {
    const bytes = Buffer.from('vault:v1:AAAA')
    expect(ciphertextOf(bytes)).toBe('vault:v1:AAAA')
    bytes[3]! |= 0x80
    expect(ciphertextOf(bytes)).toBe(undefined)
    expect(ciphertextOf(new Uint8Array(20_000))).toBe(undefined)
  })

  test('base64 is canonical or nothing', () => {
    expect(base64Bytes('AAA=')).toEqual(Buffer.of(0, 0))
    expect(base64Bytes('')).toEqual(Buffer.of())
    for (const text of [undefined, 'AAB=', 'AAA', 'AA A=', '-_8=', 'é'])
      expect(base64Bytes(text)).toBe(undefined)
  })
})

describe('names', () => {
  const mounts = new Set(['transit', 'byok/acme'])

  test('an id is its namespace, its mount and its key', () => {
    expect(parseMasterKeyId('transit/k', undefined, mounts)).toEqual({
      id: 'transit/k',
      mount: 'transit',
      name: 'k',
    })
    expect(parseMasterKeyId('byok/acme/k.1', '', mounts)).toMatchObject({ mount: 'byok/acme', name: 'k.1' })
    expect(parseMasterKeyId('a/b/transit/k', 'a/b', mounts)).toEqual({
      id: 'a/b/transit/k',
      mount: 'transit',
      name: 'k',
    })
  })

  const foreign = {
    'no mount': 'k',
    'an unknown mount': 'other/k',
    'a part of a mount': 'byok/k',
    'a namespace where there is none': 'a/transit/k',
    'an outer slash': '/transit/k',
    'no key': 'transit/',
    'two slashes': 'transit//k',
    'the way up': 'transit/../transit/k',
    'a dot': 'transit/.',
    'a query': 'transit/k?a=b',
    'an escape': 'transit/%2e%2e',
    'a space': 'transit/k ',
    'a line break': 'transit/k\r\nX-Vault-Token: x',
    'another script': 'transit/ключ',
    'a key that is too long': `transit/${'k'.repeat(129)}`,
    nothing: '',
  }
  for (const [name, id] of Object.entries(foreign)) {
    test(`${name}: no id of ours`, () => {
      expect(parseMasterKeyId(id, undefined, mounts)).toBe(undefined)
      expect(parseMasterKeyId(`team/${id}`, 'tea', mounts)).toBe(undefined)
    })
  }

  test('in a namespace, ids outside of it are foreign', () => {
    for (const id of ['transit/k', 'team2/transit/k', 'teamtransit/k', 'team//transit/k', 'team/', 'team'])
      expect(parseMasterKeyId(id, 'team', mounts)).toBe(undefined)
  })

  test('a path that is taken needs no escape in a URL', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aZ0/._-%?#\\: é') }), (text) => {
        if (!isVaultPath(text)) return true
        return new URL(`http://x/v1/${text}/y`).pathname === `/v1/${text}/y` && encodeURI(text) === text
      }),
      { examples: [['a/b'], ['a/..'], ['..'], ['a/./b'], ['a%2fb'], ['a\\b']] },
    )
  })

  test('a signing key may pin a version', () => {
    expect(parseSigningKeyName('k')).toEqual({ name: 'k', version: undefined })
    expect(parseSigningKeyName('transit/k:12')).toEqual({ name: 'transit/k', version: 12 })
    for (const id of ['', ':', 'k:', 'k:0', 'k:01', 'k:1:2', 'k:-1', 'k:1e3', 'k:9999999999'])
      expect(parseSigningKeyName(id)).toBe(undefined)
  })
})
