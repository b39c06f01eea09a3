// Key Vault wraps keys, a few hundred bits at most, and takes no context. So what is wrapped there is a fresh key for one
// envelope, and the envelope, sealed under it with the context as associated data, holds the rest:
//
//   u8 version = 1 ‖ u8 algorithm ‖ u16 length ‖ wrapped key ‖ nonce[12] ‖ ciphertext ‖ tag[16]
//
// Everything before the nonce is associated data too.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { lengthPrefixed } from '../../formats/key-context.ts'
import { KmsError } from '../kms.ts'

export type WrapAlgorithm = 'RSA-OAEP-256' | 'A256KW'

export interface Envelope {
  readonly algorithm: WrapAlgorithm
  /** The envelope's key, as Key Vault wrapped it. */
  readonly wrappedKey: Uint8Array
  readonly header: Uint8Array
  readonly nonce: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

export const ENVELOPE_KEY_BYTES = 32

const VERSION = 1
const ALGORITHMS: readonly WrapAlgorithm[] = ['RSA-OAEP-256', 'A256KW']
const AAD_LABEL = 'betrace/azure-envelope/v1\0'
const FIXED_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** RSA-4096 makes 512. */
const WRAPPED_KEY_BYTES_MAX = 1_024

/** `context` is serialised. `key` seals this one envelope and stays the caller's to zero. */
export function sealEnvelope(
  plaintext: Uint8Array,
  context: Uint8Array,
  key: Uint8Array,
  algorithm: WrapAlgorithm,
  wrappedKey: Uint8Array,
): Uint8Array {
  const fixed = Buffer.of(VERSION, ALGORITHMS.indexOf(algorithm) + 1, 0, 0)
  fixed.writeUInt16BE(wrappedKey.length, 2)
  const header = Buffer.concat([fixed, wrappedKey])
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(associatedData(header, context))
  const ciphertext = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()])
}

/** The parts, none of them checked yet. Throws invalid_ciphertext for what is no envelope. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const algorithm = ALGORITHMS[(bytes[1] ?? 0) - 1]
  const wrappedKeyBytes = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0)
  const headerBytes = FIXED_BYTES + wrappedKeyBytes
  const isWhole = bytes.length > headerBytes + NONCE_BYTES + TAG_BYTES
  const isKeyPlausible = wrappedKeyBytes > 0 && wrappedKeyBytes <= WRAPPED_KEY_BYTES_MAX
  if (bytes[0] !== VERSION || algorithm === undefined || !isWhole || !isKeyPlausible) {
    throw invalidCiphertext()
  }
  return {
    algorithm,
    header: bytes.subarray(0, headerBytes),
    wrappedKey: bytes.subarray(FIXED_BYTES, headerBytes),
    nonce: bytes.subarray(headerBytes, headerBytes + NONCE_BYTES),
    ciphertext: bytes.subarray(headerBytes + NONCE_BYTES, bytes.length - TAG_BYTES),
    tag: bytes.subarray(bytes.length - TAG_BYTES),
  }
}

/** The caller owns what comes back. Throws invalid_ciphertext for another context, key or envelope. */
export function openEnvelope(envelope: Envelope, context: Uint8Array, key: Uint8Array): Uint8Array {
  if (key.length !== ENVELOPE_KEY_BYTES) throw invalidCiphertext()
  const decipher = createDecipheriv('aes-256-gcm', key, envelope.nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associatedData(envelope.header, context))
  decipher.setAuthTag(envelope.tag)
  const plaintext = decipher.update(envelope.ciphertext)
  try {
    decipher.final()
  } catch {
    plaintext.fill(0)
    throw invalidCiphertext()
  }
  return plaintext
}

function associatedData(header: Uint8Array, context: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(AAD_LABEL), lengthPrefixed(header), context])
}

function invalidCiphertext(): KmsError {
  return new KmsError('invalid_ciphertext', 'decrypt', 'wrapped key or context is not what was wrapped')
}
