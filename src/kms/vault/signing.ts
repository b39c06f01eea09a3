// Signatures by keys that never leave Transit. A key is named `name`, `mount/name` or as announcements name it, and may
// pin a version: `name:3`. Without one the newest signs, and a rotation between two calls changes which that is.
import { createPublicKey } from 'node:crypto'
import { KmsError } from '../kms.ts'
import { base64Bytes, parseTransitText } from './ciphertext.ts'
import { textField, unusableAnswer } from './errors.ts'
import type { TransitKey } from './keys.ts'

export interface SigningKeyName {
  readonly name: string
  readonly version: number | undefined
}

const ED25519_SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')

export function parseSigningKeyName(keyId: string): SigningKeyName | undefined {
  const [, name, version] = /^([^:]+)(?::([1-9]\d{0,8}))?$/.exec(keyId) ?? []
  if (name === undefined) return undefined
  return { name, version: version === undefined ? undefined : Number(version) }
}

/** What to send; ECDSA signs SHA-256 of the message and answers DER, as elsewhere. Throws bad_request for other keys. */
export function signBody(key: TransitKey, message: Uint8Array, version: number | undefined): object {
  const input = Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('base64')
  const pinned = version === undefined ? {} : { key_version: version }
  if (key.type === 'ed25519') return { input, ...pinned }
  if (key.type === 'ecdsa-p256')
    return { input, ...pinned, hash_algorithm: 'sha2-256', marshaling_algorithm: 'asn1' }
  throw notASigner('sign', key)
}

/** The signature in an answer to `sign`. */
export function signatureOf(data: unknown, version: number | undefined): Buffer {
  const parts = parseTransitText(textField(data, 'signature') ?? '')
  if (parts === undefined || (version !== undefined && parts.version !== version))
    throw unusableAnswer('sign')
  return Buffer.from(parts.base64, 'base64')
}

/** DER SubjectPublicKeyInfo of one version, the newest when none is named. */
export function publicKeyOf(key: TransitKey, version: number | undefined): Buffer {
  if (key.type !== 'ed25519' && key.type !== 'ecdsa-p256') throw notASigner('public_key', key)
  const text = key.publicKeys.get(version ?? key.latestVersion)
  if (text === undefined)
    throw new KmsError(
      'key_not_found',
      'public_key',
      `Transit key has no public key of version ${version ?? key.latestVersion}`,
    )
  return key.type === 'ed25519' ? ed25519Spki(text) : p256Spki(text)
}

function ed25519Spki(base64: string): Buffer {
  const bytes = base64Bytes(base64)
  if (bytes?.length !== 32) throw unusableAnswer('public_key')
  return Buffer.concat([ED25519_SPKI_HEAD, bytes])
}

function p256Spki(pem: string): Buffer {
  try {
    return createPublicKey(pem).export({ type: 'spki', format: 'der' })
  } catch {
    throw unusableAnswer('public_key')
  }
}

function notASigner(operation: string, key: TransitKey): KmsError {
  return new KmsError(
    'bad_request',
    operation,
    `Transit key type ${key.type} does not sign here; ed25519 and ecdsa-p256 do`,
  )
}
