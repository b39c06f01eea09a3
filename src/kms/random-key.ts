// For services without a call of their own for data keys: 32 random bytes, wrapped by the service.
import { randomBytes } from 'node:crypto'
import { type GeneratedDataKey, KmsError, type WrappedKey } from './kms.ts'

/** Bytes that may be wrapped at once, as the `Kms` interface promises. */
const WRAP_BYTES_MAX = 4_096

/** The caller owns and zeroes the plaintext; when `wrap` fails it is zeroed here. */
export async function generateByWrapping(
  wrap: (plaintext: Uint8Array) => Promise<WrappedKey>,
): Promise<GeneratedDataKey> {
  const plaintext = randomBytes(32)
  try {
    return { plaintext, ...(await wrap(plaintext)) }
  } catch (thrown) {
    plaintext.fill(0)
    throw thrown
  }
}

/** Throws bad_request for what no provider wraps. */
export function checkWrappable(plaintext: Uint8Array): void {
  if (plaintext.length === 0 || plaintext.length > WRAP_BYTES_MAX) {
    throw new KmsError('bad_request', 'encrypt', 'plaintext must be 1 to 4096 bytes')
  }
}
