// Judges Wycheproof's vectors through the code that seals, derives, authenticates and verifies, on whatever Node runs
// this: `node judge.ts FOLDER` prints one JSON document. What our code cannot be asked is counted by its reason.
import { createSecretKey, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GCM_NONCE_BYTES, openGcm } from '../../../src/formats/aes-gcm.ts'
import { ed25519PublicKey, verifyEd25519 } from '../../../src/formats/ed25519.ts'
import { hkdfSha256, hmacSha256 } from '../../../src/formats/key-derivation.ts'
import { openAesGcm, sealAesGcm } from '../../../src/kms/aes-gcm.ts'

/** Hexadecimal text, but for what the schemas name otherwise. */
interface Vector extends Readonly<Record<string, unknown>> {
  readonly tcId: number
  readonly result: 'valid' | 'invalid' | 'acceptable'
  readonly flags: readonly string[]
}
interface Group extends Readonly<Record<string, unknown>> {
  readonly tests: readonly Vector[]
}

export interface Judgement {
  readonly cases: number
  /** By number of the case. */
  readonly accepted: readonly number[]
  /** Where we and the vectors differ. */
  readonly wrong: readonly number[]
  readonly notExpressible: Readonly<Record<string, number>>
}

/** Whether a case is accepted, or why it cannot be asked. */
type Judge = (vector: Vector, group: Group) => boolean | string

const hex = (from: Readonly<Record<string, unknown>>, name: string): Buffer =>
  Buffer.from(String(from[name]), 'hex')
const isEqual = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

const aesGcm: Judge = (vector) => {
  const [key, nonce, tag, data] = [
    hex(vector, 'key'),
    hex(vector, 'iv'),
    hex(vector, 'tag'),
    hex(vector, 'aad'),
  ]
  if (key.length !== 32) return `a key of ${8 * key.length} bits: ours have 256`
  if (nonce.length !== GCM_NONCE_BYTES) return 'a nonce of another length than 96 bits'
  const [ciphertext, plaintext] = [hex(vector, 'ct'), hex(vector, 'msg')]
  const opened = openGcm(key, { nonce, ciphertext, tag }, data)
  const isOpen = opened !== undefined && isEqual(opened, plaintext)
  const sealed = Buffer.concat([nonce, ciphertext, tag])
  if (isOpen !== isWrappedOpen(key, sealed, data, plaintext)) throw new Error('two ways to open differ')
  // Ours choose their nonce themselves, so sealing is held against opening.
  if (!isWrappedOpen(key, sealAesGcm(key, plaintext, data), data, plaintext))
    throw new Error('what is sealed does not open')
  return isOpen
}

function isWrappedOpen(
  key: Uint8Array,
  sealed: Uint8Array,
  data: Uint8Array,
  plaintext: Uint8Array,
): boolean {
  try {
    return isEqual(openAesGcm(key, sealed, data), plaintext)
  } catch {
    return false
  }
}

const hkdf: Judge = (vector) => {
  try {
    const length = Number(vector.size)
    const okm = hkdfSha256(hex(vector, 'ikm'), hex(vector, 'salt'), hex(vector, 'info'), length)
    return isEqual(okm, hex(vector, 'okm'))
  } catch {
    return false // more than 255 blocks
  }
}

const hmac: Judge = (vector, { tagSize }) => {
  const mac = hmacSha256(createSecretKey(hex(vector, 'key')), hex(vector, 'msg'))
  return isEqual(mac.subarray(0, Number(tagSize) / 8), hex(vector, 'tag'))
}

const ed25519: Judge = (vector, { publicKey }) => {
  const { pk } = publicKey as { readonly pk: string } // as the schema of these groups has it
  return verifyEd25519(ed25519PublicKey(Buffer.from(pk, 'hex')), hex(vector, 'msg'), hex(vector, 'sig'))
}

const JUDGES: Readonly<Record<string, Judge>> = {
  'aes_gcm_test.json': aesGcm,
  'hkdf_sha256_test.json': hkdf,
  'hmac_sha256_test.json': hmac,
  'ed25519_test.json': ed25519,
}

function judgeFile(path: string, judge: Judge): Judgement {
  const { testGroups } = JSON.parse(readFileSync(path, 'utf8')) as { readonly testGroups: readonly Group[] }
  const accepted: number[] = []
  const wrong: number[] = []
  const notExpressible: Record<string, number> = {}
  let cases = 0
  for (const group of testGroups)
    for (const vector of group.tests) {
      cases++
      const said = judge(vector, group)
      if (typeof said === 'string') notExpressible[said] = (notExpressible[said] ?? 0) + 1
      else {
        if (said) accepted.push(vector.tcId)
        if (said !== (vector.result === 'valid')) wrong.push(vector.tcId)
      }
    }
  return { cases, accepted, wrong, notExpressible }
}

const folder = process.argv[2]!
const judged = Object.entries(JUDGES).map(([file, judge]) => [file, judgeFile(join(folder, file), judge)])
process.stdout.write(JSON.stringify(Object.fromEntries(judged)))
