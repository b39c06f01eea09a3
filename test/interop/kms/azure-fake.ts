// Azure Key Vault and Managed HSM as far as we use them, over their real wire protocol: HTTPS with a bearer challenge,
// keys with versions and validity, wrapkey and unwrapkey with real RSA-OAEP-256 and AES key wrap, sign with real ES256,
// soft deletion. Beside it the two ways to a token: Entra ID's token endpoint, and the metadata service of a machine.
//
// Not modelled: role assignments (an identity is allowed everything or nothing), firewalls, quotas, backups, purging,
// rotation policies, other algorithms, creating keys over the wire, regional endpoints, claims challenges. Tokens are
// opaque. Texts of errors follow the service's where we know them.
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { signDigest } from './ecdsa-digest.ts'
import type { KeyPair } from './fault-proxy.ts'

export const TENANT = '11111111-2222-3333-4444-555555555555'

type KeyType = 'RSA' | 'RSA-HSM' | 'oct-HSM' | 'EC'

interface Version {
  readonly id: string
  isEnabled: boolean
  notBeforeMs: number | undefined
  expiresMs: number | undefined
  /** Private key, or bytes of an AES key. */
  readonly secret: KeyObject | Buffer
  readonly publicKey: KeyObject | undefined
}

interface FakeKey {
  readonly type: KeyType
  readonly versions: Version[]
  isDeleted: boolean
}

export interface FakeCall {
  readonly method: string
  readonly path: string
  /** `RSA-OAEP-256` and the like, where the body named one. */
  readonly algorithm: string | undefined
  readonly isAuthorised: boolean
  readonly userAgent: string
}

class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly innerCode: string | undefined

  constructor(status: number, code: string, message: string, innerCode?: string) {
    super(message)
    this.status = status
    this.code = code
    this.innerCode = innerCode
  }
}

const RESOURCE = 'https://vault.azure.net'
const KEY_WRAP_IV = Buffer.from('A6A6A6A6A6A6A6A6', 'hex')

export class FakeKeyVault {
  readonly #vault: Server
  readonly #entra: Server
  readonly #imds: Server
  readonly #keys = new Map<string, FakeKey>()
  readonly #tokens = new Map<string, { readonly identity: string; readonly endMs: number }>()
  readonly #clients = new Map<string, string>()
  /** Tokens of a cluster's own, which Entra ID takes instead of a secret. */
  readonly #assertions = new Map<string, string>()
  readonly #denied = new Set<string>()
  /** Requests to the vault, in order, also those refused. */
  readonly calls: FakeCall[] = []
  /** Plain keys that were wrapped or unwrapped, base64url. */
  readonly plainKeys: string[] = []
  /** Tokens asked for, by how. */
  readonly logins: string[] = []
  /** How long a request that holds no token waits for its challenge, by whether it came with a body. */
  challengeDelayMs: { readonly withBody: number; readonly empty: number } = { withBody: 0, empty: 0 }
  /** Requests that brought a body and no token: a key on its way to who has not been asked for a name yet. */
  bodiesWithoutToken = 0

  constructor(tls: KeyPair) {
    const key = { key: tls.key, cert: tls.cert }
    this.#vault = createServer(key, (request, response) => this.#serve(request, response, this.#answerVault))
    this.#entra = createServer(key, (request, response) => this.#serve(request, response, this.#answerEntra))
    this.#imds = createHttpServer((request, response) => this.#serve(request, response, this.#answerImds))
  }

  async start(): Promise<void> {
    for (const server of [this.#vault, this.#entra, this.#imds]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
  }

  async stop(): Promise<void> {
    for (const server of [this.#vault, this.#entra, this.#imds]) {
      const closed = once(server, 'close')
      server.close()
      if ('closeAllConnections' in server)
        (server as ReturnType<typeof createHttpServer>).closeAllConnections()
      await closed
    }
  }

  get url(): string {
    return `https://127.0.0.1:${portOf(this.#vault)}`
  }

  get authorityHost(): string {
    return `https://127.0.0.1:${portOf(this.#entra)}`
  }

  /** Where AZURE_POD_IDENTITY_AUTHORITY_HOST points. */
  get metadataHost(): string {
    return `http://127.0.0.1:${portOf(this.#imds)}`
  }

  get tokens(): readonly string[] {
    return [...this.#tokens.keys()]
  }

  addClient(clientId: string, secret: string): void {
    this.#clients.set(clientId, secret)
  }

  addAssertion(clientId: string, assertion: string): void {
    this.#assertions.set(assertion, clientId)
  }

  deny(identity: string, isDenied: boolean): void {
    if (isDenied) this.#denied.add(identity)
    else this.#denied.delete(identity)
  }

  /** The version's id. */
  createKey(name: string, type: KeyType = 'RSA'): string {
    this.#keys.set(name, { type, versions: [], isDeleted: false })
    return this.rotate(name)
  }

  rotate(name: string): string {
    const key = this.#keys.get(name)!
    const version = newVersion(key.type)
    key.versions.push(version)
    return version.id
  }

  /** Of one version, or of all. */
  change(name: string, change: Partial<Omit<Version, 'id' | 'secret'>>, versionId?: string): void {
    for (const version of this.#keys.get(name)!.versions) {
      if (versionId === undefined || version.id === versionId) Object.assign(version, change)
    }
  }

  delete(name: string): void {
    this.#keys.get(name)!.isDeleted = true
  }

  #serve(
    request: IncomingMessage,
    response: ServerResponse,
    answer: (request: IncomingMessage, url: URL, body: string, response: ServerResponse) => object,
  ): void {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(`https://any${request.url ?? '/'}`)
      let status = 200
      let body: object
      try {
        body = answer.call(this, request, url, Buffer.concat(chunks).toString(), response)
      } catch (thrown) {
        if (!(thrown instanceof Refusal)) throw thrown
        status = thrown.status
        const innererror = thrown.innerCode === undefined ? {} : { innererror: { code: thrown.innerCode } }
        body =
          answer === this.#answerVault
            ? { error: { code: thrown.code, message: thrown.message, ...innererror } }
            : { error: thrown.code, error_description: thrown.message }
      }
      const send = (): void =>
        void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      const { withBody, empty } = this.challengeDelayMs
      const delayMs = status === 401 ? (chunks.length > 0 ? withBody : empty) : 0
      if (delayMs > 0) setTimeout(send, delayMs)
      else send()
    })
  }

  #answerVault(request: IncomingMessage, url: URL, body: string, response: ServerResponse): object {
    const parameters = body === '' ? {} : (JSON.parse(body) as Record<string, unknown>) // an object, by the client
    const { alg } = parameters
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const known = token === undefined ? undefined : this.#tokens.get(token)
    const isAuthorised = known !== undefined && trueNowMs() < known.endMs
    this.calls.push({
      method: request.method ?? '',
      path: url.pathname,
      algorithm: typeof alg === 'string' ? alg : undefined,
      isAuthorised,
      userAgent: String(request.headers['user-agent']),
    })
    if (!isAuthorised) {
      if (body !== '') this.bodiesWithoutToken++
      const challenge = `Bearer authorization="${this.authorityHost}/${TENANT}", resource="${RESOURCE}"`
      response.setHeader('www-authenticate', challenge)
      throw new Refusal(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.')
    }
    if (this.#denied.has(known.identity)) {
      const text = `Caller is not authorized to perform action on resource. Caller: appid=${known.identity}`
      throw new Refusal(403, 'Forbidden', text, 'ForbiddenByRbac')
    }
    if (!url.searchParams.has('api-version')) throw new Refusal(400, 'BadParameter', 'api-version is missing')
    return this.#answerKey(request.method ?? '', url.pathname, parameters, request.headers.host ?? '')
  }

  #answerKey(method: string, path: string, parameters: Record<string, unknown>, host: string): object {
    const [, collection, name = '', versionId = '', operation] = path.split('/')
    const key = this.#keys.get(name)
    if (collection === 'deletedkeys' && method === 'GET') {
      if (key?.isDeleted !== true) throw notFound(name)
      return { ...bundle(host, name, key.versions.at(-1)!, key.type), recoveryId: `https://${host}${path}` }
    }
    const isCurrent = versionId === '' && operation === undefined
    const version = isCurrent ? key?.versions.at(-1) : key?.versions.find(({ id }) => id === versionId)
    if (collection !== 'keys' || key === undefined || key.isDeleted || version === undefined)
      throw notFound(name)
    if (method === 'GET' && operation === undefined) return bundle(host, name, version, key.type)
    if (method !== 'POST') throw new Refusal(405, 'BadParameter', 'no such method')
    const kid = `https://${host}/keys/${name}/${version.id}`
    const value = Buffer.from(String(parameters.value), 'base64url')
    const result = operate(operation ?? '', key, version, String(parameters.alg), value)
    if (operation !== 'sign') {
      this.plainKeys.push((operation === 'wrapkey' ? value : result).toString('base64url'))
    }
    // The value first, so that half of an answer holds it.
    return { value: result.toString('base64url'), kid }
  }

  #answerEntra(_: IncomingMessage, url: URL, body: string): object {
    const base = `${this.authorityHost}/${TENANT}`
    if (url.pathname === `/${TENANT}/v2.0/.well-known/openid-configuration`) {
      return {
        issuer: `${base}/v2.0`,
        token_endpoint: `${base}/oauth2/v2.0/token`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        end_session_endpoint: `${base}/oauth2/v2.0/logout`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
      }
    }
    if (url.pathname !== `/${TENANT}/oauth2/v2.0/token`) throw new Refusal(404, 'not_found', 'no such path')
    const form = new URLSearchParams(body)
    const clientId = form.get('client_id') ?? ''
    const assertion = form.get('client_assertion')
    const secret = form.get('client_secret')
    this.logins.push(assertion === null ? 'secret' : 'assertion')
    const isKnown =
      assertion === null
        ? secret !== null && this.#clients.get(clientId) === secret
        : this.#assertions.get(assertion) === clientId
    if (!isKnown) throw new Refusal(401, 'invalid_client', 'AADSTS7000215: Invalid client secret provided.')
    if (form.get('scope')?.includes(`${RESOURCE}/.default`) !== true) {
      throw new Refusal(400, 'invalid_scope', 'AADSTS70011: The provided scope is not valid.')
    }
    return {
      token_type: 'Bearer',
      expires_in: 3_599,
      ext_expires_in: 3_599,
      access_token: this.#issue(clientId),
    }
  }

  #answerImds(request: IncomingMessage, url: URL): object {
    if (url.pathname.replace(/\/$/, '') !== '/metadata/identity/oauth2/token') {
      throw new Refusal(404, 'not_found', `no such path: ${url.pathname}`)
    }
    if (request.headers.metadata !== 'true') {
      throw new Refusal(400, 'invalid_request', 'Required metadata header not specified')
    }
    this.logins.push('metadata')
    return {
      access_token: this.#issue(url.searchParams.get('client_id') ?? 'machine'),
      client_id: url.searchParams.get('client_id') ?? 'machine',
      expires_in: '3599',
      expires_on: String(Math.floor(trueNowMs() / 1_000) + 3_599),
      resource: RESOURCE,
      token_type: 'Bearer',
    }
  }

  #issue(identity: string): string {
    const token = `eyJ0fake.${randomBytes(48).toString('base64url')}`
    this.#tokens.set(token, { identity, endMs: trueNowMs() + 3_599_000 })
    return token
  }
}

function operate(operation: string, key: FakeKey, version: Version, alg: string, value: Buffer): Buffer {
  const isOpening = operation === 'unwrapkey'
  requireUsable(version, operation, isOpening)
  const isRsa = key.type === 'RSA' || key.type === 'RSA-HSM'
  if (isRsa && operation === 'wrapkey') {
    return publicEncrypt({ key: version.publicKey!, ...oaep(alg) }, value)
  }
  if (isRsa && isOpening) {
    const { secret } = version
    return opened(() => privateDecrypt({ key: secret as KeyObject, ...oaep(alg) }, value)) // RSA keys are key objects
  }
  if (key.type === 'oct-HSM' && alg === 'A256KW') {
    const secret = version.secret as Buffer // AES keys are bytes
    const make = isOpening ? createDecipheriv : createCipheriv
    return opened(() => {
      const cipher = make('aes256-wrap', secret, KEY_WRAP_IV)
      return Buffer.concat([cipher.update(value), cipher.final()])
    })
  }
  if (key.type === 'EC' && operation === 'sign' && alg === 'ES256' && value.length === 32) {
    return signDigest(version.secret as KeyObject, value) // EC keys are key objects
  }
  throw new Refusal(400, 'BadParameter', `Key and key type do not allow operation '${operation}' with ${alg}`)
}

function oaep(alg: string): { oaepHash: string; padding: number } {
  const oaepHash = alg === 'RSA-OAEP-256' ? 'sha256' : alg === 'RSA-OAEP' ? 'sha1' : undefined
  if (oaepHash === undefined) throw new Refusal(400, 'BadParameter', `${alg} is not supported`)
  return { oaepHash, padding: constants.RSA_PKCS1_OAEP_PADDING }
}

function opened(open: () => Buffer): Buffer {
  try {
    return open()
  } catch {
    throw new Refusal(400, 'BadParameter', 'The parameter is incorrect.')
  }
}

/** Outside of their validity keys still unwrap and verify; disabled ones do nothing. */
function requireUsable(version: Version, operation: string, isOpening: boolean): void {
  const refuse = (what: string, inner: string): never => {
    const text = `Operation ${operation} is not allowed on ${what} key.`
    throw new Refusal(403, 'Forbidden', text, inner)
  }
  if (!version.isEnabled) refuse('a disabled', 'KeyDisabled')
  if (isOpening) return
  if (version.expiresMs !== undefined && trueNowMs() >= version.expiresMs) refuse('an expired', 'KeyExpired')
  if (version.notBeforeMs !== undefined && trueNowMs() < version.notBeforeMs) {
    refuse('a not yet valid', 'KeyNotYetValid')
  }
}

function newVersion(type: KeyType): Version {
  const state = { isEnabled: true, notBeforeMs: undefined, expiresMs: undefined }
  const id = randomBytes(16).toString('hex')
  if (type === 'oct-HSM') return { ...state, id, secret: randomBytes(32), publicKey: undefined }
  const pair =
    type === 'EC'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2_048 })
  return { ...state, id, secret: pair.privateKey, publicKey: pair.publicKey }
}

function bundle(host: string, name: string, version: Version, type: KeyType): object {
  const { kty: _, ...publicParts } = version.publicKey?.export({ format: 'jwk' }) ?? {}
  const seconds = (ms: number | undefined): number | undefined =>
    ms === undefined ? undefined : Math.floor(ms / 1_000)
  return {
    key: {
      kid: `https://${host}/keys/${name}/${version.id}`,
      kty: type,
      key_ops: type === 'EC' ? ['sign', 'verify'] : ['wrapKey', 'unwrapKey', 'encrypt', 'decrypt'],
      ...publicParts,
    },
    attributes: {
      enabled: version.isEnabled,
      nbf: seconds(version.notBeforeMs),
      exp: seconds(version.expiresMs),
      created: 1_700_000_000,
      updated: 1_700_000_000,
      recoveryLevel: 'Recoverable+Purgeable',
      recoverableDays: 90,
    },
  }
}

function notFound(name: string): Refusal {
  return new Refusal(404, 'KeyNotFound', `A key with (name/id) ${name} was not found in this key vault.`)
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port // listens on TCP, so never a path
}

/** Time that does not follow a faked `Date`. */
function trueNowMs(): number {
  return performance.timeOrigin + performance.now()
}
