// Google Cloud KMS. Its Encrypt takes the context as additional authenticated data and returns a ciphertext that says by
// itself which version of the key made it, so the key's name without a version is what a wrapped key needs to be opened.
import { createHash, createPublicKey } from 'node:crypto'
import type { Logger } from '../../base/telemetry.ts'
import type { KmsContext } from '../../formats/key-context.ts'
import { type AttemptSettings, type CallLimits, callWithAttempts } from '../attempts.ts'
import { contextBytes } from '../context-bytes.ts'
import { type GeneratedDataKey, type Kms, type KmsDescription, KmsError, type WrappedKey } from '../kms.ts'
import { checkWrappable, generateByWrapping } from '../random-key.ts'
import { GcpConnection, type GcpMethod, loadGcpSdk } from './connection.ts'
import { crc32c } from './crc32c.ts'
import { gcpError } from './errors.ts'
import { type GcpSettings, KEY_PATH, readGcpSettings, VERSION_PATH } from './settings.ts'

/** Credentials are what Application Default Credentials find. */
export interface GcpKmsOptions extends GcpSettings {
  /** PEM of the authorities that may vouch for the endpoint, instead of the public ones. */
  readonly caFile?: string | undefined
  readonly request: CallLimits
  readonly log: Logger
  /** For jitter only; `Math.random` when absent. */
  readonly random?: () => number
}

type Answer = Readonly<Record<string, unknown>>
type SigningAlgorithm = 'EC_SIGN_ED25519' | 'EC_SIGN_P256_SHA256'

interface SigningKey {
  readonly algorithm: string
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
}

const SIGNING_KEYS_MAX = 64

/** Loads the client library and checks the settings; the first call connects. Rejects CONFIG with one line. */
export async function openGcpKms(options: GcpKmsOptions): Promise<Kms> {
  options.log.info('Initializing KMS provider: gcp')
  const { projectId, location } = options
  const { masterKeyId, ofTenants, endpoint } = readGcpSettings(options)
  const connection = new GcpConnection(await loadGcpSdk(), {
    projectId,
    endpoint,
    caFile: options.caFile,
    connectTimeoutMs: options.request.connectTimeoutMs,
  })
  options.log.info(`Using GCP KMS - location: ${location}, key: ${masterKeyId}`)
  if (endpoint.isPlaintext) options.log.warn('kms.gcp.endpoint is plaintext: fit for an emulator only')
  const attempts = { limits: options.request, random: options.random ?? Math.random, errorOf: gcpError }
  return new GcpKms(connection, attempts, masterKeyId, ofTenants)
}

class GcpKms implements Kms {
  readonly provider = 'gcp'
  readonly masterKeyId: string
  readonly #connection: GcpConnection
  readonly #attempts: AttemptSettings
  readonly #ofTenants: ReadonlyMap<string, string>
  /** By name of the version; neither algorithm nor public key of one ever changes. */
  readonly #signingKeys = new Map<string, SigningKey>()

  constructor(
    connection: GcpConnection,
    attempts: AttemptSettings,
    masterKeyId: string,
    ofTenants: ReadonlyMap<string, string>,
  ) {
    this.#connection = connection
    this.#attempts = attempts
    this.masterKeyId = masterKeyId
    this.#ofTenants = ofTenants
  }

  masterKeyOf(tenantId: string): string {
    return this.#ofTenants.get(tenantId) ?? this.masterKeyId
  }

  async generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    return generateByWrapping((plaintext) => this.#wrap('generate_data_key', plaintext, context, abort))
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    checkWrappable(plaintext)
    return this.#wrap('encrypt', plaintext, context, abort)
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    if (!KEY_PATH.test(masterKeyId)) {
      throw new KmsError('key_not_found', 'decrypt', 'the master key id is no name of a Cloud KMS key')
    }
    if (wrapped.length === 0) throw new KmsError('invalid_ciphertext', 'decrypt', 'nothing is wrapped')
    const additionalAuthenticatedData = contextBytes(context)
    const request = {
      name: masterKeyId,
      ciphertext: wrapped,
      ciphertextCrc32c: { value: crc32c(wrapped) },
      additionalAuthenticatedData,
      additionalAuthenticatedDataCrc32c: { value: crc32c(additionalAuthenticatedData) },
    }
    return this.#call('decrypt', 'decrypt', request, abort, (answer) => {
      const plaintext = bytesOf(answer.plaintext)
      if (plaintext === undefined || numberOf(answer.plaintextCrc32c) !== crc32c(plaintext)) {
        plaintext?.fill(0)
        throw damaged('decrypt')
      }
      return plaintext
    })
  }

  /** Needs cloudkms.cryptoKeys.get, which encrypting and decrypting do not. */
  async describe(abort: AbortSignal): Promise<KmsDescription> {
    const request = { name: this.masterKeyId }
    return this.#call('getCryptoKey', 'describe_key', request, abort, (answer) => {
      if (answer.name !== this.masterKeyId) throw damaged('describe_key')
      const primary = answer.primary
      const isObject = typeof primary === 'object' && primary !== null
      const enabled = isObject && 'state' in primary && primary.state === 'ENABLED'
      return { enabled, masterKeyId: this.masterKeyId }
    })
  }

  /**
   * `keyId` names a version, `projects/…/cryptoKeyVersions/1`, of algorithm EC_SIGN_ED25519 or EC_SIGN_P256_SHA256.
   * An ECDSA signature is DER.
   */
  async sign(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const algorithm = signingAlgorithm((await this.#signingKey(keyId, 'sign', abort)).algorithm)
    const isEd25519 = algorithm === 'EC_SIGN_ED25519'
    const signed = isEd25519 ? message : createHash('sha256').update(message).digest()
    const checksum = { value: crc32c(signed) }
    const request = isEd25519
      ? { name: keyId, data: signed, dataCrc32c: checksum }
      : { name: keyId, digest: { sha256: signed }, digestCrc32c: checksum }
    return this.#call('asymmetricSign', 'sign', request, abort, (answer) => {
      const isVerified = isEd25519 ? answer.verifiedDataCrc32c : answer.verifiedDigestCrc32c
      const signature = bytesOf(answer.signature)
      const isWhole = signature !== undefined && numberOf(answer.signatureCrc32c) === crc32c(signature)
      if (isVerified !== true || answer.name !== keyId || !isWhole) throw damaged('sign')
      return signature
    })
  }

  async publicKey(keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    return Uint8Array.from((await this.#signingKey(keyId, 'get_public_key', abort)).spki)
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  async #wrap(
    operation: string,
    plaintext: Uint8Array,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<WrappedKey> {
    const masterKeyId = this.#ofTenants.get(context.tenantId) ?? this.masterKeyId
    const additionalAuthenticatedData = contextBytes(context)
    const request = {
      name: masterKeyId,
      plaintext,
      plaintextCrc32c: { value: crc32c(plaintext) },
      additionalAuthenticatedData,
      additionalAuthenticatedDataCrc32c: { value: crc32c(additionalAuthenticatedData) },
    }
    return this.#call('encrypt', operation, request, abort, (answer) => {
      const wrapped = bytesOf(answer.ciphertext)
      const isVerified =
        answer.verifiedPlaintextCrc32c === true && answer.verifiedAdditionalAuthenticatedDataCrc32c === true
      const isOfKey = typeof answer.name === 'string' && answer.name.startsWith(`${masterKeyId}/`)
      const isWhole = wrapped !== undefined && numberOf(answer.ciphertextCrc32c) === crc32c(wrapped)
      if (!isVerified || !isOfKey || !isWhole) throw damaged(operation)
      return { wrapped, masterKeyId }
    })
  }

  async #signingKey(keyId: string, operation: string, abort: AbortSignal): Promise<SigningKey> {
    if (!VERSION_PATH.test(keyId)) {
      throw new KmsError('key_not_found', operation, 'the key id is no name of a Cloud KMS key version')
    }
    const known = this.#signingKeys.get(keyId)
    if (known !== undefined) return known
    const key = await this.#call('getPublicKey', operation, { name: keyId }, abort, (answer) => {
      const { pem, algorithm } = answer
      if (typeof pem !== 'string' || typeof algorithm !== 'string') throw damaged(operation)
      const isWhole = numberOf(answer.pemCrc32c) === crc32c(Buffer.from(pem))
      if (!isWhole || answer.name !== keyId) throw damaged(operation)
      return { algorithm, spki: createPublicKey(pem).export({ format: 'der', type: 'spki' }) }
    })
    if (this.#signingKeys.size >= SIGNING_KEYS_MAX) this.#signingKeys.clear()
    this.#signingKeys.set(keyId, key)
    return key
  }

  // The answer is read inside the attempt, so that a damaged one is asked for again.
  #call<T>(
    method: GcpMethod,
    operation: string,
    request: { readonly name: string },
    abort: AbortSignal,
    read: (answer: Answer) => T,
  ): Promise<T> {
    return callWithAttempts(this.#attempts, operation, abort, async (attemptSignal) =>
      read(await this.#connection.call(method, operation, request, attemptSignal)),
    )
  }
}

function signingAlgorithm(algorithm: string): SigningAlgorithm {
  if (algorithm === 'EC_SIGN_ED25519' || algorithm === 'EC_SIGN_P256_SHA256') return algorithm
  throw new KmsError(
    'bad_request',
    'sign',
    'the key is neither of algorithm EC_SIGN_ED25519 nor EC_SIGN_P256_SHA256',
  )
}

function damaged(operation: string): KmsError {
  return new KmsError(
    'network',
    operation,
    'request or answer was damaged on its way: a checksum or name differs',
  )
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array && value.length > 0 ? value : undefined
}

/** A google.protobuf.Int64Value, which comes as a wrapped string, number or Long. */
function numberOf(value: unknown): number | undefined {
  const inner = typeof value === 'object' && value !== null && 'value' in value ? value.value : value
  return inner === undefined || inner === null ? undefined : Number(inner)
}
