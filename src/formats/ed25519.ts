// The one place where an Ed25519 signature is checked (proto/evidence.md §4). What may stand for a point or a number is
// decided here, before the runtime is asked: runtimes differ in that, and what one of them takes and another refuses would
// be a signature for the one and none for the other.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'

const POINT_BYTES = 32
const SIGNATURE_BYTES = 64
const SIGN_BIT = 0x80
const P = 2n ** 255n - 19n
const L = 2n ** 252n + 27742317777372353535851937790883648493n
const D = (-121665n * power(121666n, P - 2n)) % P

/**
 * The y of the eight points of small order: the neutral one, that of order 2, the two of order 4, and two times two of
 * order 8. Among them is also each point whose x is zero, so none of those is left to have a sign.
 */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  P - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  P - 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
])

/** What is known of a key once it was looked at. */
const soundKeys = new WeakMap<KeyObject, boolean>()

/** A public key from its 32 bytes, sound or not. */
export function ed25519PublicKey(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes.subarray(0, POINT_BYTES)).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/** Whether 32 bytes are the canonical form of a point of the curve that is not of small order. */
export function isSoundPublicKey(bytes: Uint8Array): boolean {
  return isSoundPoint(bytes) && isOnCurve(littleEndian(bytes, true))
}

/** RFC 8032 without a cofactor, and strict: S < L, public key and R canonical and not of small order. */
export function verifyEd25519(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  // An R that is no point of the curve equals none that the runtime can compute.
  if (!isSoundPoint(signature.subarray(0, POINT_BYTES))) return false
  if (littleEndian(signature.subarray(POINT_BYTES), false) >= L) return false
  return isSoundKey(key) && verify(null, message, key, signature)
}

function isSoundKey(key: KeyObject): boolean {
  let isSound = soundKeys.get(key)
  if (isSound === undefined) {
    isSound =
      key.asymmetricKeyType === 'ed25519' &&
      isSoundPublicKey(key.export({ format: 'der', type: 'spki' }).subarray(-POINT_BYTES))
    soundKeys.set(key, isSound)
  }
  return isSound
}

function isSoundPoint(bytes: Uint8Array): boolean {
  if (bytes.length !== POINT_BYTES) return false
  const y = littleEndian(bytes, true)
  return y < P && !SMALL_ORDER_Y.has(y)
}

/** Whether a point has this y: x² = (y² − 1) / (d·y² + 1), so the product of both is a square. */
function isOnCurve(y: bigint): boolean {
  const square = (y * y) % P
  const product = (((square - 1n) * (D * square + 1n)) % P) + P
  return power(product % P, (P - 1n) / 2n) === 1n
}

/** `isPoint`: without the highest bit, which is the sign of x. */
function littleEndian(bytes: Uint8Array, isPoint: boolean): bigint {
  const reversed = Buffer.from(bytes).reverse()
  if (isPoint) reversed[0] &= ~SIGN_BIT
  return BigInt(`0x${reversed.toString('hex')}`)
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let left = exponent, square = base; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = (result * square) % P
    square = (square * square) % P
  }
  return result
}
