// The operations of Key Vault and Managed HSM. Their wrapKey takes no context and is pinned to a version of a key: the
// context is bound by the envelope, and the version stands in the master key id of what was wrapped.
import { createHash, createPublicKey, randomBytes } from 'node:crypto'
import type { KeyVaultKey } from '@azure/keyvault-keys'
import type { Clock } from '../../base/clock.ts'
import type { KmsContext } from '../../formats/key-context.ts'
import { type AttemptSettings, callWithAttempts } from '../attempts.ts'
import { contextBytes } from '../context-bytes.ts'
import { type GeneratedDataKey, type Kms, type KmsDescription, KmsError, type WrappedKey } from '../kms.ts'
import { checkWrappable, generateByWrapping } from '../random-key.ts'
import type { CurrentKey, CurrentKeys } from './current-key.ts'
import { ENVELOPE_KEY_BYTES, openEnvelope, parseEnvelope, sealEnvelope } from './envelope.ts'
import { azureError } from './errors.ts'
import { type AzureKeyId, formatKeyId, parseKeyId } from './key-id.ts'
import { derOfEcdsa } from './signature.ts'
import type { AzureVault } from './vault.ts'

export interface AzureKmsSettings {
  readonly vault: AzureVault
  readonly master: AzureKeyId
  readonly ofTenants: ReadonlyMap<string, AzureKeyId>
  readonly trustedVaults: ReadonlySet<string>
  readonly currentKeys: CurrentKeys
  readonly attempts: AttemptSettings
  readonly clock: Clock
}

export class AzureKms implements Kms {
  readonly provider = 'azure'
  readonly masterKeyId: string
  readonly #parts: AzureKmsSettings

  constructor(parts: AzureKmsSettings) {
    this.masterKeyId = formatKeyId(parts.master)
    this.#parts = parts
  }

  masterKeyOf(tenantId: string): string {
    return formatKeyId(this.#parts.ofTenants.get(tenantId) ?? this.#parts.master)
  }

  /** Without its version. */
  canonicalKeyId(masterKeyId: string): string {
    const id = parseKeyId(masterKeyId)
    return id === undefined ? masterKeyId : formatKeyId({ ...id, version: undefined })
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
    const id = this.#versionedId(masterKeyId, 'decrypt')
    const envelope = parseEnvelope(wrapped)
    const bound = contextBytes(context)
    const key = await this.#call('decrypt', id, abort, async (abortSignal) => {
      const client = this.#parts.vault.cryptographyClient(id)
      // Options are passed on as they are; the client's own type forgot that it takes a signal.
      const answer = await client.unwrapKey(envelope.algorithm, envelope.wrappedKey, { abortSignal })
      return requireBytes(answer.result, 'decrypt')
    })
    try {
      return openEnvelope(envelope, bound, key)
    } finally {
      key.fill(0)
    }
  }

  /** Needs the permission to get the key, as the first wrap does. */
  async describe(abort: AbortSignal): Promise<KmsDescription> {
    const { vault, master, clock } = this.#parts
    const { masterKeyId } = this
    try {
      const key = await this.#call('describe_key', master, abort, (abortSignal) =>
        vault.keyClient(master.vaultUrl).getKey(master.name, {
          abortSignal,
          ...(master.version === undefined ? {} : { version: master.version }),
        }),
      )
      return { enabled: isUsable(key, clock.nowMs()), masterKeyId }
    } catch (thrown) {
      if (thrown instanceof KmsError && thrown.kmsClass === 'key_disabled')
        return { enabled: false, masterKeyId }
      throw thrown
    }
  }

  /** `keyId` is a P-256 key's id with its version. The signature, ES256, is DER. */
  async sign(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const id = this.#versionedId(keyId, 'sign')
    const digest = createHash('sha256').update(message).digest()
    return this.#call('sign', id, abort, async (abortSignal) => {
      const client = this.#parts.vault.cryptographyClient(id)
      const { result } = await client.sign('ES256', digest, { abortSignal })
      const signature = derOfEcdsa(requireBytes(result, 'sign'))
      if (signature === undefined) throw new KmsError('network', 'sign', 'the answer is no ES256 signature')
      return signature
    })
  }

  async publicKey(keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const id = this.#versionedId(keyId, 'get_public_key')
    const key = await this.#call('get_public_key', id, abort, (abortSignal) =>
      this.#parts.vault.keyClient(id.vaultUrl).getKey(id.name, { version: id.version, abortSignal }),
    )
    const { crv, x, y } = key.key ?? {}
    if (crv !== 'P-256' || x === undefined || y === undefined) {
      throw new KmsError('bad_request', 'get_public_key', 'the key is not on the curve P-256')
    }
    const jwk = { kty: 'EC', crv, x: base64url(x), y: base64url(y) }
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' })
  }

  async close(): Promise<void> {
    this.#parts.vault.close()
  }

  async #wrap(
    operation: string,
    plaintext: Uint8Array,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<WrappedKey> {
    const { ofTenants, master } = this.#parts
    const bound = contextBytes(context)
    const reference = ofTenants.get(context.tenantId) ?? master
    return this.#call(operation, reference, abort, async (abortSignal) => {
      const key = randomBytes(ENVELOPE_KEY_BYTES)
      try {
        const { id, algorithm, wrappedKey } = await this.#wrapKey(reference, key, operation, abortSignal)
        const wrapped = sealEnvelope(plaintext, bound, key, algorithm, wrappedKey)
        return { wrapped, masterKeyId: formatKeyId(id) }
      } finally {
        key.fill(0)
      }
    })
  }

  // When the version that we remember is of no more use, there may be a newer one.
  async #wrapKey(
    reference: AzureKeyId,
    key: Uint8Array,
    operation: string,
    abortSignal: AbortSignal,
  ): Promise<CurrentKey & { readonly wrappedKey: Uint8Array }> {
    const { vault, currentKeys } = this.#parts
    let lastVersion: string | undefined
    for (;;) {
      const reading = currentKeys.get(reference, operation)
      const { id, algorithm } = await reading
      try {
        const { result } = await vault.cryptographyClient(id).wrapKey(algorithm, key, { abortSignal })
        return { id, algorithm, wrappedKey: requireBytes(result, operation) }
      } catch (thrown) {
        const { kmsClass } = azureError(thrown, operation)
        const isSpent = kmsClass === 'key_disabled' || kmsClass === 'key_not_found'
        if (!isSpent || id.version === lastVersion) throw thrown
        currentKeys.forget(reference, reading)
        lastVersion = id.version
      }
    }
  }

  #versionedId(text: string, operation: string): AzureKeyId & { readonly version: string } {
    const id = parseKeyId(text)
    if (id?.version === undefined || !this.#parts.trustedVaults.has(id.vaultUrl)) {
      throw new KmsError(
        'key_not_found',
        operation,
        'the key id is no version of a key in a configured vault',
      )
    }
    return { ...id, version: id.version }
  }

  async #call<T>(
    operation: string,
    key: AzureKeyId,
    abort: AbortSignal,
    attempt: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await callWithAttempts(this.#parts.attempts, operation, abort, attempt)
    } catch (thrown) {
      const isMissing = thrown instanceof KmsError && thrown.kmsClass === 'key_not_found'
      if (isMissing && (await this.#isRecoverable(key, abort))) {
        throw new KmsError('key_disabled', operation, 'the key is deleted, and can be recovered for now')
      }
      throw thrown
    }
  }

  /** Whether a key that is not found is only deleted softly. Asked once, and a failure to ask is a no. */
  async #isRecoverable({ vaultUrl, name }: AzureKeyId, abort: AbortSignal): Promise<boolean> {
    const timeout = AbortSignal.timeout(this.#parts.attempts.limits.timeoutMs)
    const abortSignal = AbortSignal.any([abort, timeout])
    const client = this.#parts.vault.keyClient(vaultUrl)
    return client.getDeletedKey(name, { abortSignal }).then(
      () => true,
      () => false,
    )
  }
}

function isUsable({ properties }: KeyVaultKey, nowMs: number): boolean {
  const { enabled, notBefore, expiresOn } = properties
  const isValid = nowMs >= (notBefore?.getTime() ?? 0) && nowMs < (expiresOn?.getTime() ?? Infinity)
  return enabled !== false && isValid
}

function requireBytes(value: unknown, operation: string): Uint8Array {
  if (value instanceof Uint8Array && value.length > 0) return value
  throw new KmsError('network', operation, 'the answer holds no result: half of one, or another server')
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
