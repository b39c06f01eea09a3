// The calls on Transit keys, and what is known of each key: that it was there a few minutes ago, and that the server
// binds what it wraps to a context.
import { randomBytes } from 'node:crypto'
import { contextBytes } from '../context-bytes.ts'
import { type GeneratedDataKey, type KmsClass, KmsError, type WrappedKey } from '../kms.ts'
import { base64Bytes, ciphertextOf } from './ciphertext.ts'
import type { VaultClient } from './client.ts'
import { textField, unusableAnswer } from './errors.ts'
import { bindingOf, boundContext, readTransitKey, type TransitKey, transitCall } from './keys.ts'
import type { TransitPath } from './path.ts'

export interface TransitSettings {
  readonly client: VaultClient
  readonly namespace: string | undefined
  readonly monotonicMs: () => number
}

interface KnownKey {
  readonly key: TransitKey
  readonly readAtMs: number
}

const DATA_KEY_BYTES = 32
/** How long a key that was read is believed to be there. */
const KEY_READ_MS_MAX = 5 * 60_000
const KEYS_MAX = 10_000
/** Failures after which a key is read again before it is used. */
const GONE: ReadonlySet<KmsClass> = new Set(['key_not_found', 'access_denied', 'bad_request'])

/** Every method rejects with `KmsError` under the operation that it is given. */
export class Transit {
  readonly #parts: TransitSettings
  readonly #known = new Map<string, KnownKey>()
  /** Keys whose server was seen to refuse another context. */
  readonly #bound = new Set<string>()

  constructor(parts: TransitSettings) {
    this.#parts = parts
  }

  /** A key that is there and binds contexts, which `encrypt` needs: on a missing one the server would make it. */
  async keyToWrap(operation: string, path: TransitPath, abort: AbortSignal): Promise<TransitKey> {
    const known = this.#known.get(path.id)
    const isFresh = known !== undefined && this.#parts.monotonicMs() - known.readAtMs < KEY_READ_MS_MAX
    const key = isFresh ? known.key : await this.readKey(operation, path, abort)
    if (bindingOf(key, operation) === 'associated_data' && !this.#bound.has(path.id)) {
      await this.#proveBinding(operation, key, abort)
      this.#bound.add(path.id)
    }
    return key
  }

  /** A key that `generateDataKey` may use. On a derived key the server's own call makes no missing key, so none is read. */
  async keyToGenerate(operation: string, path: TransitPath, abort: AbortSignal): Promise<TransitKey> {
    const known = this.#known.get(path.id)?.key
    return known?.binding === 'derived' ? known : await this.keyToWrap(operation, path, abort)
  }

  /** A key as it was first read: its kind cannot change while it exists. */
  async key(operation: string, path: TransitPath, abort: AbortSignal): Promise<TransitKey> {
    return this.#known.get(path.id)?.key ?? (await this.readKey(operation, path, abort))
  }

  /** A key as it is now. */
  async readKey(operation: string, path: TransitPath, abort: AbortSignal): Promise<TransitKey> {
    const { client, namespace, monotonicMs } = this.#parts
    try {
      const key = await readTransitKey(client, operation, namespace, path, abort)
      if (this.#known.size >= KEYS_MAX) this.#known.clear()
      this.#known.set(path.id, { key, readAtMs: monotonicMs() })
      return key
    } catch (thrown) {
      this.#forgetIfGone(path, thrown)
      throw thrown
    }
  }

  async generateDataKey(
    operation: string,
    key: TransitKey,
    context: Uint8Array,
    abort: AbortSignal,
  ): Promise<GeneratedDataKey> {
    if (key.binding !== 'derived') {
      // HashiCorp's datakey call ignores associated data, so the key would never open again: wrap one of our own.
      const plaintext = randomBytes(DATA_KEY_BYTES)
      return { plaintext, ...(await this.encrypt(operation, key, plaintext, context, abort)) }
    }
    const body = { ...boundContext(key, operation, context), bits: DATA_KEY_BYTES * 8 }
    const data = await this.call(operation, key.path, 'datakey/plaintext', body, abort)
    const plaintext = base64Bytes(textField(data, 'plaintext'))
    if (plaintext?.length !== DATA_KEY_BYTES) throw unusableAnswer(operation)
    return { plaintext, ...wrappedKey(operation, data, key) }
  }

  async encrypt(
    operation: string,
    key: TransitKey,
    plaintext: Uint8Array,
    context: Uint8Array,
    abort: AbortSignal,
  ): Promise<WrappedKey> {
    const bytes = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength)
    const body = { ...boundContext(key, operation, context), plaintext: bytes.toString('base64') }
    return wrappedKey(operation, await this.call(operation, key.path, 'encrypt', body, abort), key)
  }

  async decrypt(
    operation: string,
    key: TransitKey,
    wrapped: Uint8Array,
    context: Uint8Array,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    const ciphertext = ciphertextOf(wrapped)
    if (ciphertext === undefined)
      throw new KmsError('invalid_ciphertext', operation, 'wrapped key is not one of Transit')
    const body = { ...boundContext(key, operation, context), ciphertext }
    const data = await this.call(operation, key.path, 'decrypt', body, abort)
    const plaintext = base64Bytes(textField(data, 'plaintext'))
    if (plaintext === undefined) throw unusableAnswer(operation)
    return plaintext
  }

  /** `data` of the answer, untrusted. */
  async call(
    operation: string,
    path: TransitPath,
    verb: string,
    body: object,
    abort: AbortSignal,
  ): Promise<unknown> {
    const { client, namespace } = this.#parts
    try {
      return await client.call(transitCall(operation, namespace, path, verb, body), abort)
    } catch (thrown) {
      this.#forgetIfGone(path, thrown)
      throw thrown
    }
  }

  // Servers older than associated data ignore the field in silence, and would open a key under any context.
  async #proveBinding(operation: string, key: TransitKey, abort: AbortSignal): Promise<void> {
    const [one, other] = ['one', 'other'].map((keyId) =>
      contextBytes({ tenantId: 'binding-check', purpose: 'probe', keyId }),
    )
    const probe = randomBytes(DATA_KEY_BYTES)
    const { wrapped } = await this.encrypt(operation, key, probe, one!, abort)
    const opened = await this.decrypt(operation, key, wrapped, other!, abort).catch((thrown: unknown) => {
      if (thrown instanceof KmsError && thrown.kmsClass === 'invalid_ciphertext') return undefined
      throw thrown
    })
    if (opened !== undefined) {
      throw new KmsError(
        'bad_request',
        operation,
        'server ignores associated data; use a derived Transit key',
      )
    }
  }

  // A token that may not create keys meets 403 where a key is gone: the next read tells the two apart.
  #forgetIfGone(path: TransitPath, thrown: unknown): void {
    if (thrown instanceof KmsError && GONE.has(thrown.kmsClass)) this.#known.delete(path.id)
  }
}

function wrappedKey(operation: string, data: unknown, key: TransitKey): WrappedKey {
  const ciphertext = Buffer.from(textField(data, 'ciphertext') ?? '', 'latin1')
  if (ciphertextOf(ciphertext) === undefined) throw unusableAnswer(operation)
  return { wrapped: ciphertext, masterKeyId: key.path.id }
}
