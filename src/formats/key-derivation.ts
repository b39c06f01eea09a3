// HKDF and HMAC over SHA-256, in one place each, so that what the formats derive and authenticate can be held against
// vectors of others.
import { createHmac, hkdfSync, type KeyObject } from 'node:crypto'

/** HKDF-SHA-256 (RFC 5869). The result is the caller's, who zeroes it. Throws for more than 255 blocks. */
export function hkdfSha256(
  secret: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array | string,
  length: number,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, info, length))
}

/** HMAC-SHA-256 (RFC 2104) of the parts, one behind the other. */
export function hmacSha256(key: KeyObject, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}
