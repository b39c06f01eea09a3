// Opening AES-256-GCM (NIST SP 800-38D) with nonces of 96 and tags of 128 bits, which is all that our formats have.
import { createDecipheriv, type KeyObject } from 'node:crypto'

export const GCM_NONCE_BYTES = 12
export const GCM_TAG_BYTES = 16

export interface GcmParts {
  readonly nonce: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

/** The plaintext, which the caller owns; `undefined` when the tag is not theirs, and then nothing of it is left. */
export function openGcm(
  key: Uint8Array | KeyObject,
  { nonce, ciphertext, tag }: GcmParts,
  associatedData: Uint8Array,
): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_BYTES })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(tag)
  const plaintext = decipher.update(ciphertext)
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}
