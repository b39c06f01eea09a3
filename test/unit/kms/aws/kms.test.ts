import dns from 'node:dns'
import { PassThrough } from 'node:stream'
import { KMSClient } from '@aws-sdk/client-kms'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createTelemetry } from '../../../../src/base/telemetry.ts'
import { openAwsKms } from '../../../../src/kms/aws/open.ts'
import { type Kms, KmsError } from '../../../../src/kms/kms.ts'
import { ARN, AwsAnswers, awsOptions, base64, failure, json } from './answers.ts'

const never = new AbortController().signal
const context = { tenantId: 'acme', purpose: 'signing', keyId: 'k1' } as const
const KEY = Uint8Array.from({ length: 32 }, (_, index) => index + 1)
const WRAPPED = Buffer.from('a wrapped key')

let server: AwsAnswers
let kms: Kms
beforeAll(async () => {
  server = await AwsAnswers.start(() => json({}))
})
beforeEach(async () => {
  server.asked.length = 0
  kms = await server.open()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await kms.close()
})
afterAll(() => server.close())

const classOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => (error instanceof KmsError ? error.kmsClass : error),
  )

describe('what is asked', () => {
  test('a data key of 256 bits, under the key’s ARN and the whole context', async () => {
    server.answer = () => json({ Plaintext: base64(KEY), CiphertextBlob: base64(WRAPPED), KeyId: ARN })
    const generated = await kms.generateDataKey(context, never)
    expect(generated.masterKeyId).toBe(ARN)
    expect(Buffer.from(generated.wrapped).equals(WRAPPED)).toBe(true)
    expect(server.asked[0]).toMatchObject({
      operation: 'GenerateDataKey',
      body: {
        KeyId: ARN,
        KeySpec: 'AES_256',
        EncryptionContext: { tenantId: 'acme', purpose: 'signing', keyId: 'k1' },
      },
    })
    expect(String(server.asked[0]!.headers.authorization)).toContain('/eu-west-1/kms/aws4_request')
  })

  test('to unwrap, under the key that wrapped and no other', async () => {
    server.answer = () => json({ Plaintext: base64(KEY), KeyId: ARN })
    await kms.unwrap(WRAPPED, ARN, { tenantId: '__proto__', purpose: 'pii' }, never)
    expect(server.asked[0]).toMatchObject({
      operation: 'Decrypt',
      body: { KeyId: ARN, EncryptionContext: { tenantId: '__proto__', purpose: 'pii' } },
    })
    expect(Object.keys(server.asked[0]!.body.EncryptionContext as object)).toEqual(['tenantId', 'purpose'])
  })

  test('a tenant’s own key for its calls, in that key’s region', async () => {
    const own = ARN.replace('eu-west-1', 'ap-south-1')
    const byok = await server.open({ tenantKeyMapping: new Map([['acme', own]]) })
    server.answer = ({ body }) => json({ CiphertextBlob: base64(WRAPPED), KeyId: body.KeyId })
    expect((await byok.wrap(KEY, context, never)).masterKeyId).toBe(own)
    expect((await byok.wrap(KEY, { ...context, tenantId: 'other' }, never)).masterKeyId).toBe(ARN)
    const scopes = server.asked.map(
      ({ headers }) => /\/([a-z0-9-]+)\/kms\//.exec(String(headers.authorization))?.[1],
    )
    expect(scopes).toEqual(['ap-south-1', 'eu-west-1'])
    await byok.close()
  })

  test('nothing, when the mistake can be seen from here', async () => {
    expect(await classOf(kms.wrap(new Uint8Array(0), context, never))).toBe('bad_request')
    expect(await classOf(kms.wrap(new Uint8Array(4_097), context, never))).toBe('bad_request')
    expect(await classOf(kms.generateDataKey({ tenantId: '\udfff', purpose: 'pii' }, never))).toBe(
      'bad_request',
    )
    expect(await classOf(kms.unwrap(new Uint8Array(0), ARN, context, never))).toBe('invalid_ciphertext')
    expect(await classOf(kms.unwrap(new Uint8Array(6_145), ARN, context, never))).toBe('invalid_ciphertext')
    expect(await classOf(kms.unwrap(WRAPPED, 'alias/betrace', context, never))).toBe('key_not_found')
    expect(await classOf(kms.sign!(new Uint8Array(4_097), ARN, never))).toBe('bad_request')
    expect(await classOf(kms.sign!(KEY, 'alias/betrace', never))).toBe('key_not_found')
    expect(await classOf(kms.generateDataKey(context, AbortSignal.abort()))).toBe('timeout')
    expect(server.asked).toEqual([])
  })
})

describe('what is answered', () => {
  const incomplete: Record<string, object> = {
    'no plaintext': { CiphertextBlob: base64(WRAPPED), KeyId: ARN },
    'a short plaintext': { Plaintext: base64(KEY.subarray(1)), CiphertextBlob: base64(WRAPPED), KeyId: ARN },
    'no wrapped key': { Plaintext: base64(KEY), KeyId: ARN },
    'an empty wrapped key': { Plaintext: base64(KEY), CiphertextBlob: '', KeyId: ARN },
    'no key id': { Plaintext: base64(KEY), CiphertextBlob: base64(WRAPPED) },
  }
  for (const [name, answer] of Object.entries(incomplete)) {
    test(`a data key with ${name} is a failure that may pass, and its bytes are zeroed`, async () => {
      const held = heldPlaintexts()
      server.answer = () => json(answer)
      expect(await classOf(kms.generateDataKey(context, never))).toBe('network')
      for (const bytes of held) expect(bytes.every((byte) => byte === 0)).toBe(true)
    })
  }

  test('what another master key opened is refused, and its bytes are zeroed', async () => {
    const held = heldPlaintexts()
    server.answer = () => json({ Plaintext: base64(KEY), KeyId: ARN.replace('1234abcd', '99999999') })
    expect(await classOf(kms.unwrap(WRAPPED, ARN, context, never))).toBe('invalid_ciphertext')
    expect(held.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true])
  })

  test('the SDK’s copy of a key is zeroed, and the one that is handed over is not', async () => {
    const held = heldPlaintexts()
    server.answer = ({ operation }) =>
      operation === 'Decrypt'
        ? json({ Plaintext: base64(KEY), KeyId: ARN })
        : json({ Plaintext: base64(KEY), CiphertextBlob: base64(WRAPPED), KeyId: ARN })
    const { plaintext } = await kms.generateDataKey(context, never)
    const opened = await kms.unwrap(WRAPPED, ARN, context, never)
    expect([...plaintext]).toEqual([...KEY])
    expect([...opened]).toEqual([...KEY])
    expect(plaintext.buffer.byteLength).toBe(32)
    expect(held.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true, true])
  })

  test('a key that comes after the caller has gone is zeroed', async () => {
    const caller = new AbortController()
    const held = heldPlaintexts(() => caller.abort())
    server.answer = () => json({ Plaintext: base64(KEY), CiphertextBlob: base64(WRAPPED), KeyId: ARN })
    expect(await classOf(kms.generateDataKey(context, caller.signal))).toBe('timeout')
    await vi.waitFor(() => expect(held.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true]))
  })

  for (const state of ['Disabled', 'PendingDeletion', 'PendingImport', 'Unavailable', undefined]) {
    test(`a key that is ${state ?? 'in no state'} is described as not enabled`, async () => {
      server.answer = () => json({ KeyMetadata: { KeyId: 'x', Arn: ARN, KeyState: state } })
      expect(await kms.describe(never)).toEqual({ enabled: false, masterKeyId: ARN })
    })
  }

  test('a signing key of another kind is our own mistake, and is not used', async () => {
    server.answer = () => json({ PublicKey: base64(KEY), KeySpec: 'ECC_SECG_P256K1', KeyId: ARN })
    expect(await classOf(kms.sign!(KEY, ARN, never))).toBe('bad_request')
    expect(server.asked.map(({ operation }) => operation)).toEqual(['GetPublicKey'])
  })

  test('the kind of a signing key is asked for once', async () => {
    server.answer = ({ operation }) =>
      operation === 'Sign'
        ? json({ Signature: base64(KEY), KeyId: ARN })
        : json({ PublicKey: base64(KEY), KeySpec: 'ECC_NIST_EDWARDS25519', KeyId: ARN })
    await kms.sign!(KEY, ARN, never)
    await kms.sign!(KEY, ARN, never)
    expect(server.asked.map(({ operation }) => operation)).toEqual(['GetPublicKey', 'Sign', 'Sign'])
    expect(server.asked[1]!.body).toMatchObject({ SigningAlgorithm: 'ED25519_SHA_512', MessageType: 'RAW' })
  })
})

describe('attempts', () => {
  test('are as many as allowed when the failure may pass, and one when it will not', async () => {
    const patient = await server.open({
      request: { connectTimeoutMs: 1_000, timeoutMs: 2_000, attemptsMax: 3 },
    })
    server.answer = () => failure(500, 'KMSInternalException', 'internal')
    expect(await classOf(patient.generateDataKey(context, never))).toBe('network')
    expect(server.asked.length).toBe(3)
    server.answer = () => failure(400, 'DisabledException', 'no')
    expect(await classOf(patient.generateDataKey(context, never))).toBe('key_disabled')
    expect(server.asked.length).toBe(4)
    await patient.close()
  })

  test('that ended in throttling do not slow the calls that follow', async () => {
    const patient = await server.open({
      request: { connectTimeoutMs: 1_000, timeoutMs: 2_000, attemptsMax: 2 },
    })
    server.answer = () => failure(400, 'ThrottlingException', 'Rate exceeded')
    expect(await classOf(patient.generateDataKey(context, never))).toBe('throttled')
    server.answer = () => json({ Plaintext: base64(KEY), CiphertextBlob: base64(WRAPPED), KeyId: ARN })
    const startMs = performance.now()
    for (let call = 0; call < 20; call++) await patient.generateDataKey(context, never)
    expect(performance.now() - startMs).toBeLessThan(1_000)
    await patient.close()
  })
})

describe('regions', () => {
  test('of the keys that telemetry names are bounded, and the configured ones always work', async () => {
    server.answer = ({ body }) => json({ Plaintext: base64(KEY), KeyId: body.KeyId })
    const named = (number: number): string =>
      ARN.replace('eu-west-1', `xx-${'abcdefgh'[number % 8]}a-${number}`)
    const classes = await Promise.all(
      Array.from({ length: 60 }, (_, number) => classOf(kms.unwrap(WRAPPED, named(number), context, never))),
    )
    expect(classes.filter((each) => each === 'no failure').length).toBe(40)
    expect(classes.filter((each) => each === 'key_not_found').length).toBe(20)
    expect(await classOf(kms.unwrap(WRAPPED, ARN, context, never))).toBe('no failure')
  })

  const hosts: Record<string, readonly [string, boolean, string]> = {
    'a region': [ARN, false, 'kms.eu-west-1.amazonaws.com'],
    'a region with FIPS': [ARN.replace('eu-west-1', 'us-east-1'), true, 'kms-fips.us-east-1.amazonaws.com'],
    'a region in China': [
      'arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
      false,
      'kms.cn-north-1.amazonaws.com.cn',
    ],
  }
  for (const [name, [masterKeyId, useFipsEndpoint, host]] of Object.entries(hosts)) {
    test(`${name} is asked at ${host}, and a name that does not resolve is a network failure`, async () => {
      const asked = nothingResolves()
      const cloud = await openAwsKms(awsOptions({ masterKeyId, useFipsEndpoint }))
      expect(await classOf(cloud.generateDataKey(context, never))).toBe('network')
      expect(asked).toEqual([host])
      await cloud.close()
    })
  }
})

describe('opening', () => {
  async function logOf(overrides: Parameters<typeof awsOptions>[0]): Promise<Record<string, unknown>[]> {
    const destination = new PassThrough()
    const { log } = await createTelemetry({ level: 'info', encoding: 'json', destination })
    await openAwsKms(awsOptions({ ...overrides, log })).then((opened) => opened.close())
    return String(destination.read() ?? '')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>) // pino writes one object a line
  }

  test('logs the two lines that the tutorial prints, and asks the service nothing', async () => {
    const asked = nothingResolves()
    const lines = await logOf({})
    expect(lines.map(({ msg }) => msg)).toEqual([
      'Initializing KMS provider: aws',
      `Using AWS KMS - region: eu-west-1, key: ${ARN}`,
    ])
    expect(asked).toEqual([])
  })

  test('refuses FIPS beside an endpoint', async () => {
    const opening = openAwsKms(awsOptions({ useFipsEndpoint: true, endpoint: 'http://127.0.0.1:1' }))
    await expect(opening).rejects.toMatchObject({
      code: 'CONFIG',
      message: 'kms.aws.use_fips_endpoint: cannot be true beside kms.aws.endpoint',
    })
  })
})

/** What the SDK will have returned as plaintext, its own bytes. `before` runs before each answer is handed on. */
function heldPlaintexts(before: () => void = () => {}): Uint8Array[] {
  const held: Uint8Array[] = []
  const send: (...args: unknown[]) => Promise<unknown> = KMSClient.prototype.send as never // one of many overloads
  vi.spyOn(KMSClient.prototype, 'send').mockImplementation(async function (
    this: KMSClient,
    ...args: unknown[]
  ) {
    const answer = (await send.apply(this, args)) as { Plaintext?: Uint8Array } // an SDK answer
    if (answer.Plaintext !== undefined) held.push(answer.Plaintext)
    before()
    return answer
  })
  return held
}

/** No host name resolves; the names that were asked for, each once. */
function nothingResolves(): string[] {
  const asked: string[] = []
  vi.spyOn(dns, 'lookup').mockImplementation(((host: string, _: unknown, done: (error: Error) => void) => {
    if (!asked.includes(host)) asked.push(host)
    process.nextTick(done, Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }))
  }) as never) // one of many overloads
  return asked
}
