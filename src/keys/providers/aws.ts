// AWS KMS. The context goes along as the EncryptionContext, the key's ARN with every call, so that a wrapped key opens
// only under the key that its announcement names. See docs/setup/aws.md for the policy that this needs.
import type { KMSClient, KMSClientConfig, SigningAlgorithmSpec } from '@aws-sdk/client-kms'
import { type Clock, systemClock } from '../../clock.ts'
import { SidecarError } from '../../errors.ts'
import type { Logger } from '../../telemetry.ts'
import { contextEntries, type KmsContext, utf8 } from '../context.ts'
import { type GeneratedDataKey, type Kms, type KmsDescription, KmsError, type WrappedKey } from '../kms.ts'
import { settledOrAborted } from '../settled-or-aborted.ts'
import { type AwsKey, type AwsKeys, areReplicas, parseKeyArn, readAwsKeys } from './aws-arn.ts'
import { AwsClients, type AwsRequestOptions, type AwsSdk, loadAwsSdk } from './aws-clients.ts'
import { asAwsKmsError } from './aws-errors.ts'
import { type Attempt, AwsFailover } from './aws-failover.ts'

export interface AwsKmsOptions {
  /** The full ARN; with `endpoint` also an id or an alias, which an emulator takes. */
  readonly masterKeyId: string
  /** Empty: the region of the ARN. */
  readonly region: string
  /** An emulator or a VPC endpoint, `http://…` or `https://…`. */
  readonly endpoint: string | undefined
  readonly useFipsEndpoint: boolean
  /** ARNs of the master key's replicas in other regions, in the order in which they are tried. */
  readonly replicas: readonly string[]
  /** Tenant → ARN of its own master key. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
  readonly request: AwsRequestOptions
  readonly log: Logger
  readonly clock?: Clock
  /** The SDK's default chain when absent. */
  readonly credentials?: KMSClientConfig['credentials']
}

const DATA_KEY_BYTES = 32
const MESSAGE_BYTES_MAX = 4_096
const CIPHERTEXT_BYTES_MAX = 6_144
const SIGNING_KEYS_MAX = 64
const TIMEOUT_MS_MIN = 100

/** Loads the SDK and checks the settings; asks the service nothing. Rejects CONFIG with one line. */
export async function openAwsKms(options: AwsKmsOptions): Promise<Kms> {
  const { log, endpoint, useFipsEndpoint, request, credentials } = options
  log.info('Initializing KMS provider: aws')
  const keys = readAwsKeys(options)
  if (useFipsEndpoint && endpoint !== undefined) {
    throw new SidecarError('CONFIG', 'kms.aws.use_fips_endpoint: cannot be true beside kms.aws.endpoint')
  }
  const sdk = await loadAwsSdk()
  const ownKeys = [keys.primary, ...keys.replicas, ...keys.ofTenants.values()]
  const ownRegions = new Set(ownKeys.map(({ region }) => region))
  const clients = new AwsClients(sdk, { endpoint, useFipsEndpoint, request, credentials, ownRegions })
  const failover = new AwsFailover(options.clock ?? systemClock, (region, failure) => {
    if (failure === undefined) log.info({ region }, `AWS KMS - region: ${region} works again`)
    else
      log.warn(
        { region, error: failure },
        `AWS KMS - region: ${region} failed, asking the other regions first`,
      )
  })
  log.info(`Using AWS KMS - region: ${keys.primary.region}, key: ${keys.primary.id}`)
  return new AwsKms({ sdk, keys, clients, failover, request })
}

interface AwsKmsParts {
  readonly sdk: AwsSdk
  readonly keys: AwsKeys
  readonly clients: AwsClients
  readonly failover: AwsFailover
  readonly request: AwsRequestOptions
}

class AwsKms implements Kms {
  readonly provider = 'aws'
  readonly masterKeyId: string
  readonly #parts: AwsKmsParts
  readonly #algorithmOf = new Map<string, SigningAlgorithmSpec>()

  constructor(parts: AwsKmsParts) {
    this.masterKeyId = parts.keys.primary.id
    this.#parts = parts
  }

  async generateDataKey(context: KmsContext, signal: AbortSignal): Promise<GeneratedDataKey> {
    const operation = 'generate_data_key'
    return await this.#call(operation, this.#keysOf(context), signal, async (client, key) => {
      const answer = await client.send(
        new this.#parts.sdk.GenerateDataKeyCommand({
          KeyId: key.id,
          KeySpec: 'AES_256',
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: signal },
      )
      const plaintext = taken(answer.Plaintext)
      try {
        if (plaintext?.length !== DATA_KEY_BYTES) throw incomplete(operation)
        const wrapped = wrappedKey(answer.CiphertextBlob, answer.KeyId, operation)
        checkAbort(signal, operation)
        return { plaintext, ...wrapped }
      } catch (error) {
        plaintext?.fill(0)
        throw error
      }
    })
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, signal: AbortSignal): Promise<WrappedKey> {
    const operation = 'encrypt'
    return await this.#call(operation, this.#keysOf(context), signal, async (client, key) => {
      if (plaintext.length === 0 || plaintext.length > MESSAGE_BYTES_MAX) {
        throw new KmsError('bad_request', operation, 'plaintext must be 1 to 4096 bytes')
      }
      const answer = await client.send(
        new this.#parts.sdk.EncryptCommand({
          KeyId: key.id,
          Plaintext: plaintext,
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: signal },
      )
      return wrappedKey(answer.CiphertextBlob, answer.KeyId, operation)
    })
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const operation = 'decrypt'
    return await this.#call(operation, this.#keysToUnwrap(masterKeyId), signal, async (client, key) => {
      if (wrapped.length === 0 || wrapped.length > CIPHERTEXT_BYTES_MAX) {
        throw new KmsError('invalid_ciphertext', operation, 'a wrapped key has 1 to 6144 bytes')
      }
      const answer = await client.send(
        new this.#parts.sdk.DecryptCommand({
          KeyId: key.id,
          CiphertextBlob: wrapped,
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: signal },
      )
      const plaintext = taken(answer.Plaintext)
      if (plaintext === undefined) throw incomplete(operation)
      if (answer.KeyId === key.id && !signal.aborted) return plaintext
      plaintext.fill(0)
      checkAbort(signal, operation)
      throw new KmsError(
        'invalid_ciphertext',
        operation,
        'another master key than the one named unwrapped it',
      )
    })
  }

  async describe(signal: AbortSignal): Promise<KmsDescription> {
    const operation = 'describe_key'
    const { primary, replicas } = this.#parts.keys
    try {
      return await this.#call(operation, [primary, ...replicas], signal, async (client, key) => {
        const answer = await client.send(new this.#parts.sdk.DescribeKeyCommand({ KeyId: key.id }), {
          abortSignal: signal,
        })
        if (answer.KeyMetadata === undefined) throw incomplete(operation)
        const { KeyState, Arn } = answer.KeyMetadata
        // A key whose replica still works is not out of service.
        if (KeyState !== 'Enabled') throw new KeyNotEnabled(operation, KeyState)
        return { enabled: true, masterKeyId: Arn ?? key.id }
      })
    } catch (error) {
      if (error instanceof KeyNotEnabled) return { enabled: false, masterKeyId: primary.id }
      throw error
    }
  }

  /** `keyId` is the ARN of an ECC_NIST_EDWARDS25519 key (64 raw bytes come back) or of an ECC_NIST_P256 one (DER). The
   *  message has 1 to 4096 bytes. */
  async sign(message: Uint8Array, keyId: string, signal: AbortSignal): Promise<Uint8Array> {
    const operation = 'sign'
    if (message.length === 0 || message.length > MESSAGE_BYTES_MAX) {
      throw new KmsError('bad_request', operation, 'a message to sign has 1 to 4096 bytes')
    }
    if (!this.#algorithmOf.has(keyId)) await this.publicKey(keyId, signal)
    const algorithm = this.#algorithmOf.get(keyId)
    if (algorithm === undefined) {
      throw new KmsError('bad_request', operation, 'a signing key is ECC_NIST_EDWARDS25519 or ECC_NIST_P256')
    }
    return await this.#call(operation, this.#signingKey(keyId, operation), signal, async (client, key) => {
      const answer = await client.send(
        new this.#parts.sdk.SignCommand({
          KeyId: key.id,
          Message: message,
          MessageType: 'RAW',
          SigningAlgorithm: algorithm,
        }),
        { abortSignal: signal },
      )
      if (answer.Signature === undefined) throw incomplete(operation)
      return answer.Signature
    })
  }

  async publicKey(keyId: string, signal: AbortSignal): Promise<Uint8Array> {
    const operation = 'get_public_key'
    return await this.#call(operation, this.#signingKey(keyId, operation), signal, async (client, key) => {
      const answer = await client.send(new this.#parts.sdk.GetPublicKeyCommand({ KeyId: key.id }), {
        abortSignal: signal,
      })
      if (answer.PublicKey === undefined) throw incomplete(operation)
      const algorithm = SIGNING_ALGORITHMS.get(answer.KeySpec ?? answer.CustomerMasterKeySpec ?? '')
      if (algorithm !== undefined && this.#algorithmOf.size < SIGNING_KEYS_MAX) {
        this.#algorithmOf.set(keyId, algorithm)
      }
      return answer.PublicKey
    })
  }

  async close(): Promise<void> {
    this.#parts.clients.close()
  }

  async #call<T>(
    operation: string,
    keys: readonly AwsKey[],
    signal: AbortSignal,
    call: (client: KMSClient, key: AwsKey) => Promise<T>,
  ): Promise<T> {
    const { clients, failover } = this.#parts
    checkAbort(signal, operation)
    return await failover.first(keys, signal, async (attempt) => {
      const { timeoutMs, attemptsMax } = this.#patience(attempt)
      const client = clients.of(attempt.key.region, timeoutMs, attemptsMax, operation)
      try {
        return await abandonedOnAbort(call(client, attempt.key), signal, operation)
      } catch (thrown) {
        throw asAwsKmsError(thrown, operation, timeoutMs)
      }
    })
  }

  /** While another region waits its turn there is one short try, so that all of them fit into one request's time. */
  #patience({ hasNext, count }: Attempt): { timeoutMs: number; attemptsMax: number } {
    const { timeoutMs, attemptsMax } = this.#parts.request
    if (!hasNext) return { timeoutMs, attemptsMax }
    return { timeoutMs: Math.max(TIMEOUT_MS_MIN, Math.floor(timeoutMs / count)), attemptsMax: 1 }
  }

  #keysOf(context: KmsContext): readonly AwsKey[] {
    const { primary, replicas, ofTenants } = this.#parts.keys
    const own = ofTenants.get(context.tenantId)
    return own === undefined ? [primary, ...replicas] : [own]
  }

  /** The key that is named, then the configured keys that can stand in for it. */
  #keysToUnwrap(masterKeyId: string): readonly AwsKey[] {
    const named = parseKeyArn(masterKeyId)
    if (named === undefined) throw new KmsError('key_not_found', 'decrypt', 'not the ARN of a KMS key')
    const { primary, replicas } = this.#parts.keys
    const others = [primary, ...replicas].filter((key) => key.id !== named.id && areReplicas(key, named))
    return [named, ...others]
  }

  #signingKey(keyId: string, operation: string): readonly AwsKey[] {
    const key = parseKeyArn(keyId)
    if (key === undefined) throw new KmsError('key_not_found', operation, 'not the ARN of a KMS key')
    return [key]
  }
}

const SIGNING_ALGORITHMS: ReadonlyMap<string, SigningAlgorithmSpec> = new Map([
  ['ECC_NIST_EDWARDS25519', 'ED25519_SHA_512'],
  ['ECC_NIST_P256', 'ECDSA_SHA_256'],
])

/** What `describe` makes of a key that is there and cannot be used, so that its replicas are asked too. */
class KeyNotEnabled extends KmsError {
  constructor(operation: string, state: string | undefined) {
    super('key_disabled', operation, `the key is ${state ?? 'in no known state'}`)
  }
}

/** All entries, as the service binds them; throws bad_request for text that has no UTF-8. */
function encryptionContext(context: KmsContext): Record<string, string> {
  const entries = contextEntries(context)
  for (const [, value] of entries) utf8(value)
  // The names are ours, so none of them means something to an object.
  return Object.fromEntries(entries)
}

/** A copy outside of the SDK's buffer pool; the SDK's own bytes are zeroed. */
function taken(bytes: Uint8Array | undefined): Uint8Array | undefined {
  if (bytes === undefined) return undefined
  const own = new Uint8Array(bytes)
  bytes.fill(0)
  return own
}

function wrappedKey(wrapped: Uint8Array | undefined, arn: string | undefined, operation: string): WrappedKey {
  if (wrapped === undefined || wrapped.length === 0 || arn === undefined) throw incomplete(operation)
  return { wrapped, masterKeyId: arn }
}

/** Half an answer may be well-formed. The whole one may come next time. */
function incomplete(operation: string): KmsError {
  return new KmsError('network', operation, 'the answer lacks what was asked for')
}

function checkAbort(signal: AbortSignal, operation: string): void {
  if (signal.aborted) throw gaveUp(operation)
}

function gaveUp(operation: string): KmsError {
  return new KmsError('timeout', operation, 'gave up waiting')
}

/** Ends with the signal also where the SDK does not look at it: while credentials are fetched. */
function abandonedOnAbort<T>(promise: Promise<T>, signal: AbortSignal, operation: string): Promise<T> {
  return settledOrAborted(promise, signal, () => gaveUp(operation))
}
