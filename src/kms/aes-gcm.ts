// What the key services that seal by themselves make: nonce[12] ‖ ciphertext ‖ tag[16], AES-256-GCM.
import { createCipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { GCM_NONCE_BYTES as NONCE_BYTES, openGcm, GCM_TAG_BYTES as TAG_BYTES } from '../formats/aes-gcm.ts'
import { KmsError } from './kms.ts'

/** What sealing adds, bytes. */
export const SEAL_BYTES = NONCE_BYTES + TAG_BYTES

/** The nonce is random, since several processes may share a key: good for 2^32 seals under one. */
export function sealAesGcm(
  key: Uint8Array | KeyObject,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(associatedData)
  const ciphertext = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()])
}

/** The caller owns what comes back. Throws invalid_ciphertext for what was not sealed so. */
export function openAesGcm(
  key: Uint8Array | KeyObject,
  sealed: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array {
  if (sealed.length < SEAL_BYTES) throw invalidCiphertext()
  const tagAt = sealed.length - TAG_BYTES
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const ciphertext = sealed.subarray(NONCE_BYTES, tagAt)
  const plaintext = openGcm(key, { nonce, ciphertext, tag: sealed.subarray(tagAt) }, associatedData)
  if (plaintext === undefined) throw invalidCiphertext()
  return plaintext
}

export function invalidCiphertext(): KmsError {
  return new KmsError('invalid_ciphertext', 'decrypt', 'wrapped key or context is not what was wrapped')
}
