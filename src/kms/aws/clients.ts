// The AWS SDK, loaded when the first key service of AWS is opened, and one client per region.
import { createRequire } from 'node:module'
import type { KMSClient, KMSClientConfig } from '@aws-sdk/client-kms'
import { SidecarError } from '../../base/errors.ts'
import { KmsError } from '../kms.ts'
import { readXmlRefusals } from './xml-refusals.ts'

export type AwsSdk = typeof import('@aws-sdk/client-kms')

export interface AwsRequestOptions {
  readonly connectTimeoutMs: number
  /** One attempt, until its answer begins, and then between two pieces of it; all attempts together take no longer than
   *  as many times this, and the pauses between them. */
  readonly timeoutMs: number
  readonly attemptsMax: number
}

export interface AwsClientOptions {
  readonly endpoint: string | undefined
  readonly useFipsEndpoint: boolean
  readonly request: AwsRequestOptions
  /** The SDK's default chain when absent: environment, profile, web identity, container, instance. */
  readonly credentials: KMSClientConfig['credentials'] | undefined
  /** Regions of the configured keys. */
  readonly ownRegions: ReadonlySet<string>
  /** Hears what the SDK would otherwise write to the console, such as that all sockets are in use. */
  readonly warn: (text: string) => void
}

// A wrapped key names its region, and telemetry from outside may name any: no more of them than AWS has, about.
const OTHER_REGIONS_MAX = 40
const SOCKETS_MAX = 128

/** Rejects CONFIG, with the command to run, when the package is not installed. */
export async function loadAwsSdk(): Promise<AwsSdk> {
  try {
    const loaded = await import('@aws-sdk/client-kms')
    // A bundler may turn the CommonJS package into a module that has only a default export.
    return 'default' in loaded ? (loaded.default as AwsSdk) : loaded
  } catch (cause) {
    throw notInstalled(cause)
  }
}

/** Throws CONFIG with the command that installs the package; loads nothing. */
export function checkAwsPackage(): void {
  try {
    createRequire(import.meta.url).resolve('@aws-sdk/client-kms')
  } catch (cause) {
    throw notInstalled(cause)
  }
}

function notInstalled(cause: unknown): SidecarError {
  return new SidecarError(
    'CONFIG',
    'kms.provider: aws needs the package @aws-sdk/client-kms; run npm install @aws-sdk/client-kms',
    { cause },
  )
}

export class AwsClients {
  readonly #sdk: AwsSdk
  readonly #options: AwsClientOptions
  readonly #clients = new Map<string, KMSClient>()
  readonly #otherRegions = new Set<string>()

  constructor(sdk: AwsSdk, options: AwsClientOptions) {
    this.#sdk = sdk
    this.#options = options
  }

  /** A client with the given patience; throws key_not_found when too many regions were asked for. */
  of(region: string, timeoutMs: number, attemptsMax: number, operation: string): KMSClient {
    const name = JSON.stringify([region, timeoutMs, attemptsMax])
    const known = this.#clients.get(name)
    if (known !== undefined) return known
    this.#admit(region, operation)
    const client = new this.#sdk.KMSClient(this.#config(region, timeoutMs, attemptsMax))
    readXmlRefusals(client)
    this.#clients.set(name, client)
    return client
  }

  close(): void {
    for (const client of this.#clients.values()) client.destroy()
    this.#clients.clear()
  }

  #admit(region: string, operation: string): void {
    if (this.#options.ownRegions.has(region)) return
    if (this.#otherRegions.size >= OTHER_REGIONS_MAX && !this.#otherRegions.has(region)) {
      throw new KmsError('key_not_found', operation, 'master keys of too many regions were asked for')
    }
    this.#otherRegions.add(region)
  }

  #config(region: string, timeoutMs: number, attemptsMax: number): KMSClientConfig {
    const { endpoint, useFipsEndpoint, credentials, request, warn } = this.#options
    const agent = { keepAlive: true, maxSockets: SOCKETS_MAX }
    return {
      region,
      maxAttempts: attemptsMax,
      // Adaptive mode would delay good calls long after the throttling is over.
      retryMode: 'standard',
      useFipsEndpoint,
      requestHandler: {
        connectionTimeout: Math.min(request.connectTimeoutMs, timeoutMs),
        requestTimeout: timeoutMs,
        // Without this the SDK writes a warning and goes on waiting.
        throwOnRequestTimeout: true,
        // Silence inside an answer is none of the two above.
        socketTimeout: timeoutMs,
        // Of the connections only: a logger of the client would be told keys.
        logger: { debug: ignore, info: ignore, warn, error: warn },
        httpAgent: agent,
        httpsAgent: agent,
      },
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials !== undefined && { credentials }),
    }
  }
}

function ignore(): void {}
