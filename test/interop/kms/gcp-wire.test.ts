// What only Cloud KMS has: checksums both ways, its ways to authenticate, its client library's habits.
import { execFile } from 'node:child_process'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Kms } from '../../../src/kms/kms.ts'
import { startBrokenTls } from './broken-tls.ts'
import { CONTEXT, expectFailure, never, roundTrip } from './expectations.ts'
import { testCertificate } from './fault-proxy.ts'
import { FakeCloudKms } from './gcp-fake.ts'
import { DEFAULT_KEY, gcpTarget, RING } from './gcp-target.ts'

const target = gcpTarget()
beforeAll(() => target.start())
afterAll(() => target.stop())

type Answer = Readonly<Record<string, unknown>>
const flip = (value: unknown): Buffer => {
  const bytes = Buffer.from(value as Uint8Array) // fields of the fake's answers that hold bytes
  bytes[bytes.length - 1]! ^= 1
  return bytes
}
const without = (answer: Answer, name: string): Answer =>
  Object.fromEntries(Object.entries(answer).filter(([each]) => each !== name))

describe('damage', () => {
  let kms: Kms
  let signingKey: string
  beforeEach(async () => {
    target.fake().calls.length = 0
    kms = await target.open({ request: { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 2 } })
    signingKey = await target.createSigningKey!('ed25519')
  })
  afterEach(async () => {
    target.fake().damage = (_, answer) => answer
    target.fake().damageRequest = (_, request) => request
    await kms.close()
  })

  const WRAP_DAMAGE: readonly (readonly [string, (answer: Answer) => Answer])[] = [
    ['a flipped ciphertext', (answer) => ({ ...answer, ciphertext: flip(answer.ciphertext) })],
    ['no ciphertext', (answer) => without(answer, 'ciphertext')],
    ['no checksum of the ciphertext', (answer) => without(answer, 'ciphertextCrc32c')],
    ['a plaintext that was not checked', (answer) => ({ ...answer, verifiedPlaintextCrc32c: false })],
    [
      'a context that was not checked',
      (answer) => without(answer, 'verifiedAdditionalAuthenticatedDataCrc32c'),
    ],
    [
      'a version of another key',
      (answer) => ({ ...answer, name: `${RING}/cryptoKeys/other/cryptoKeyVersions/1` }),
    ],
    [
      'a key whose name starts alike',
      (answer) => ({ ...answer, name: `${DEFAULT_KEY}2/cryptoKeyVersions/1` }),
    ],
  ]
  test.each(WRAP_DAMAGE)('wrapped: %s is not taken, and asked for again', async (_, damage) => {
    const fake = target.fake()
    fake.damage = (_, answer) => damage(answer)
    await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'network', 'generate_data_key')
    expect(fake.calls).toEqual(['Encrypt', 'Encrypt'])
    fake.damage = (_, answer) => (fake.calls.length === 3 ? damage(answer) : answer)
    expect((await kms.wrap(Uint8Array.of(1), CONTEXT, never)).masterKeyId).toBe(DEFAULT_KEY)
  })

  const UNWRAP_DAMAGE: readonly (readonly [string, (answer: Answer) => Answer])[] = [
    ['a flipped plaintext', (answer) => ({ ...answer, plaintext: flip(answer.plaintext) })],
    [
      'half of the plaintext',
      (answer) => ({ ...answer, plaintext: (answer.plaintext as Buffer).subarray(16) }),
    ],
    ['no checksum', (answer) => without(answer, 'plaintextCrc32c')],
    ['no plaintext', (answer) => without(answer, 'plaintext')],
  ]
  test.each(UNWRAP_DAMAGE)('unwrapped: %s is not taken, and asked for again', async (_, damage) => {
    const { wrapped, masterKeyId, plaintext } = await kms.generateDataKey(CONTEXT, never)
    const fake = target.fake()
    fake.damage = (_, answer) => damage(answer)
    const call = kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
    await expectFailure(target, call, 'network', 'decrypt', [
      Buffer.from(plaintext).toString('base64').slice(0, 12),
    ])
    fake.damage = (_, answer) => answer
    expect(Buffer.compare(await kms.unwrap(wrapped, masterKeyId, CONTEXT, never), plaintext)).toBe(0)
  })

  const REQUEST_FIELDS = ['plaintext', 'ciphertext', 'additionalAuthenticatedData'] as const
  test.each(REQUEST_FIELDS)('a request whose %s was damaged on its way is sent again', async (field) => {
    const fake = target.fake()
    const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
    const isWrap = field === 'plaintext'
    const method = isWrap ? 'Encrypt' : 'Decrypt'
    let left = 1
    fake.damageRequest = (called, message) =>
      called === method && left-- > 0 ? { ...message, [field]: flip(message[field]) } : message
    fake.calls.length = 0
    if (isWrap) await kms.wrap(Uint8Array.of(1, 2), CONTEXT, never)
    else await kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
    expect(fake.calls).toEqual([method, method])
  })

  test('a request whose checksum got lost on its way is not taken as checked', async () => {
    target.fake().damageRequest = (_, message) => without(message, 'plaintextCrc32c')
    await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), 'network', 'encrypt')
  })

  test('signatures, public keys and descriptions are checked as well', async () => {
    const fake = target.fake()
    const damages: readonly (readonly [string, (answer: Answer) => Answer])[] = [
      ['AsymmetricSign', (answer) => ({ ...answer, signature: flip(answer.signature) })],
      ['AsymmetricSign', (answer) => without(answer, 'verifiedDataCrc32c')],
      ['AsymmetricSign', (answer) => ({ ...answer, name: `${RING}/cryptoKeys/other/cryptoKeyVersions/1` })],
    ]
    for (const [method, damage] of damages) {
      fake.damage = (called, answer) => (called === method ? damage(answer) : answer)
      await expectFailure(target, kms.sign!(Buffer.from('x'), signingKey, never), 'network', 'sign')
    }
    const other = await target.createSigningKey!('p256')
    const pem = (answer: Answer): Answer => ({ ...answer, pem: String(answer.pem).replace('A', 'B') })
    fake.damage = (called, answer) => (called === 'GetPublicKey' ? pem(answer) : answer)
    await expectFailure(target, kms.publicKey!(other, never), 'network', 'get_public_key')
    fake.damage = (_, answer) => ({ ...answer, name: `${RING}/cryptoKeys/other` })
    await expectFailure(target, kms.describe(never), 'network', 'describe_key')
    fake.damage = (_, answer) => answer
    expect((await kms.describe(never)).enabled).toBe(true)
  })
})

describe('keys', () => {
  test('the public key of a version is asked for once, and a signature then costs one call', async () => {
    const key = await target.createSigningKey!('p256')
    const kms = await target.open({})
    target.fake().calls.length = 0
    for (let round = 0; round < 3; round++) await kms.sign!(Buffer.from('x'), key, never)
    await kms.publicKey!(key, never)
    expect(target.fake().calls).toEqual([
      'GetPublicKey',
      'AsymmetricSign',
      'AsymmetricSign',
      'AsymmetricSign',
    ])
    await kms.close()
  })

  test('a public key that a caller changes is not the one that we keep', async () => {
    const key = await target.createSigningKey!('ed25519')
    const kms = await target.open({})
    const first = await kms.publicKey!(key, never)
    const copy = Uint8Array.from(first)
    first.fill(0)
    expect(Buffer.compare(await kms.publicKey!(key, never), copy)).toBe(0)
    await kms.close()
  })

  test('a key of another algorithm does not sign, and one without a version is none', async () => {
    const name = `${RING}/cryptoKeys/rsa`
    target.fake().createKey(name, 'RSA_SIGN_PSS_2048_SHA256')
    const kms = await target.open({})
    const message = Buffer.from('x')
    await expectFailure(
      target,
      kms.sign!(message, `${name}/cryptoKeyVersions/1`, never),
      'bad_request',
      'sign',
    )
    for (const id of [name, 'rsa', '', `${name}/cryptoKeyVersions/x`]) {
      await expectFailure(target, kms.sign!(message, id, never), 'key_not_found', 'sign')
      await expectFailure(target, kms.publicKey!(id, never), 'key_not_found', 'get_public_key')
    }
    await kms.close()
  })

  test('a key of another ring, named in full, is a tenant’s own', async () => {
    const own = 'projects/acme/locations/us/keyRings/theirs/cryptoKeys/pii'
    target.fake().createKey(own)
    const kms = await target.open({ tenantKeys: new Map([['acme', own]]) })
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(own)
    await roundTrip(kms)
    await kms.close()
  })

  test('one disabled version hides what it wrapped, and no more', async () => {
    const name = await target.createKey()
    const kms = await target.open({ masterKey: name })
    const old = await kms.generateDataKey(CONTEXT, never)
    await target.rotateKey!(name)
    target.fake().setState(`${RING}/cryptoKeys/${name}`, 'DISABLED', 1)
    await roundTrip(kms)
    const call = kms.unwrap(old.wrapped, old.masterKeyId, CONTEXT, never)
    await expectFailure(target, call, 'key_disabled', 'decrypt')
    expect(await kms.describe(never)).toMatchObject({ enabled: true })
    await kms.close()
  })

  test('a wait that the service asks for is passed on when it is long, and kept when it is short', async () => {
    const kms = await target.open({})
    const fake = target.fake()
    fake.misbehave('throttled', 1, 5_000)
    fake.calls.length = 0
    const error = await expectFailure(
      target,
      kms.wrap(Uint8Array.of(1), CONTEXT, never),
      'throttled',
      'encrypt',
    )
    expect(error.retryAfterMs).toBe(5_000)
    expect(fake.calls.length).toBe(1)
    fake.misbehave('throttled', 1, 400)
    const startMs = performance.now()
    await kms.wrap(Uint8Array.of(1), CONTEXT, never)
    expect(performance.now() - startMs).toBeGreaterThan(395)
    await kms.close()
  })
})

describe('credentials', () => {
  afterEach(() => target.useCredentials())

  test('a service account signs its own tokens, and a stranger’s are refused', async () => {
    const account = target.fake().serviceAccountCredentials('sidecar@p.iam.gserviceaccount.com')
    target.useCredentials(target.file('account.json', JSON.stringify(account)))
    const kms = await target.open({})
    await roundTrip(kms)
    await kms.close()
    const elsewhere = new FakeCloudKms().serviceAccountCredentials('stranger@p.iam.gserviceaccount.com')
    target.useCredentials(target.file('strange.json', JSON.stringify(elsewhere)))
    const strange = await target.open({})
    await expectFailure(target, strange.wrap(Uint8Array.of(1), CONTEXT, never), 'access_denied', 'encrypt')
    await strange.close()
  })

  test('a token that is not to be had is a network failure, until it is', async () => {
    const subject = target.file('late.subject', 'a cluster’s token that is no good: s3cret')
    target.useCredentials(
      target.file('late.json', JSON.stringify(target.fake().federatedCredentials(subject))),
    )
    const kms = await target.open({})
    const call = kms.generateDataKey(CONTEXT, never)
    const error = await expectFailure(target, call, 'network', 'generate_data_key', ['s3cret'])
    expect(error.providerMessage).toContain('invalid_grant')
    target.file('late.subject', 'subject:sidecar')
    await roundTrip(kms)
    await kms.close()
  })

  test('credentials that cannot be read at first are read again with the next call', async () => {
    const path = target.file('broken.json', '{"type":')
    target.useCredentials(path)
    const kms = await target.open({})
    for (let round = 0; round < 2; round++) {
      await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'network', 'generate_data_key')
    }
    const account = target.fake().serviceAccountCredentials('sidecar@p.iam.gserviceaccount.com')
    target.file('broken.json', JSON.stringify(account))
    await roundTrip(kms)
    await kms.close()
  })

  test('no credentials at all is a network failure, and ends no process', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    vi.stubEnv('METADATA_SERVER_DETECTION', 'none')
    vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', undefined)
    vi.stubEnv('CLOUDSDK_CONFIG', '/nowhere')
    vi.stubEnv('HOME', '/nowhere')
    try {
      for (const caFile of [undefined, target.file('ca-again.pem', testCertificate().ca)]) {
        const kms = await target.openWith({}, { caFile })
        const call = kms.generateDataKey(CONTEXT, never)
        const error = await expectFailure(target, call, 'network', 'generate_data_key')
        expect(error.providerMessage).toContain('Could not load the default credentials')
        await kms.close()
      }
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).not.toHaveBeenCalled()
    } finally {
      vi.unstubAllEnvs()
      process.off('unhandledRejection', unhandled)
    }
  })

  test('a data key that nobody gets is zeroed', async () => {
    const kms = await target.open({ masterKey: 'missing' })
    const made: Buffer[] = []
    const { randomBytes } = crypto
    const spy = vi.spyOn(crypto, 'randomBytes').mockImplementation(((size: number) => {
      const bytes = randomBytes(size)
      if (size === 32) made.push(bytes)
      return bytes
    }) as typeof randomBytes) // the form with a callback is not used
    syncBuiltinESMExports()
    await expectFailure(target, kms.generateDataKey(CONTEXT, never), 'key_not_found', 'generate_data_key')
    spy.mockRestore()
    syncBuiltinESMExports()
    expect(made.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true])
    await kms.close()
  })

  test('a call after the end is our own mistake, not a hang', async () => {
    const kms = await target.open({})
    await roundTrip(kms)
    await kms.close()
    await kms.close()
    await expectFailure(target, kms.describe(never), 'bad_request', 'describe_key')
  })
})

describe('connecting', () => {
  test('a handshake that is never answered ends after the time for connecting, not that for answers', async () => {
    const silent = await startBrokenTls('silent')
    const request = { connectTimeoutMs: 200, timeoutMs: 10_000, attemptsMax: 1 }
    const kms = await target.open({ url: silent.url, request })
    const startMs = performance.now()
    const error = await expectFailure(target, kms.describe(never), 'timeout', 'describe_key')
    expect(performance.now() - startMs).toBeLessThan(2_000)
    expect(error.providerMessage).toBe('No connection after 200ms')
    await kms.close()
    await silent.close()
  })

  test('a refused connection says why', async () => {
    const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 1 }
    const kms = await target.open({ url: 'https://127.0.0.1:1', request })
    const error = await expectFailure(target, kms.describe(never), 'network', 'describe_key')
    expect(error.providerMessage).toContain('ECONNREFUSED')
    await kms.close()
  })
})

describe('without TLS', () => {
  test('an emulator is spoken to, and sees no credentials', async () => {
    const emulator = new FakeCloudKms()
    await emulator.start(undefined)
    emulator.createKey(DEFAULT_KEY)
    const kms = await target.openWith({ url: emulator.url }, {})
    await roundTrip(kms)
    expect(emulator.authorizations).toEqual([undefined, undefined])
    await kms.close()
    await emulator.stop()
  })

  // The library's own methods, which we stay below, do print it: that shows that the test can see it.
  test.each([
    ['ours', false],
    ['theirs', true],
  ])(
    'with all of the library’s logs on, a key is printed when the methods called are %s: %s',
    async (whose, isPrinted) => {
      const emulator = new FakeCloudKms()
      await emulator.start(undefined)
      emulator.createKey(DEFAULT_KEY)
      const canary = Buffer.from('canary-of-a-key-canary-of-a-key!')
      const program = fileURLToPath(new URL('gcp-log-probe.ts', import.meta.url))
      const args = [program, whose, emulator.url, DEFAULT_KEY, canary.toString('hex')]
      const env = {
        ...process.env,
        GOOGLE_SDK_NODE_LOGGING: 'all',
        GRPC_TRACE: 'all',
        GRPC_VERBOSITY: 'DEBUG',
      }
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
        env,
        maxBuffer: 1 << 26,
      })
      await emulator.stop()
      const printed = stdout + stderr
      expect(printed).toContain('round trip done')
      const forms = [
        canary.toString('base64'),
        canary.toString('latin1'),
        canary.toString('hex'),
        [...canary].join(','),
      ]
      expect(forms.some((form) => printed.replaceAll(/\s/g, '').includes(form))).toBe(isPrinted)
    },
  )
})
