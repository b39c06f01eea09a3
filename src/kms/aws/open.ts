// AWS KMS. The context goes along as the EncryptionContext, the key's ARN with every call, so that a wrapped key opens
// only under the key that its announcement names. See docs/setup/aws.md for the policy that this needs.
import type { KMSClientConfig } from '@aws-sdk/client-kms'
import { type Clock, systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/telemetry.ts'
import { contextEntries, type KmsContext } from '../../formats/key-context.ts'
import { contextBytes } from '../context-bytes.ts'
import { type GeneratedDataKey, type Kms, type KmsDescription, KmsError, type WrappedKey } from '../kms.ts'
import { type AwsKey, type AwsKeys, areReplicas, parseKeyArn, readAwsKeys } from './arn.ts'
import { AwsCalls, checkAbort, incomplete } from './calls.ts'
import { AwsClients, type AwsRequestOptions, type AwsSdk, loadAwsSdk } from './clients.ts'
import { AwsFailover } from './failover.ts'
import { AwsSigner } from './signer.ts'

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

// Plain keys are handed over as copies: the SDK's own bytes lie in a pool with other things, and are zeroed here.
const DATA_KEY_BYTES = 32
const PLAINTEXT_BYTES_MAX = 4_096
const CIPHERTEXT_BYTES_MAX = 6_144

/** Loads the SDK and checks the settings; asks the service nothing. Rejects CONFIG with one line. */
export async function openAwsKms(options: AwsKmsOptions): Promise<Kms> {
  const { log, endpoint, useFipsEndpoint, request, credentials } = options
  log.info('Initializing KMS provider: aws')
  const keys = readAwsKeys(options)
  const sdk = await loadAwsSdk()
  const ownKeys = [keys.primary, ...keys.replicas, ...keys.ofTenants.values()]
  const ownRegions = new Set(ownKeys.map(({ region }) => region))
  const warn = (text: string): void => log.warn(text)
  const clients = new AwsClients(sdk, { endpoint, useFipsEndpoint, request, credentials, ownRegions, warn })
  const failover = new AwsFailover(options.clock ?? systemClock, (region, failure) => {
    if (failure === undefined) log.info({ region }, `AWS KMS - region: ${region} works again`)
    else
      log.warn(
        { region, error: failure },
        `AWS KMS - region: ${region} failed, asking the other regions first`,
      )
  })
  log.info(`Using AWS KMS - region: ${keys.primary.region}, key: ${keys.primary.id}`)
  return new AwsKms(sdk, keys, new AwsCalls({ clients, failover, request }))
}

class AwsKms implements Kms {
  readonly provider = 'aws'
  readonly masterKeyId: string
  readonly #sdk: AwsSdk
  readonly #keys: AwsKeys
  readonly #calls: AwsCalls
  readonly #signer: AwsSigner

  constructor(sdk: AwsSdk, keys: AwsKeys, calls: AwsCalls) {
    this.masterKeyId = keys.primary.id
    this.#sdk = sdk
    this.#keys = keys
    this.#calls = calls
    this.#signer = new AwsSigner(sdk, calls)
  }

  masterKeyOf(tenantId: string): string {
    return (this.#keys.ofTenants.get(tenantId) ?? this.#keys.primary).id
  }

  /** A replica is the primary in another region, and each call asks them all. */
  canonicalKeyId(masterKeyId: string): string {
    const { primary } = this.#keys
    const named = parseKeyArn(masterKeyId)
    return named !== undefined && areReplicas(primary, named) ? primary.id : masterKeyId
  }

  async generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    const operation = 'generate_data_key'
    return await this.#calls.call(operation, this.#keysOf(context), abort, async (client, key, abort) => {
      const answer = await client.send(
        new this.#sdk.GenerateDataKeyCommand({
          KeyId: key.id,
          KeySpec: 'AES_256',
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: abort },
      )
      const { Plaintext: held } = answer
      try {
        if (held?.length !== DATA_KEY_BYTES) throw incomplete(operation)
        const wrapped = wrappedKey(answer.CiphertextBlob, answer.KeyId, operation)
        checkAbort(abort, operation)
        return { plaintext: new Uint8Array(held), ...wrapped }
      } finally {
        held?.fill(0)
      }
    })
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    const operation = 'encrypt'
    return await this.#calls.call(operation, this.#keysOf(context), abort, async (client, key, abort) => {
      if (plaintext.length === 0 || plaintext.length > PLAINTEXT_BYTES_MAX) {
        throw new KmsError('bad_request', operation, 'plaintext must be 1 to 4096 bytes')
      }
      const answer = await client.send(
        new this.#sdk.EncryptCommand({
          KeyId: key.id,
          Plaintext: plaintext,
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: abort },
      )
      return wrappedKey(answer.CiphertextBlob, answer.KeyId, operation)
    })
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    const operation = 'decrypt'
    const keys = this.#keysToUnwrap(masterKeyId)
    return await this.#calls.call(operation, keys, abort, async (client, key, abort) => {
      if (wrapped.length === 0 || wrapped.length > CIPHERTEXT_BYTES_MAX) {
        throw new KmsError('invalid_ciphertext', operation, 'a wrapped key has 1 to 6144 bytes')
      }
      const answer = await client.send(
        new this.#sdk.DecryptCommand({
          KeyId: key.id,
          CiphertextBlob: wrapped,
          EncryptionContext: encryptionContext(context),
        }),
        { abortSignal: abort },
      )
      const { Plaintext: held } = answer
      try {
        if (held === undefined) throw incomplete(operation)
        checkAbort(abort, operation)
        if (answer.KeyId === key.id) return new Uint8Array(held)
        throw new KmsError('invalid_ciphertext', operation, 'another master key unwrapped it')
      } finally {
        held?.fill(0)
      }
    })
  }

  async describe(abort: AbortSignal): Promise<KmsDescription> {
    const operation = 'describe_key'
    const { primary, replicas } = this.#keys
    try {
      return await this.#calls.call(operation, [primary, ...replicas], abort, async (client, key, abort) => {
        const answer = await client.send(new this.#sdk.DescribeKeyCommand({ KeyId: key.id }), {
          abortSignal: abort,
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

  async sign(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    return await this.#signer.sign(message, keyId, abort)
  }

  async publicKey(keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    return await this.#signer.publicKey(keyId, abort)
  }

  async close(): Promise<void> {
    this.#calls.close()
  }

  #keysOf(context: KmsContext): readonly AwsKey[] {
    const { primary, replicas, ofTenants } = this.#keys
    const own = ofTenants.get(context.tenantId)
    return own === undefined ? [primary, ...replicas] : [own]
  }

  /** The key that is named, then the configured keys that can stand in for it. */
  #keysToUnwrap(masterKeyId: string): readonly AwsKey[] {
    const named = parseKeyArn(masterKeyId)
    if (named === undefined) throw new KmsError('key_not_found', 'decrypt', 'not the ARN of a KMS key')
    const { primary, replicas } = this.#keys
    const others = [primary, ...replicas].filter((key) => key.id !== named.id && areReplicas(key, named))
    return [named, ...others]
  }
}

/** What `describe` makes of a key that is there and cannot be used, so that its replicas are asked too. */
class KeyNotEnabled extends KmsError {
  constructor(operation: string, state: string | undefined) {
    super('key_disabled', operation, `the key is ${state ?? 'in no known state'}`)
  }
}

/** All entries, as the service binds them; throws bad_request for text that has no UTF-8. */
function encryptionContext(context: KmsContext): Record<string, string> {
  contextBytes(context) // The SDK would send U+FFFD for text that has no UTF-8.
  const entries = contextEntries(context)
  // The names are ours, so none of them means something to an object.
  return Object.fromEntries(entries)
}

function wrappedKey(wrapped: Uint8Array | undefined, arn: string | undefined, operation: string): WrappedKey {
  if (wrapped === undefined || wrapped.length === 0 || arn === undefined) throw incomplete(operation)
  return { wrapped, masterKeyId: arn }
}
