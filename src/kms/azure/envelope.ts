// Key Vault wraps keys, a few hundred bits at most, and takes no context. So what is wrapped there is a fresh key for one
// envelope, and the envelope, sealed under it with the context as associated data, holds the rest:
//
//   u8 version = 1 ‖ u8 algorithm ‖ u16 length ‖ wrapped key ‖ nonce[12] ‖ ciphertext ‖ tag[16]
//
// Everything before the nonce is associated data too.
import { lengthPrefixed } from '../../formats/key-context.ts'
import { invalidCiphertext, openAesGcm, SEAL_BYTES, sealAesGcm } from '../aes-gcm.ts'

export type WrapAlgorithm = 'RSA-OAEP-256' | 'A256KW'

export interface Envelope {
  readonly algorithm: WrapAlgorithm
  /** The envelope's key, as Key Vault wrapped it. */
  readonly wrappedKey: Uint8Array
  readonly header: Uint8Array
  /** From the nonce on. */
  readonly sealed: Uint8Array
}

export const ENVELOPE_KEY_BYTES = 32

const VERSION = 1
const ALGORITHMS: readonly WrapAlgorithm[] = ['RSA-OAEP-256', 'A256KW']
const AAD_LABEL = 'betrace/azure-envelope/v1\0'
const FIXED_BYTES = 4
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
  return Buffer.concat([header, sealAesGcm(key, plaintext, associatedData(header, context))])
}

/** The parts, none of them checked yet. Throws invalid_ciphertext for what is no envelope. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const algorithm = ALGORITHMS[(bytes[1] ?? 0) - 1]
  const wrappedKeyBytes = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0)
  const headerBytes = FIXED_BYTES + wrappedKeyBytes
  const isWhole = bytes.length > headerBytes + SEAL_BYTES
  const isKeyPlausible = wrappedKeyBytes > 0 && wrappedKeyBytes <= WRAPPED_KEY_BYTES_MAX
  if (bytes[0] !== VERSION || algorithm === undefined || !isWhole || !isKeyPlausible) {
    throw invalidCiphertext()
  }
  return {
    algorithm,
    header: bytes.subarray(0, headerBytes),
    wrappedKey: bytes.subarray(FIXED_BYTES, headerBytes),
    sealed: bytes.subarray(headerBytes),
  }
}

/** The caller owns what comes back. Throws invalid_ciphertext for another context, key or envelope. */
export function openEnvelope(envelope: Envelope, context: Uint8Array, key: Uint8Array): Uint8Array {
  if (key.length !== ENVELOPE_KEY_BYTES) throw invalidCiphertext()
  return openAesGcm(key, envelope.sealed, associatedData(envelope.header, context))
}

function associatedData(header: Uint8Array, context: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(AAD_LABEL), lengthPrefixed(header), context])
}
