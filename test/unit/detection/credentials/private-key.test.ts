import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { findBy } from '../find.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim()

const keys = (text: string): string[] => findBy('private_key', text)

test('a private key is found with its lines, also escaped, twice, or cut short', () => {
  const labelled = pem.replaceAll('PRIVATE KEY', 'OPENSSH PRIVATE KEY')
  expect(keys(pem)).toEqual([pem])
  expect(keys(`key: ${pem}\nnext`)).toEqual([pem])
  const escaped = pem.replaceAll('\n', '\\n')
  expect(keys(JSON.stringify({ key: pem }))).toEqual([escaped])
  expect(keys(`${pem}\n${labelled}`)).toEqual([pem, labelled])
  const cut = pem.slice(0, 70)
  expect(keys(`failed to parse ${cut}`)).toEqual([cut])
  expect(keys(labelled)).toEqual([labelled])
})

test('what is public stays', () => {
  expect(keys(publicKey.export({ type: 'spki', format: 'pem' }).toString())).toEqual([])
  expect(keys('-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----')).toEqual([])
  expect(keys('----- a line of dashes ----- PRIVATE KEY')).toEqual([])
})
