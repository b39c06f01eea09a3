// The Key Vault clients: loaded when first needed, one credential for all vaults.
//
// A `CryptographyClient` that is given a key's id, or a whole key, reads the key before its first call, refuses by its
// own clock to unwrap under an expired version, which the service allows, and wraps here when it can. One that is given
// a key that is only named does none of it: each operation is one call.
import { createRequire } from 'node:module'
import type { CryptographyClient, KeyClient, KeyClientOptions, KeyVaultKey } from '@azure/keyvault-keys'
import { SidecarError } from '../../base/errors.ts'
import { readCaFile } from '../ca-file.ts'
import { TimedAgent } from './agent.ts'
import { type AzureKeyId, formatKeyId } from './key-id.ts'
import { requestBodyPolicies } from './request-body.ts'
import type { AzureSecretText } from './settings.ts'

type KeysModule = typeof import('@azure/keyvault-keys')
type IdentityModule = typeof import('@azure/identity')
type Credential =
  | InstanceType<IdentityModule['DefaultAzureCredential']>
  | InstanceType<IdentityModule['ClientSecretCredential']>

export interface AzureSdk {
  readonly keys: KeysModule
  readonly identity: IdentityModule
}

export interface AzureVaultOptions {
  readonly tenantId: string | undefined
  readonly clientId: string | undefined
  readonly clientSecret: AzureSecretText | undefined
  /** Of Entra ID; `undefined`: the environment's, else the public cloud's. */
  readonly authorityHost: string | undefined
  readonly caFile: string | undefined
  readonly connectTimeoutMs: number
  /** A proxy that the environment names takes the place of our own connections. */
  readonly isProxied: boolean
}

const INSTALL = 'npm install @azure/keyvault-keys@4.10.2 @azure/identity@4.14.1'
const CLIENTS_MAX = 1_024
/** Where a challenge names a resource that the vault's own name must end with. */
const CLOUD_SUFFIXES = [
  '.vault.azure.net',
  '.managedhsm.azure.net',
  '.vault.azure.cn',
  '.managedhsm.azure.cn',
  '.vault.usgovcloudapi.net',
  '.managedhsm.usgovcloudapi.net',
]
const CLOUD_AUTHORITIES = new Set([
  'login.microsoftonline.com',
  'login.chinacloudapi.cn',
  'login.partner.microsoftonline.cn',
  'login.microsoftonline.us',
])

/** Throws CONFIG with the command that installs the packages. */
export async function loadAzureSdk(): Promise<AzureSdk> {
  try {
    const [keys, identity] = await Promise.all([import('@azure/keyvault-keys'), import('@azure/identity')])
    return { keys, identity }
  } catch (cause) {
    throw notInstalled(cause)
  }
}

/** Throws CONFIG with the command that installs the packages; loads nothing. */
export function checkAzurePackages(): void {
  try {
    const { resolve } = createRequire(import.meta.url)
    for (const name of ['@azure/keyvault-keys', '@azure/identity']) resolve(name)
  } catch (cause) {
    throw notInstalled(cause)
  }
}

function notInstalled(cause: unknown): SidecarError {
  const message = `kms.provider: azure needs packages that are not installed: ${INSTALL}`
  return new SidecarError('CONFIG', message, { cause })
}

export class AzureVault {
  readonly #sdk: AzureSdk
  readonly #options: AzureVaultOptions
  readonly #credential: Credential
  readonly #ca: Buffer | undefined
  readonly #agent: TimedAgent | undefined
  readonly #keyClients = new Map<string, KeyClient>()
  /** By versioned id; a client negotiates how to authenticate with its first call, so it is kept. */
  readonly #cryptographyClients = new Map<string, CryptographyClient>()

  /** Throws CONFIG when a setting is of no use. */
  constructor(sdk: AzureSdk, options: AzureVaultOptions) {
    this.#sdk = sdk
    this.#options = options
    this.#ca = readCaFile('azure', options.caFile)
    const ca = this.#ca === undefined ? {} : { ca: this.#ca }
    if (!options.isProxied) this.#agent = new TimedAgent(options.connectTimeoutMs, ca)
    this.#credential = this.#makeCredential()
  }

  keyClient(vaultUrl: string): KeyClient {
    let client = this.#keyClients.get(vaultUrl)
    if (client === undefined) {
      client = new this.#sdk.keys.KeyClient(vaultUrl, this.#credential, this.#clientOptions(vaultUrl))
      this.#keyClients.set(vaultUrl, client)
    }
    return client
  }

  /** `id` has a version: without one the client would ask for a path that is not there. */
  cryptographyClient(id: AzureKeyId & { readonly version: string }): CryptographyClient {
    const { vaultUrl, name, version } = id
    const text = formatKeyId(id)
    const known = this.#cryptographyClients.get(text)
    if (known !== undefined) return known
    const key: KeyVaultKey = { id: text, name, properties: { id: text, name, vaultUrl, version } }
    const client = new this.#sdk.keys.CryptographyClient(key, this.#credential, this.#clientOptions(vaultUrl))
    const [oldest] = this.#cryptographyClients.keys()
    if (this.#cryptographyClients.size >= CLIENTS_MAX) this.#cryptographyClients.delete(oldest!)
    this.#cryptographyClients.set(text, client)
    return client
  }

  close(): void {
    this.#agent?.destroy()
  }

  // A fresh object for each client: each writes its user agent into the one it is given.
  #clientOptions(vaultUrl: string): KeyClientOptions {
    const { hostname } = new URL(vaultUrl)
    return {
      retryOptions: { maxRetries: 0 },
      additionalPolicies: requestBodyPolicies(),
      disableChallengeResourceVerification: !CLOUD_SUFFIXES.some((suffix) => hostname.endsWith(suffix)),
      ...(this.#agent === undefined ? this.#tlsOptions() : { agent: this.#agent }),
    }
  }

  #tlsOptions(): { readonly tlsOptions?: { readonly ca: Buffer } } {
    return this.#ca === undefined ? {} : { tlsOptions: { ca: this.#ca } }
  }

  #makeCredential(): Credential {
    const { tenantId, clientId, clientSecret, authorityHost } = this.#options
    const { ClientSecretCredential, DefaultAzureCredential } = this.#sdk.identity
    const common = {
      retryOptions: { maxRetries: 0 },
      ...this.#tlsOptions(),
      ...(authorityHost === undefined ? {} : { authorityHost }),
      // Only the public clouds know each other; asking one about a private authority would end every login.
      disableInstanceDiscovery:
        authorityHost !== undefined && !CLOUD_AUTHORITIES.has(new URL(authorityHost).hostname),
    }
    // A secret without the other two is refused with the settings.
    if (clientSecret !== undefined && tenantId !== undefined && clientId !== undefined) {
      return new ClientSecretCredential(tenantId, clientId, clientSecret.reveal(), common)
    }
    return new DefaultAzureCredential({
      ...common,
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(clientId === undefined
        ? {}
        : { managedIdentityClientId: clientId, workloadIdentityClientId: clientId }),
    })
  }
}
