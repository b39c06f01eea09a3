// ECDSA over P-256 of a digest that somebody else made, which node:crypto does not offer: it insists on hashing. For
// fakes only; no secret of anybody's depends on the timing of this arithmetic.
import { createECDH, type KeyObject, randomBytes } from 'node:crypto'

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** `r ‖ s`, 32 bytes each. */
export function signDigest(privateKey: KeyObject, digest: Uint8Array): Buffer {
  const secret = toNumber(Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url'))
  for (;;) {
    const nonce = toNumber(randomBytes(32))
    if (nonce === 0n || nonce >= ORDER) continue
    const point = createECDH('prime256v1')
    point.setPrivateKey(toBytes(nonce))
    const r = toNumber(point.getPublicKey().subarray(1, 33)) % ORDER
    const s = (power(nonce, ORDER - 2n) * (toNumber(digest) + r * secret)) % ORDER
    if (r !== 0n && s !== 0n) return Buffer.concat([toBytes(r), toBytes(s)])
  }
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % ORDER
    square = (square * square) % ORDER
  }
  return result
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function toBytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}
