// Signatures by asymmetric keys that stay inside AWS KMS.
import type { SigningAlgorithmSpec } from '@aws-sdk/client-kms'
import { KmsError } from '../kms.ts'
import { type AwsKey, parseKeyArn } from './arn.ts'
import { type AwsCalls, incomplete } from './calls.ts'
import type { AwsSdk } from './clients.ts'

const MESSAGE_BYTES_MAX = 4_096
const KEYS_MAX = 64

const ALGORITHMS: ReadonlyMap<string, SigningAlgorithmSpec> = new Map([
  ['ECC_NIST_EDWARDS25519', 'ED25519_SHA_512'],
  ['ECC_NIST_P256', 'ECDSA_SHA_256'],
])

export class AwsSigner {
  readonly #sdk: AwsSdk
  readonly #calls: AwsCalls
  /** A key never changes its kind. */
  readonly #algorithmOf = new Map<string, SigningAlgorithmSpec>()

  constructor(sdk: AwsSdk, calls: AwsCalls) {
    this.#sdk = sdk
    this.#calls = calls
  }

  /** `keyId` is the ARN of an ECC_NIST_EDWARDS25519 key (64 raw bytes come back) or of an ECC_NIST_P256 one (DER). The
   *  message has 1 to 4096 bytes. */
  async sign(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const operation = 'sign'
    if (message.length === 0 || message.length > MESSAGE_BYTES_MAX) {
      throw new KmsError('bad_request', operation, 'a message to sign has 1 to 4096 bytes')
    }
    const algorithm = this.#algorithmOf.get(keyId) ?? (await this.#describe(keyId, abort)).algorithm
    if (algorithm === undefined) {
      throw new KmsError('bad_request', operation, 'a signing key is ECC_NIST_EDWARDS25519 or ECC_NIST_P256')
    }
    return await this.#calls.call(
      operation,
      signingKey(keyId, operation),
      abort,
      async (client, key, abort) => {
        const answer = await client.send(
          new this.#sdk.SignCommand({
            KeyId: key.id,
            Message: message,
            // Ed25519 signs messages, not digests.
            MessageType: 'RAW',
            SigningAlgorithm: algorithm,
          }),
          { abortSignal: abort },
        )
        if (answer.Signature === undefined) throw incomplete(operation)
        return answer.Signature
      },
    )
  }

  /** DER SubjectPublicKeyInfo. */
  async publicKey(keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    return (await this.#describe(keyId, abort)).publicKey
  }

  async #describe(
    keyId: string,
    abort: AbortSignal,
  ): Promise<{ publicKey: Uint8Array; algorithm: SigningAlgorithmSpec | undefined }> {
    const operation = 'get_public_key'
    return await this.#calls.call(
      operation,
      signingKey(keyId, operation),
      abort,
      async (client, key, abort) => {
        const answer = await client.send(new this.#sdk.GetPublicKeyCommand({ KeyId: key.id }), {
          abortSignal: abort,
        })
        if (answer.PublicKey === undefined) throw incomplete(operation)
        const algorithm = ALGORITHMS.get(answer.KeySpec ?? answer.CustomerMasterKeySpec ?? '')
        if (algorithm !== undefined && this.#algorithmOf.size < KEYS_MAX) {
          this.#algorithmOf.set(keyId, algorithm)
        }
        return { publicKey: answer.PublicKey, algorithm }
      },
    )
  }
}

function signingKey(keyId: string, operation: string): readonly AwsKey[] {
  const key = parseKeyArn(keyId)
  if (key === undefined) throw new KmsError('key_not_found', operation, 'not the ARN of a KMS key')
  return [key]
}
