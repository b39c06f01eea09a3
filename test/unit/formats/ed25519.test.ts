// test/vectors/ed25519.json was made by a second implementation, in Python; where a lie can be made to satisfy the equation
// it does, so that a check which leaves a rule to the runtime takes some of them on some runtimes.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ed25519PublicKey, isSoundPublicKey, verifyEd25519 } from '../../../src/formats/ed25519.ts'
import { checkEndorsement, endorsementBytes } from '../../../src/formats/endorsement.ts'

interface Case {
  readonly name: string
  readonly publicKey: string
  readonly message: string
  readonly signature: string
  readonly valid: boolean
}

const file = new URL('../../vectors/ed25519.json', import.meta.url)
// The file is checked in; its shape is what the tests below hold it to.
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: readonly Case[] }
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')

test('there are vectors of both answers and of each rule', () => {
  expect(cases.filter(({ valid }) => valid).length).toBeGreaterThanOrEqual(3)
  for (const rule of ['S is', 'A of small', 'R of small', 'A is not', 'R is not', 'cofactor'])
    expect(cases.filter(({ name }) => name.includes(rule)).length, rule).toBeGreaterThanOrEqual(2)
})

test.each(cases)('$name', ({ publicKey, message, signature, valid }) => {
  const key = ed25519PublicKey(bytes(publicKey))
  expect(verifyEd25519(key, bytes(message), bytes(signature))).toBe(valid)
  // A key once looked at is remembered; the answer stays.
  expect(verifyEd25519(key, bytes(message), bytes(signature))).toBe(valid)
})

describe('keys of our own making', () => {
  test('are sound, and what they sign verifies, with no bit flipped', () => {
    for (let round = 0; round < 20; round++) {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
      const message = randomBytes(round)
      const signature = sign(null, message, privateKey)
      expect(isSoundPublicKey(raw)).toBe(true)
      expect(verifyEd25519(publicKey, message, signature)).toBe(true)
      for (let bit = 0; bit < 512; bit += 7) {
        const spoilt = Uint8Array.from(signature)
        spoilt[bit >> 3]! ^= 1 << (bit & 7)
        expect(verifyEd25519(publicKey, message, spoilt)).toBe(false)
      }
    }
  })

  test('a key of another kind verifies nothing', () => {
    const { publicKey } = generateKeyPairSync('x25519')
    expect(verifyEd25519(publicKey, Buffer.alloc(1), Buffer.alloc(64, 1))).toBe(false)
  })
})

test('an endorsement is judged as strictly: one that only the equation vouches for is none', () => {
  const [small] = cases.filter(({ name }) => name === 'A of small order, 0 in spelling 0')
  const endorsement = {
    tenant: 'acme',
    keyId: 'k',
    publicKey: new Uint8Array(32),
    endorsedBy: 'e',
    createdMs: 1,
  }
  // Under the neutral point the message does not matter: R = S·B holds for all of them.
  expect(endorsementBytes(endorsement).length).toBeGreaterThan(0)
  expect(checkEndorsement(endorsement, bytes(small!.publicKey), bytes(small!.signature))).toBe(false)
})
