// The Cloud KMS client: loaded when it is first needed, opened with the first call, opened anew after it failed to open.
//
// Calls go to `innerApiCalls`, below the methods that the client offers: those write each request and answer, plaintext
// keys included, to standard error when GOOGLE_SDK_NODE_LOGGING is set, and end the process with an unhandled rejection
// when no credentials are found.
import { createRequire } from 'node:module'
import { SidecarError } from '../../base/errors.ts'
import { readCaFile } from '../ca-file.ts'
import { KmsError } from '../kms.ts'
import type { GcpEndpoint } from './settings.ts'

type KmsModule = typeof import('@google-cloud/kms')
type GaxModule = typeof import('google-gax')
type Client = InstanceType<KmsModule['KeyManagementServiceClient']>
type ClientOptions = NonNullable<ConstructorParameters<KmsModule['KeyManagementServiceClient']>[0]>
type Stub = InstanceType<GaxModule['grpc']['Client']>

export interface GcpSdk {
  readonly kms: KmsModule
  readonly gax: GaxModule
}

export interface GcpConnectionOptions {
  readonly projectId: string
  readonly endpoint: GcpEndpoint
  readonly caFile: string | undefined
  readonly connectTimeoutMs: number
}

export type GcpMethod = 'encrypt' | 'decrypt' | 'getCryptoKey' | 'getPublicKey' | 'asymmetricSign'

interface Opened {
  readonly client: Client
  readonly stub: Stub
}

const INSTALL = 'npm install @google-cloud/kms@6.3.0'
const SCOPE = 'https://www.googleapis.com/auth/cloudkms'
/** A refused connection is tried again this soon, and in the end this often, as long as there are calls. */
const RECONNECT_MS_FIRST = 100
const RECONNECT_MS_MAX = 300
/** Time for one more try of a connection that has failed; longer than the longest wait between two, with its jitter. */
const RECONNECT_WAIT_MS_MAX = 500
const KEEPALIVE_MS = 20_000
const KEEPALIVE_TIMEOUT_MS = 2_000

/** Throws CONFIG with the command that installs the package. */
export async function loadGcpSdk(): Promise<GcpSdk> {
  try {
    const kms = await import('@google-cloud/kms')
    // The client's own copy of gax, wherever the package manager put it: a second copy has classes of its own.
    const here = createRequire(import.meta.url)
    const gax: GaxModule = createRequire(here.resolve('@google-cloud/kms'))('google-gax')
    return { kms, gax }
  } catch (cause) {
    throw notInstalled(cause)
  }
}

/** Throws CONFIG with the command that installs the package; loads nothing. */
export function checkGcpPackages(): void {
  try {
    createRequire(import.meta.url).resolve('@google-cloud/kms')
  } catch (cause) {
    throw notInstalled(cause)
  }
}

function notInstalled(cause: unknown): SidecarError {
  const message = `kms.provider: gcp needs a package that is not installed: ${INSTALL}`
  return new SidecarError('CONFIG', message, { cause })
}

export class GcpConnection {
  readonly #sdk: GcpSdk
  readonly #options: GcpConnectionOptions
  readonly #ca: Buffer | null
  #opening: Promise<Opened> | undefined
  #isClosed = false

  /** Throws CONFIG when the file of authorities cannot be read. */
  constructor(sdk: GcpSdk, options: GcpConnectionOptions) {
    this.#sdk = sdk
    this.#options = options
    this.#ca = readCaFile('gcp', options.caFile) ?? null
  }

  /** One call. Rejects with `KmsError` when no connection comes about, otherwise with what the client threw. */
  async call(
    method: GcpMethod,
    operation: string,
    request: { readonly name: string },
    abort: AbortSignal,
  ): Promise<Readonly<Record<string, unknown>>> {
    if (this.#isClosed) throw new KmsError('bad_request', operation, 'the client is closed')
    this.#opening ??= this.#open()
    const { client, stub } = await this.#opening
    await this.#connected(stub, operation, abort)
    const { createRetryOptions, createDefaultBackoffSettings, routingHeader } = this.#sdk.gax
    const [answer] = await client.innerApiCalls[method]!(request, {
      abort,
      // The client's own retries would turn "unavailable" into "deadline exceeded" and multiply with ours.
      retry: createRetryOptions([], createDefaultBackoffSettings()),
      otherArgs: { headers: { 'x-goog-request-params': routingHeader.fromParams({ name: request.name }) } },
    })
    return answer
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const opened = await this.#opening?.catch(() => undefined) // one that never opened needs no closing
    await opened?.client.close()
  }

  async #open(): Promise<Opened> {
    try {
      const client = new this.#sdk.kms.KeyManagementServiceClient(await this.#clientOptions())
      const stub: unknown = await client.initialize()
      return { client, stub: stub as Stub } // typed as a map of methods; the class behind it is grpc.Client
    } catch (thrown) {
      // A client that failed to open keeps its failure for ever, the first lack of credentials too.
      this.#opening = undefined
      throw thrown
    }
  }

  async #clientOptions(): Promise<ClientOptions> {
    const { endpoint } = this.#options
    const { GoogleAuth, googleAuthLibrary, grpc } = this.#sdk.gax
    const channel = {
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS_FIRST,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS_MAX,
      // Connections of our own: not those, nor their backoff, of another client in this process.
      'grpc.use_local_subchannel_pool': 1,
      // A connection that died in silence is noticed. Pings go out only while a call waits.
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    }
    const target = { ...channel, apiEndpoint: endpoint.host, port: endpoint.port }
    if (endpoint.isPlaintext) {
      const authClient = new googleAuthLibrary.PassThroughClient()
      return { ...target, authClient, sslCreds: grpc.credentials.createInsecure() }
    }
    // Without a project at hand some credentials have it looked up, on the internet, before the first call.
    const auth = new GoogleAuth({ scopes: [SCOPE], projectId: this.#options.projectId })
    if (this.#ca === null) return { ...target, auth }
    const authClient = await auth.getClient()
    const bearer = grpc.credentials.createFromMetadataGenerator(({ service_url }, done) => {
      authClient.getRequestHeaders(service_url).then(
        (headers) => {
          const metadata = new grpc.Metadata()
          headers.forEach((value, name) => {
            metadata.set(name, value)
          })
          done(null, metadata)
        },
        (error: Error) => done(error),
      )
    })
    const sslCreds = grpc.credentials.combineChannelCredentials(grpc.credentials.createSsl(this.#ca), bearer)
    return { ...target, auth, sslCreds }
  }

  // A call on a channel that has just failed fails at once, so one more try of the connection is waited for. When that
  // fails too, the call is made all the same: its error is the one that says why.
  async #connected(stub: Stub, operation: string, abort: AbortSignal): Promise<void> {
    const { READY, TRANSIENT_FAILURE } = this.#sdk.gax.grpc.connectivityState
    const { connectTimeoutMs } = this.#options
    const channel = stub.getChannel()
    const startMs = performance.now()
    let waitMs = connectTimeoutMs
    for (;;) {
      const state = channel.getConnectivityState(true)
      if (state === READY || abort.aborted) return
      const passedMs = performance.now() - startMs
      if (state === TRANSIENT_FAILURE) waitMs = Math.min(RECONNECT_WAIT_MS_MAX, connectTimeoutMs / 2)
      if (passedMs >= waitMs) {
        if (state === TRANSIENT_FAILURE) return
        throw new KmsError('timeout', operation, `No connection after ${connectTimeoutMs}ms`)
      }
      const until = new Date(Date.now() + waitMs - passedMs)
      // Its error only says that the time is over, which the next round sees for itself.
      await new Promise<void>((resolve) => channel.watchConnectivityState(state, until, () => resolve()))
    }
  }
}
