// HashiCorp Vault and OpenBao: the Transit engine, spoken to over plain HTTP.
//
// "encrypt" on a key that is not there makes one, and whoever lost a key would not notice. So a key is read before it
// wraps (and again every few minutes), which narrows the gap; what closes it is a policy with `update` but not `create`
// on encrypt/<key>, or `disable_upsert` on the mount.
import type { KmsContext } from '../../formats/key-context.ts'
import { contextBytes } from '../context-bytes.ts'
import {
  asKmsError,
  type GeneratedDataKey,
  type Kms,
  type KmsDescription,
  KmsError,
  type WrappedKey,
} from '../kms.ts'
import { VaultClient } from './client.ts'
import { VaultHttp } from './http.ts'
import { chooseLogin } from './login.ts'
import { type VaultKmsOptions, vaultSetting } from './options.ts'
import { isKeyName, parseMasterKeyId, type TransitPath, transitPath } from './path.ts'
import { VaultSession } from './session.ts'
import { type ConfiguredKeys, configuredKeys, isOpenToOthers } from './settings.ts'
import { parseSigningKeyName, publicKeyOf, signatureOf, signBody } from './signing.ts'
import { Transit } from './transit.ts'

export type { VaultKmsOptions } from './options.ts'

const WRAP_BYTES_MAX = 4_096

/**
 * Reads files, then asks the server about the default key. A key that cannot bind a context rejects CONFIG, as do settings
 * that name nothing possible; a server that does not answer or denies is logged, and asked again with each call.
 */
export async function openVaultKms(options: VaultKmsOptions): Promise<Kms> {
  const { log } = options
  log.info('Initializing KMS provider: vault')
  const keys = configuredKeys(options)
  const { address } = keys
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

class VaultKms implements Kms {
  readonly provider = 'vault'
  readonly masterKeyId: string
  readonly #options: VaultKmsOptions
  readonly #keys: ConfiguredKeys
  readonly #http: VaultHttp
  readonly #session: VaultSession
  readonly #transit: Transit

  constructor(options: VaultKmsOptions, http: VaultHttp, keys: ConfiguredKeys) {
    const { log, namespace } = options
    const random = options.random ?? Math.random
    const monotonicMs = options.monotonicMs ?? (() => performance.now())
    const schedule = options.schedule ?? scheduleTimer
    this.masterKeyId = keys.fallback.id
    this.#options = options
    this.#keys = keys
    this.#http = http
    const login = chooseLogin(options, http)
    this.#session = new VaultSession({ http, login, namespace, log, monotonicMs, random, schedule })
    const { attemptsMax } = options.request
    const client = new VaultClient({ http, session: this.#session, attemptsMax, random })
    this.#transit = new Transit({ client, namespace, monotonicMs })
  }

  masterKeyOf(tenantId: string): string {
    return this.#pathOf(tenantId).id
  }

  async generateDataKey(context: KmsContext, abort: AbortSignal): Promise<GeneratedDataKey> {
    const operation = 'generate_data_key'
    const bytes = contextBytes(context)
    const key = await this.#transit.keyToGenerate(operation, this.#pathOf(context.tenantId), abort)
    return this.#transit.generateDataKey(operation, key, bytes, abort)
  }

  async wrap(plaintext: Uint8Array, context: KmsContext, abort: AbortSignal): Promise<WrappedKey> {
    const operation = 'encrypt'
    if (plaintext.length === 0 || plaintext.length > WRAP_BYTES_MAX) {
      throw new KmsError('bad_request', operation, 'plaintext must be 1 to 4096 bytes')
    }
    const bytes = contextBytes(context)
    const key = await this.#transit.keyToWrap(operation, this.#pathOf(context.tenantId), abort)
    return this.#transit.encrypt(operation, key, plaintext, bytes, abort)
  }

  async unwrap(
    wrapped: Uint8Array,
    masterKeyId: string,
    context: KmsContext,
    abort: AbortSignal,
  ): Promise<Uint8Array> {
    const operation = 'decrypt'
    const bytes = contextBytes(context)
    const path = parseMasterKeyId(masterKeyId, this.#options.namespace, this.#keys.mounts)
    if (path === undefined) {
      throw new KmsError('key_not_found', operation, 'no configured mount or namespace holds this master key')
    }
    const key = await this.#transit.key(operation, path, abort)
    return this.#transit.decrypt(operation, key, wrapped, bytes, abort)
  }

  async describe(abort: AbortSignal): Promise<KmsDescription> {
    const key = await this.#transit.readKey('describe_key', this.#keys.fallback, abort)
    return { enabled: key.isEnabled && key.binding !== undefined, masterKeyId: this.masterKeyId }
  }

  async sign(message: Uint8Array, keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const { path, version } = this.#signer('sign', keyId)
    const key = await this.#transit.key('sign', path, abort)
    const data = await this.#transit.call('sign', path, 'sign', signBody(key, message, version), abort)
    return signatureOf(data, version)
  }

  async publicKey(keyId: string, abort: AbortSignal): Promise<Uint8Array> {
    const { path, version } = this.#signer('public_key', keyId)
    // Which version is the newest changes with a rotation.
    return publicKeyOf(await this.#transit.readKey('public_key', path, abort), version)
  }

  async close(): Promise<void> {
    await this.#session.close()
    this.#http.close()
  }

  /** Rejects CONFIG when the key cannot serve; whatever may pass is logged. */
  async checkDefaultKey(abort: AbortSignal): Promise<void> {
    try {
      await this.#transit.keyToWrap('describe_key', this.#keys.fallback, abort)
    } catch (thrown) {
      const error = asKmsError(thrown, 'describe_key')
      if (error.kmsClass === 'bad_request') throw vaultSetting('key_name', error.providerMessage, error)
      this.#options.log.error({ error: error.kmsClass, runbook: error.runbook }, error.logText)
    }
  }

  #pathOf(tenantId: string): TransitPath {
    return this.#keys.ofTenants.get(tenantId) ?? this.#keys.fallback
  }

  #signer(operation: string, keyId: string): { path: TransitPath; version: number | undefined } {
    const { mount, namespace } = this.#options
    const named = parseSigningKeyName(keyId)
    if (named !== undefined) {
      const { name, version } = named
      const path = isKeyName(name)
        ? transitPath(namespace, mount, name)
        : parseMasterKeyId(name, namespace, this.#keys.mounts)
      if (path !== undefined) return { path, version }
    }
    throw new KmsError('key_not_found', operation, 'no configured mount or namespace holds this signing key')
  }
}

function scheduleTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs).unref()
  return () => clearTimeout(timer)
}
