// Cloud KMS as far as we use it, over its real wire protocol: gRPC with the messages that the client library ships, TLS,
// bearer tokens of a security token service beside it or signed by a service account. Keys have versions with states;
// AES-256-GCM, Ed25519 and P-256 are real; checksums are checked and given as the service does.
//
// Not modelled: key rings, locations and projects as things that exist (a name is a name), IAM policies (an identity is
// allowed everything or nothing), quotas (see `misbehave`), protection levels, imports, autokey, raw encryption, MAC,
// decapsulation, listing, creating and updating over the wire, audit logs. Texts of errors follow the service's where we
// know them. The ciphertext's form is our own: the real one is opaque.
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import {
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { signDigest } from './ecdsa-digest.ts'
import type { KeyPair } from './fault-proxy.ts'

type State = 'ENABLED' | 'DISABLED' | 'DESTROYED' | 'DESTROY_SCHEDULED'
type Algorithm =
  | 'GOOGLE_SYMMETRIC_ENCRYPTION'
  | 'EC_SIGN_ED25519'
  | 'EC_SIGN_P256_SHA256'
  | 'RSA_SIGN_PSS_2048_SHA256'

interface Version {
  state: State
  readonly secret: Buffer | KeyObject
}

interface FakeKey {
  readonly algorithm: Algorithm
  readonly versions: Version[]
}

/** A message as protobufjs makes an object of it: bytes are buffers, wrapped 64-bit numbers have strings inside. */
type Message = Readonly<Record<string, unknown>>
/** What an answer is made into before it is sent. */
type Damage = (method: string, answer: Message) => Message
/** What a request is made into before it is read, as if it had been damaged on its way. */
type RequestDamage = (method: string, request: Message) => Message

class Refusal extends Error {
  readonly code: status
  readonly retryAfterMs: number | undefined

  constructor(code: status, message: string, retryAfterMs?: number) {
    super(message)
    this.code = code
    this.retryAfterMs = retryAfterMs
  }
}

const protos = createRequire(import.meta.url).resolve('@google-cloud/kms/build/protos/protos.json')
const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(protos, 'utf8')))
const METHODS = ['Encrypt', 'Decrypt', 'GetCryptoKey', 'GetPublicKey', 'AsymmetricSign'] as const
type Method = (typeof METHODS)[number]

export class FakeCloudKms {
  readonly #server = new Server()
  readonly #tokenServer: HttpServer
  readonly #keys = new Map<string, FakeKey>()
  /** Bearer token → identity. */
  readonly #tokens = new Map<string, { readonly identity: string; readonly endMs: number }>()
  readonly #accounts = new Map<string, KeyObject>()
  readonly #denied = new Set<string>()
  #failing: { readonly how: 'throttled' | 'broken'; left: number; readonly retryAfterMs?: number } | undefined
  #url = ''
  /** Methods that were called, in order, also those refused. */
  readonly calls: string[] = []
  /** The authorization header of each call. */
  readonly authorizations: (string | undefined)[] = []
  damage: Damage = (_, answer) => answer
  damageRequest: RequestDamage = (_, request) => request

  constructor() {
    this.#tokenServer = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { code, body } = this.#exchange(new URLSearchParams(Buffer.concat(chunks).toString()))
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      })
    })
    this.#server.addService(serviceDefinition(), {
      Encrypt: this.#unary('Encrypt', (request) => this.#encrypt(request)),
      Decrypt: this.#unary('Decrypt', (request) => this.#decrypt(request)),
      GetCryptoKey: this.#unary('GetCryptoKey', (request) => this.#getCryptoKey(request)),
      GetPublicKey: this.#unary('GetPublicKey', (request) => this.#getPublicKey(request)),
      AsymmetricSign: this.#unary('AsymmetricSign', (request) => this.#asymmetricSign(request)),
    })
  }

  async start(tls: KeyPair | undefined): Promise<void> {
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [
            { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) },
          ])
    const port = await new Promise<number>((resolve, reject) =>
      this.#server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    )
    this.#url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
    this.#tokenServer.listen(0, '127.0.0.1')
    await once(this.#tokenServer, 'listening')
  }

  async stop(): Promise<void> {
    this.#server.forceShutdown()
    this.#tokenServer.closeAllConnections()
    this.#tokenServer.close()
  }

  get url(): string {
    return this.#url
  }

  /** Bearer tokens that were given out. */
  get tokens(): readonly string[] {
    return [...this.#tokens.keys()]
  }

  createKey(name: string, algorithm: Algorithm = 'GOOGLE_SYMMETRIC_ENCRYPTION'): void {
    this.#keys.set(name, { algorithm, versions: [{ state: 'ENABLED', secret: newSecret(algorithm) }] })
  }

  /** A new primary version. */
  rotate(name: string): void {
    const key = this.#keys.get(name)!
    key.versions.push({ state: 'ENABLED', secret: newSecret(key.algorithm) })
  }

  /** Of one version, counted from 1, or of all. */
  setState(name: string, state: State, number?: number): void {
    for (const [index, version] of this.#keys.get(name)!.versions.entries()) {
      if (number === undefined || index === number - 1) version.state = state
    }
  }

  deny(identity: string, isDenied: boolean): void {
    if (isDenied) this.#denied.add(identity)
    else this.#denied.delete(identity)
  }

  misbehave(how: 'throttled' | 'broken', calls: number, retryAfterMs?: number): void {
    this.#failing = { how, left: calls, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }

  /** A credentials file of workload identity federation; `subjectFile` holds `subject:<identity>`. */
  federatedCredentials(subjectFile: string): object {
    const { port } = this.#tokenServer.address() as AddressInfo // listens on TCP, so never a path
    return {
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `http://127.0.0.1:${port}/v1/token`,
      credential_source: { file: subjectFile },
    }
  }

  /** A key file of a service account, whose holder signs its own tokens. */
  serviceAccountCredentials(identity: string): object {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
    this.#accounts.set(identity, publicKey)
    return {
      type: 'service_account',
      project_id: 'p',
      private_key_id: '1',
      private_key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
      client_email: identity,
      client_id: '1',
    }
  }

  #exchange(form: URLSearchParams): { code: number; body: object } {
    const identity = /^subject:(.+)$/.exec(form.get('subject_token')?.trim() ?? '')?.[1]
    if (identity === undefined) {
      return {
        code: 400,
        body: { error: 'invalid_grant', error_description: 'The subject token is no good.' },
      }
    }
    const token = `fake.${randomBytes(24).toString('base64url')}`
    this.#tokens.set(token, { identity, endMs: trueNowMs() + 3_600_000 })
    const issued_token_type = 'urn:ietf:params:oauth:token-type:access_token'
    return {
      code: 200,
      body: { access_token: token, issued_token_type, token_type: 'Bearer', expires_in: 3_600 },
    }
  }

  #unary(method: Method, answer: (request: Message) => Message): handleUnaryCall<Message, Message> {
    return (call, callback) => {
      this.calls.push(method)
      this.authorizations.push(call.metadata.get('authorization')[0]?.toString())
      try {
        this.#mayFail()
        if (this.#url.startsWith('https:')) this.#authorise(call.metadata)
        const name = textOf(call.request.name)
        if (!String(call.metadata.get('x-goog-request-params')[0] ?? '').includes(encodeURIComponent(name))) {
          throw new Refusal(status.INVALID_ARGUMENT, 'the routing header does not name the resource')
        }
        callback(null, this.damage(method, answer(this.damageRequest(method, call.request))))
      } catch (thrown) {
        if (!(thrown instanceof Refusal)) throw thrown
        const metadata = call.metadata.clone()
        for (const key of Object.keys(metadata.getMap())) metadata.remove(key)
        if (thrown.retryAfterMs !== undefined) metadata.set('grpc-status-details-bin', retryInfo(thrown))
        callback({ code: thrown.code, details: thrown.message, metadata })
      }
    }
  }

  #mayFail(): void {
    if (this.#failing === undefined || this.#failing.left === 0) return
    this.#failing.left--
    if (this.#failing.how === 'broken') throw new Refusal(status.INTERNAL, 'Internal error encountered.')
    const text = "Quota exceeded for quota metric 'Cryptographic requests' and limit 'per minute'."
    throw new Refusal(status.RESOURCE_EXHAUSTED, text, this.#failing.retryAfterMs)
  }

  #authorise(metadata: Metadata): void {
    const token = /^Bearer (.+)$/.exec(String(metadata.get('authorization')[0] ?? ''))?.[1]
    const identity = token === undefined ? undefined : (this.#known(token) ?? this.#signed(token))
    if (identity === undefined) {
      throw new Refusal(status.UNAUTHENTICATED, 'Request had invalid authentication credentials.')
    }
    if (this.#denied.has(identity)) {
      const text =
        "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource (or it may not exist)."
      throw new Refusal(status.PERMISSION_DENIED, text)
    }
  }

  #known(token: string): string | undefined {
    const known = this.#tokens.get(token)
    return known !== undefined && trueNowMs() < known.endMs ? known.identity : undefined
  }

  #signed(token: string): string | undefined {
    const [header, payload, signature] = token.split('.')
    if (header === undefined || payload === undefined || signature === undefined) return undefined
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    if (typeof claims !== 'object' || claims === null) return undefined
    const { iss, iat, exp } = claims as Record<string, unknown> // an object with unknown members
    const publicKey = this.#accounts.get(textOf(iss))
    if (publicKey === undefined || typeof iat !== 'number' || typeof exp !== 'number') return undefined
    const nowSeconds = trueNowMs() / 1_000
    const isTimely = nowSeconds > iat - 300 && nowSeconds < exp && exp - iat <= 3_600
    const signed = Buffer.from(`${header}.${payload}`)
    const isGenuine = verify('sha256', signed, publicKey, Buffer.from(signature, 'base64url'))
    if (!isTimely || !isGenuine) return undefined
    this.#tokens.set(token, { identity: textOf(iss), endMs: exp * 1_000 })
    return textOf(iss)
  }

  #encrypt(request: Message): Message {
    const name = textOf(request.name)
    const { key, version, versionName, number } = this.#usable(name)
    if (key.algorithm !== 'GOOGLE_SYMMETRIC_ENCRYPTION') throw wrongPurpose(name)
    const plaintext = bytesOf(request.plaintext)
    const aad = bytesOf(request.additionalAuthenticatedData)
    const header = Buffer.alloc(5, 0x0a)
    header.writeUInt32BE(number, 1)
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', version.secret, nonce)
    cipher.setAAD(aad)
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    const ciphertext = Buffer.concat([header, nonce, sealed])
    return {
      name: versionName,
      ciphertext,
      ciphertextCrc32c: wrapped(crc32c(ciphertext)),
      verifiedPlaintextCrc32c: checked(request.plaintextCrc32c, plaintext),
      verifiedAdditionalAuthenticatedDataCrc32c: checked(request.additionalAuthenticatedDataCrc32c, aad),
      protectionLevel: 'SOFTWARE',
    }
  }

  #decrypt(request: Message): Message {
    const name = textOf(request.name)
    const key = this.#keys.get(name)
    if (key === undefined) throw notFound(name)
    const ciphertext = bytesOf(request.ciphertext)
    const aad = bytesOf(request.additionalAuthenticatedData)
    checked(request.ciphertextCrc32c, ciphertext)
    checked(request.additionalAuthenticatedDataCrc32c, aad)
    const refusal = new Refusal(
      status.INVALID_ARGUMENT,
      "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
    )
    if (ciphertext.length < 5 + 12 + 16 || ciphertext[0] !== 0x0a) throw refusal
    const number = ciphertext.readUInt32BE(1)
    const version = key.versions[number - 1]
    if (version === undefined) throw refusal
    requireEnabled(`${name}/cryptoKeyVersions/${number}`, version)
    const decipher = createDecipheriv('aes-256-gcm', version.secret, ciphertext.subarray(5, 17))
    decipher.setAAD(aad)
    decipher.setAuthTag(ciphertext.subarray(-16))
    try {
      const plaintext = Buffer.concat([decipher.update(ciphertext.subarray(17, -16)), decipher.final()])
      return {
        plaintext,
        plaintextCrc32c: wrapped(crc32c(plaintext)),
        usedPrimary: number === key.versions.length,
        protectionLevel: 'SOFTWARE',
      }
    } catch {
      throw refusal
    }
  }

  #getCryptoKey(request: Message): Message {
    const name = textOf(request.name)
    const key = this.#keys.get(name)
    if (key === undefined) throw notFound(name)
    const number = key.versions.length
    const isSymmetric = key.algorithm === 'GOOGLE_SYMMETRIC_ENCRYPTION'
    const primary = {
      name: `${name}/cryptoKeyVersions/${number}`,
      state: key.versions[number - 1]!.state,
      algorithm: key.algorithm,
    }
    return {
      name,
      purpose: isSymmetric ? 'ENCRYPT_DECRYPT' : 'ASYMMETRIC_SIGN',
      ...(isSymmetric ? { primary } : {}),
    }
  }

  #getPublicKey(request: Message): Message {
    const { key, version, versionName } = this.#usable(textOf(request.name))
    if (key.algorithm === 'GOOGLE_SYMMETRIC_ENCRYPTION') throw wrongPurpose(versionName)
    const pem = publicHalf(version).export({ format: 'pem', type: 'spki' }).toString()
    return { name: versionName, pem, algorithm: key.algorithm, pemCrc32c: wrapped(crc32c(Buffer.from(pem))) }
  }

  #asymmetricSign(request: Message): Message {
    const { key, version, versionName } = this.#usable(textOf(request.name))
    const secret = version.secret as KeyObject // keys of every other algorithm are refused below
    const answer = (signature: Buffer, verified: object): Message => ({
      name: versionName,
      signature,
      signatureCrc32c: wrapped(crc32c(signature)),
      protectionLevel: 'SOFTWARE',
      ...verified,
    })
    if (key.algorithm === 'EC_SIGN_ED25519') {
      const data = bytesOf(request.data)
      if (data.length === 0) throw new Refusal(status.INVALID_ARGUMENT, 'Ed25519 signs data, not a digest.')
      return answer(sign(null, data, secret), { verifiedDataCrc32c: checked(request.dataCrc32c, data) })
    }
    if (key.algorithm === 'EC_SIGN_P256_SHA256') {
      const digest = bytesOf((request.digest as Message | null | undefined)?.sha256) // a message or nothing
      if (digest.length !== 32) throw new Refusal(status.INVALID_ARGUMENT, 'A SHA-256 digest has 32 bytes.')
      const verified = { verifiedDigestCrc32c: checked(request.digestCrc32c, digest) }
      return answer(derOf(signDigest(secret, digest)), verified)
    }
    throw wrongPurpose(versionName)
  }

  /** The named version, or the primary one of the named key. */
  #usable(name: string): { key: FakeKey; version: Version; versionName: string; number: number } {
    const [keyName, numberText] = name.split('/cryptoKeyVersions/')
    const key = this.#keys.get(keyName!)
    const number = numberText === undefined ? (key?.versions.length ?? 0) : Number(numberText)
    const version = key?.versions[number - 1]
    if (key === undefined || version === undefined) throw notFound(name)
    const versionName = `${keyName}/cryptoKeyVersions/${number}`
    requireEnabled(versionName, version)
    return { key, version, versionName, number }
  }
}

function serviceDefinition(): ServiceDefinition {
  const service = root.lookupService('google.cloud.kms.v1.KeyManagementService')
  const definition: Record<string, ServiceDefinition[string]> = {}
  for (const name of METHODS) {
    const method = service.methods[name]!
    method.resolve()
    const [request, response] = [method.resolvedRequestType!, method.resolvedResponseType!]
    const codec = (type: protobuf.Type) => ({
      write: (value: object) => Buffer.from(type.encode(type.fromObject(value)).finish()),
      read: (bytes: Buffer) => type.toObject(type.decode(bytes), { longs: String }),
    })
    definition[name] = {
      path: `/google.cloud.kms.v1.KeyManagementService/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: codec(request).write,
      requestDeserialize: codec(request).read,
      responseSerialize: codec(response).write,
      responseDeserialize: codec(response).read,
    }
  }
  return definition
}

/** google.rpc.Status with a google.rpc.RetryInfo, written by hand: the messages are not among those shipped. */
function retryInfo({ code, retryAfterMs = 0 }: Refusal): Buffer {
  const field = (number: number, bytes: Uint8Array): Buffer =>
    Buffer.concat([Buffer.of((number << 3) | 2, bytes.length), bytes])
  const seconds = Math.floor(retryAfterMs / 1_000)
  const writer = protobuf.Writer.create().uint32(8).int64(seconds)
  const duration = writer
    .uint32(16)
    .int32((retryAfterMs % 1_000) * 1e6)
    .finish()
  const typeUrl = Buffer.from('type.googleapis.com/google.rpc.RetryInfo')
  const any = Buffer.concat([field(1, typeUrl), field(2, field(1, duration))])
  return Buffer.concat([Buffer.of(8, code), field(3, any)])
}

function newSecret(algorithm: Algorithm): Buffer | KeyObject {
  switch (algorithm) {
    case 'GOOGLE_SYMMETRIC_ENCRYPTION':
      return randomBytes(32)
    case 'EC_SIGN_ED25519':
      return generateKeyPairSync('ed25519').privateKey
    case 'EC_SIGN_P256_SHA256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'RSA_SIGN_PSS_2048_SHA256':
      return generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
  }
}

/** ECDSA-Sig-Value, RFC 3279 §2.2.3. */
function derOf(signature: Buffer): Buffer {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((half) => {
    const hex = BigInt(`0x${half.toString('hex')}`).toString(16)
    const even = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
    const digits = even[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), even]) : even
    return Buffer.concat([Buffer.of(2, digits.length), digits])
  })
  const body = Buffer.concat(integers)
  return Buffer.concat([Buffer.of(0x30, body.length), body])
}

function publicHalf({ secret }: Version): KeyObject {
  return createPublicKey(
    createPrivateKey({ key: (secret as KeyObject).export({ format: 'pem', type: 'pkcs8' }) }),
  )
}

function requireEnabled(versionName: string, { state }: Version): void {
  if (state === 'ENABLED') return
  throw new Refusal(status.FAILED_PRECONDITION, `${versionName} is not enabled, current state is: ${state}.`)
}

function notFound(name: string): Refusal {
  return new Refusal(status.NOT_FOUND, `CryptoKey ${name} not found.`)
}

function wrongPurpose(name: string): Refusal {
  return new Refusal(status.FAILED_PRECONDITION, `${name} has another purpose.`)
}

/** Whether a checksum was sent; one that does not fit is refused. */
function checked(sent: unknown, bytes: Uint8Array): boolean {
  if (sent === undefined || sent === null) return false
  if (Number((sent as Message).value ?? 0) === crc32c(bytes)) return true // a message of one field
  throw new Refusal(status.INVALID_ARGUMENT, 'The checksum in the request does not fit its field.')
}

function wrapped(value: number): object {
  return { value }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function bytesOf(value: unknown): Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0)
}

/** Bit by bit, so that it shares nothing with the table under test. */
function crc32c(bytes: Uint8Array): number {
  let checksum = 0xffffffff
  for (const byte of bytes) {
    checksum ^= byte
    for (let bit = 0; bit < 8; bit++) checksum = (checksum >>> 1) ^ (checksum & 1 ? 0x82f63b78 : 0)
  }
  return ~checksum >>> 0
}

/** Time that does not follow a faked `Date`. */
function trueNowMs(): number {
  return performance.timeOrigin + performance.now()
}
