// HashiCorp Vault and OpenBao: the Transit engine, spoken to over plain HTTP.
//
// "encrypt" on a key that is not there makes one, and whoever lost a key would not notice. So a key is read before it
// wraps (and again every few minutes), which narrows the gap; what closes it is a policy with `update` but not `create`
// on encrypt/<key>, or `disable_upsert` on the mount.
import { randomBytes } from 'node:crypto'
import { type KmsContext, serialiseContext } from '../context.ts'
import {
  asKmsError,
  type GeneratedDataKey,
  type Kms,
  type KmsClass,
  type KmsDescription,
  KmsError,
  type WrappedKey,
} from '../kms.ts'
import { base64Bytes, ciphertextOf } from './vault-ciphertext.ts'
import { VaultClient } from './vault-client.ts'
import { textField, unusableAnswer } from './vault-errors.ts'
import { VaultHttp } from './vault-http.ts'
import { bindingOf, boundContext, readTransitKey, type TransitKey, transitCall } from './vault-keys.ts'
import { chooseLogin } from './vault-login.ts'
import { type VaultKmsOptions, vaultSetting } from './vault-options.ts'
import { isKeyName, parseMasterKeyId, type TransitPath, transitPath } from './vault-path.ts'
import { VaultSession } from './vault-session.ts'
import { type ConfiguredKeys, configuredKeys, isOpenToOthers, parseAddress } from './vault-settings.ts'
import { parseSigningKeyName, publicKeyOf, signatureOf, signBody } from './vault-signing.ts'

export type { VaultKmsOptions } from './vault-options.ts'

const WRAP_BYTES_MAX = 4_096
const DATA_KEY_BYTES = 32
/** How long a key that was read is believed to be there. */
const KEY_READ_MS_MAX = 5 * 60_000
const KEYS_MAX = 10_000
/** Failures after which a key is read again before it is used. */
const GONE: ReadonlySet<KmsClass> = new Set(['key_not_found', 'access_denied', 'bad_request'])

/**
 * Reads files, then asks the server about the default key. A key that cannot bind a context rejects CONFIG, as do settings
 * that name nothing possible; a server that does not answer or denies is logged, and asked again with each call.
 */
export async function openVaultKms(options: VaultKmsOptions): Promise<Kms> {
  const { log } = options
  log.info('Initializing KMS provider: vault')
  const address = parseAddress(options.address)
  const keys = configuredKeys(options)
  const http = await VaultHttp.open({
    address,
    tlsFiles: {
      caFile: options.caFile,
      clientCertFile: options.clientCertFile,
      clientKeyFile: options.clientKeyFile,
    },
    connectTimeoutMs: options.request.connectTimeoutMs,
    timeoutMs: options.request.timeoutMs,
  })
  const kms = new VaultKms(options, http, keys)
  log.info(`Using Vault Transit - address: ${options.address}, key: ${kms.masterKeyId}`)
  if (isOpenToOthers(address))
    log.warn('kms.vault.address is plain http: tokens and data keys cross the network in the open')
  try {
    await kms.checkDefaultKey(AbortSignal.timeout(options.request.timeoutMs))
  } catch (thrown) {
    await kms.close()
    throw thrown
  }
  return kms
}

interface KnownKey {
  readonly key: TransitKey
  readonly readAtMs: number
}

class VaultKms implements Kms {
  readonly provider = 'vault'
  readonly masterKeyId: string
  readonly #options: VaultKmsOptions
  readonly #keys: ConfiguredKeys
  readonly #http: VaultHttp
  readonly #session: VaultSession
  readonly #client: VaultClient
  readonly #monotonicMs: () => number
  readonly #known = new Map<string, KnownKey>()
  /** Keys whose server was seen to refuse another context. */
  readonly #binding = new Set<string>()

  constructor(options: VaultKmsOptions, http: VaultHttp, keys: ConfiguredKeys) {
    const random = options.random ?? Math.random
    this.masterKeyId = keys.fallback.id
    this.#options = options
    this.#keys = keys
    this.#http = http
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now())
    this.#session = new VaultSession({
      http,
      login: chooseLogin(options, http),
      namespace: options.namespace,
      log: options.log,
      monotonicMs: this.#monotonicMs,
      random,
      schedule: options.schedule ?? scheduleTimer,
    })
    this.#client = new VaultClient({
      http,
      session: this.#session,
      attemptsMax: options.request.attemptsMax,
      random,
    })
  }

  async generateDataKey(context: KmsContext, signal: AbortSignal): Promise<GeneratedDataKey> {
    const operation = 'generate_data_key'
    const bytes = serialiseContext(context)
    const key = await this.#wrappingKey(operation, context.tenantId, signal)
    if (key.binding !== 'derived') {
      // HashiCorp's datakey call ignores associated data, so the key would never open again: wrap one of our own.
      const plaintext = randomBytes(DATA_KEY_BYTES)
      return { plaintext, ...(await this.#encrypt(operation, key, plaintext, bytes, signal)) }
    }
    const body = { ...boundContext(key, operation, bytes), bits: DATA_KEY_BYTES * 8 }
    const data = await this.#call(operation, key.path, 'datakey/plaintext', body, signal)
    const plaintext = base64Bytes(textField(data, 'plaintext'))
    if (plaintext?.length !== DATA_KEY_BYTES) throw unusableAnswer(operation)
    return { plaintext, ...wrappedKey(operation, data, key) }
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, signal: AbortSignal): Promise<WrappedKey> {
    const operation = 'encrypt'
    if (plaintext.length === 0 || plaintext.length > WRAP_BYTES_MAX) {
      throw new KmsError('bad_request', operation, 'plaintext must be 1 to 4096 bytes')
    }
    const bytes = serialiseContext(context)
    const key = await this.#wrappingKey(operation, context.tenantId, signal)
    return this.#encrypt(operation, key, plaintext, bytes, signal)
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const operation = 'decrypt'
    const bytes = serialiseContext(context)
    const path = parseMasterKeyId(masterKeyId, this.#options.namespace, this.#keys.mounts)
    if (path === undefined) {
      throw new KmsError('key_not_found', operation, 'no configured mount or namespace holds this master key')
    }
    // What a key is cannot change while it exists, so what was read once is good for opening.
    const key = this.#known.get(path.id)?.key ?? (await this.#readKey(operation, path, signal))
    return this.#decrypt(operation, key, wrapped, bytes, signal)
  }

  async describe(signal: AbortSignal): Promise<KmsDescription> {
    const key = await this.#readKey('describe_key', this.#keys.fallback, signal)
    return { enabled: key.isEnabled && key.binding !== undefined, masterKeyId: this.masterKeyId }
  }

  async sign(message: Uint8Array, keyId: string, signal: AbortSignal): Promise<Uint8Array> {
    const { key, version } = await this.#signer('sign', keyId, signal)
    const data = await this.#call('sign', key.path, 'sign', signBody(key, message, version), signal)
    return signatureOf(data, version)
  }

  async publicKey(keyId: string, signal: AbortSignal): Promise<Uint8Array> {
    const { key, version } = await this.#signer('public_key', keyId, signal)
    return publicKeyOf(key, version)
  }

  async close(): Promise<void> {
    await this.#session.close()
    this.#http.close()
  }

  /** Rejects CONFIG when the key cannot serve; whatever may pass is logged. */
  async checkDefaultKey(signal: AbortSignal): Promise<void> {
    try {
      await this.#checkedKey('describe_key', this.#keys.fallback, signal)
    } catch (thrown) {
      const error = asKmsError(thrown, 'describe_key')
      if (error.kmsClass === 'bad_request') throw vaultSetting('key_name', error.providerMessage, error)
      this.#options.log.error({ error: error.kmsClass, runbook: error.runbook }, error.logText)
    }
  }

  #wrappingKey(operation: string, tenantId: string, signal: AbortSignal): Promise<TransitKey> {
    const path = this.#keys.ofTenants.get(tenantId) ?? this.#keys.fallback
    return this.#checkedKey(operation, path, signal)
  }

  /** A key that was there a few minutes ago and binds contexts. */
  async #checkedKey(operation: string, path: TransitPath, signal: AbortSignal): Promise<TransitKey> {
    const known = this.#known.get(path.id)
    const isFresh = known !== undefined && this.#monotonicMs() - known.readAtMs < KEY_READ_MS_MAX
    const key = isFresh ? known.key : await this.#readKey(operation, path, signal)
    if (bindingOf(key, operation) === 'associated_data' && !this.#binding.has(path.id)) {
      await this.#proveBinding(operation, key, signal)
      this.#binding.add(path.id)
    }
    return key
  }

  async #readKey(operation: string, path: TransitPath, signal: AbortSignal): Promise<TransitKey> {
    const { namespace } = this.#options
    try {
      const key = await readTransitKey(this.#client, operation, namespace, path, signal)
      if (this.#known.size >= KEYS_MAX) this.#known.clear()
      this.#known.set(path.id, { key, readAtMs: this.#monotonicMs() })
      return key
    } catch (thrown) {
      this.#forgetIfGone(path, thrown)
      throw thrown
    }
  }

  // Servers older than associated data ignore the field in silence, and would open a key under any context.
  async #proveBinding(operation: string, key: TransitKey, signal: AbortSignal): Promise<void> {
    const [one, other] = ['one', 'other'].map((keyId) =>
      serialiseContext({ tenantId: 'binding-check', purpose: 'probe', keyId }),
    )
    const probe = randomBytes(DATA_KEY_BYTES)
    const { wrapped } = await this.#encrypt(operation, key, probe, one!, signal)
    const opened = await this.#decrypt(operation, key, wrapped, other!, signal).catch((thrown: unknown) => {
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

  async #encrypt(
    operation: string,
    key: TransitKey,
    plaintext: Uint8Array,
    context: Uint8Array,
    signal: AbortSignal,
  ): Promise<WrappedKey> {
    const bytes = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength)
    const body = { ...boundContext(key, operation, context), plaintext: bytes.toString('base64') }
    return wrappedKey(operation, await this.#call(operation, key.path, 'encrypt', body, signal), key)
  }

  async #decrypt(
    operation: string,
    key: TransitKey,
    wrapped: Uint8Array,
    context: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const ciphertext = ciphertextOf(wrapped)
    if (ciphertext === undefined)
      throw new KmsError('invalid_ciphertext', operation, 'wrapped key is not one of Transit')
    const body = { ...boundContext(key, operation, context), ciphertext }
    const data = await this.#call(operation, key.path, 'decrypt', body, signal)
    const plaintext = base64Bytes(textField(data, 'plaintext'))
    if (plaintext === undefined) throw unusableAnswer(operation)
    return plaintext
  }

  async #signer(
    operation: string,
    keyId: string,
    signal: AbortSignal,
  ): Promise<{ key: TransitKey; version: number | undefined }> {
    const { mount, namespace } = this.#options
    const named = parseSigningKeyName(keyId)
    const isPlain = named !== undefined && isKeyName(named.name)
    const path = isPlain
      ? transitPath(namespace, mount, named.name)
      : named && parseMasterKeyId(named.name, namespace, this.#keys.mounts)
    if (named === undefined || path === undefined)
      throw new KmsError(
        'key_not_found',
        operation,
        'no configured mount or namespace holds this signing key',
      )
    // Read each time for the public key, whose newest version changes with a rotation.
    const known = operation === 'sign' ? this.#known.get(path.id)?.key : undefined
    return { key: known ?? (await this.#readKey(operation, path, signal)), version: named.version }
  }

  async #call(
    operation: string,
    path: TransitPath,
    verb: string,
    body: object,
    signal: AbortSignal,
  ): Promise<unknown> {
    try {
      return await this.#client.call(
        transitCall(operation, this.#options.namespace, path, verb, body),
        signal,
      )
    } catch (thrown) {
      this.#forgetIfGone(path, thrown)
      throw thrown
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

function scheduleTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs).unref()
  return () => clearTimeout(timer)
}
