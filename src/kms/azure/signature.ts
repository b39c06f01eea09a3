const HALF_BYTES = 32

/** An ES256 signature `r ‖ s` (RFC 7518 §3.4) as DER, which the other services give; `undefined` when it is none. */
export function derOfEcdsa(signature: Uint8Array): Uint8Array | undefined {
  if (signature.length !== 2 * HALF_BYTES) return undefined
  const body = Buffer.concat([
    derInteger(signature.subarray(0, HALF_BYTES)),
    derInteger(signature.subarray(HALF_BYTES)),
  ])
  return Buffer.concat([Buffer.of(0x30, body.length), body]) // at most 70 bytes, so one byte of length
}

/** Big-endian and positive: no needless leading zeros, and one where the first bit would mean a minus. */
function derInteger(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  const sign = digits[0]! & 0x80 ? [0] : []
  return Buffer.concat([Buffer.of(0x02, digits.length + sign.length, ...sign), digits])
}
