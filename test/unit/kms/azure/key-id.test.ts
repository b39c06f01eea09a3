import { expect, test } from 'vitest'
import {
  formatKeyId,
  parseKeyId,
  parseKeyReference,
  parseVaultUrl,
} from '../../../../src/kms/azure/key-id.ts'

const VERSION = '0123456789abcdef0123456789abcdef'

test.each([
  ['https://v.vault.azure.net', 'https://v.vault.azure.net'],
  ['https://v.vault.azure.net/', 'https://v.vault.azure.net'],
  ['https://V.Vault.azure.net:443', 'https://v.vault.azure.net'],
  ['https://127.0.0.1:8443', 'https://127.0.0.1:8443'],
  ['http://v.vault.azure.net', undefined],
  ['https://user@v.vault.azure.net', undefined],
  ['https://u:p@v.vault.azure.net', undefined],
  ['https://v.vault.azure.net/keys', undefined],
  ['https://v.vault.azure.net/?a=b', undefined],
  ['https://v.vault.azure.net/#a', undefined],
  ['v.vault.azure.net', undefined],
  ['https://[', undefined],
  ['', undefined],
])('vault %s', (text, expected) => {
  expect(parseVaultUrl(text)).toBe(expected)
})

test.each([
  ['https://v.vault.azure.net/keys/k', 'https://v.vault.azure.net', 'k', undefined],
  [`https://v.vault.azure.net/keys/k-1/${VERSION}`, 'https://v.vault.azure.net', 'k-1', VERSION],
  [`https://127.0.0.1:1/keys/k/${VERSION}`, 'https://127.0.0.1:1', 'k', VERSION],
])('key %s', (text, vaultUrl, name, version) => {
  const id = parseKeyId(text)
  expect(id).toEqual({ vaultUrl, name, version })
  expect(formatKeyId(id!)).toBe(text)
})

test.each([
  'https://v.vault.azure.net/keys/',
  'https://v.vault.azure.net/keys//wrapkey',
  'https://v.vault.azure.net/keys/k/',
  'https://v.vault.azure.net/keys/k//',
  `https://v.vault.azure.net/keys/k/${VERSION}/unwrapkey`,
  `https://v.vault.azure.net/keys/k/${VERSION}?x`,
  `https://v.vault.azure.net/keys/k/${VERSION}#x`,
  'https://v.vault.azure.net/keys/../secrets',
  'https://v.vault.azure.net/secrets/k',
  `https://v.vault.azure.net@evil.example/keys/k/${VERSION}`,
  `https://v.vault.azure.net\\@evil.example/keys/k/${VERSION}`,
  `http://v.vault.azure.net/keys/k/${VERSION}`,
  `https://v.vault.azure.net/keys/${'k'.repeat(128)}`,
  `https://v.vault.azure.net/keys/k/${'a'.repeat(65)}`,
  'https://v.vault.azure.net/keys/k%2F..',
  'k',
  '',
])('%s is no key', (text) => {
  expect(parseKeyId(text)).toBeUndefined()
})

test('a plain name is a key of the vault at hand, an id a key of its own vault', () => {
  const vault = 'https://v.vault.azure.net'
  expect(parseKeyReference('k', vault)).toEqual({ vaultUrl: vault, name: 'k', version: undefined })
  const id = `https://w.vault.azure.net/keys/k/${VERSION}`
  expect(parseKeyReference(id, vault)).toEqual(parseKeyId(id))
  for (const wrong of ['', 'a/b', 'a b', 'a_b', '../x'])
    expect(parseKeyReference(wrong, vault)).toBeUndefined()
})
