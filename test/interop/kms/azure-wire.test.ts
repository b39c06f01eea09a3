// What only Key Vault has: versions that are pinned, validity, soft deletion, key types, its ways to authenticate, its
// client libraries' habits.
import { execFile } from 'node:child_process'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { ManualClock } from '../../unit/kms/manual-clock.ts'
import { FakeKeyVault, TENANT } from './azure-fake.ts'
import { azureTarget, CLIENT } from './azure-target.ts'
import { CONTEXT, expectFailure, never, roundTrip, withKms, withProxiedKms } from './expectations.ts'
import { FaultProxy, testCertificate } from './fault-proxy.ts'

const target = azureTarget()
beforeAll(() => target.start())
afterAll(() => target.stop())
beforeEach(() => {
  target.fake().calls.length = 0
  target.fake().logins.length = 0
  target.fake().plainKeys.length = 0
})

/** What the vault was asked, challenges left out. */
const asked = (): string[] =>
  target
    .fake()
    .calls.filter(({ isAuthorised }) => isAuthorised)
    .map(({ method, path }) => `${method} ${path}`)

describe('calls', () => {
  test('the first wrap reads the key, later ones are one call, and each names the version', async () => {
    const name = await target.createKey()
    await withKms(target, { masterKey: name }, async (kms) => {
      const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
      await kms.wrap(Uint8Array.of(1), CONTEXT, never)
      await kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
      const id = new URL(masterKeyId).pathname
      expect(id).toMatch(new RegExp(`^/keys/${name}/[0-9a-f]{32}$`))
      expect(asked()).toEqual([
        `GET /keys/${name}/`,
        `POST ${id}/wrapkey`,
        `POST ${id}/wrapkey`,
        `POST ${id}/unwrapkey`,
      ])
    })
  })

  test('nothing is wrapped by SHA-1 or by the client library itself', async () => {
    await withKms(target, {}, (kms) => roundTrip(kms))
    const algorithms = target
      .fake()
      .calls.flatMap(({ algorithm }) => (algorithm === undefined ? [] : [algorithm]))
    expect(new Set(algorithms)).toEqual(new Set(['RSA-OAEP-256']))
    expect(asked().some((call) => call.endsWith('/wrapkey'))).toBe(true)
  })

  test('a wrong context costs one call and opens nothing', async () => {
    await withKms(target, {}, async (kms) => {
      const { wrapped, masterKeyId } = await kms.wrap(Buffer.from('a signing key'), CONTEXT, never)
      target.fake().calls.length = 0
      const call = kms.unwrap(wrapped, masterKeyId, { ...CONTEXT, tenantId: 'other' }, never)
      await expectFailure(target, call, 'invalid_ciphertext', 'decrypt')
      expect(asked().length).toBe(1)
    })
  })

  test('half of an answer that holds an unwrapped key is a network failure that shows none of it', async () => {
    const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 2 }
    await withProxiedKms(target, { request }, async (kms, proxy) => {
      const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
      target.fake().plainKeys.length = 0
      for (const ending of ['end', 'reset'] as const) {
        proxy.set(({ path }) => (path.includes('/unwrapkey') ? { kind: 'half', ending } : { kind: 'none' }))
        const error = await expectFailure(
          target,
          kms.unwrap(wrapped, masterKeyId, CONTEXT, never),
          'network',
          'decrypt',
        )
        const parts = target.fake().plainKeys.map((key) => key.slice(0, 10))
        expect(parts.length).toBeGreaterThan(0)
        await expectFailure(target, Promise.reject(error), 'network', 'decrypt', parts)
      }
      const cut = proxy.cutAnswers.map((answer) => answer.toString())
      expect(cut.some((answer) => target.fake().plainKeys.some((key) => answer.includes(key)))).toBe(true)
    })
  })

  test('callers at once share the first read of the key, and one login', async () => {
    await withKms(target, {}, async (kms) => {
      await Promise.all(Array.from({ length: 50 }, () => kms.generateDataKey(CONTEXT, never)))
    })
    expect(asked().filter((call) => call.startsWith('GET')).length).toBe(1)
    expect(target.fake().logins.length).toBe(1)
  })

  // Each client of the library is challenged with its first call. Of two at once, the library forgets the body of one.
  test.for([
    { name: 'in the order of the calls', withBody: 0, empty: 0 },
    { name: 'the second call’s first', withBody: 0, empty: 60 },
    { name: 'the first call’s first', withBody: 60, empty: 0 },
  ])('the first calls of a client at once all carry their bodies: challenged $name', async (delays) => {
    const fake = target.fake()
    const contexts = Array.from({ length: 8 }, (_, index) => ({ ...CONTEXT, keyId: `key-${index}` }))
    const kept = await withKms(target, {}, (kms) =>
      Promise.all(contexts.map((context) => kms.wrap(Buffer.from(context.keyId), context, never))),
    )
    fake.challengeDelayMs = delays
    fake.bodiesWithoutToken = 0
    fake.calls.length = 0
    try {
      await withKms(target, {}, async (kms) => {
        await kms.describe(never) // so that the login, which all share, is over
        const opened = await Promise.all(
          kept.map(({ wrapped, masterKeyId }, index) =>
            kms.unwrap(wrapped, masterKeyId, contexts[index]!, never),
          ),
        )
        expect(opened.map((bytes) => Buffer.from(bytes).toString())).toEqual(
          contexts.map(({ keyId }) => keyId),
        )
        const sealed = await Promise.all(
          contexts.map((context) => kms.wrap(Buffer.from(context.keyId), context, never)),
        )
        expect(sealed.length).toBe(contexts.length)
      })
    } finally {
      fake.challengeDelayMs = { withBody: 0, empty: 0 }
    }
    expect(asked().filter((call) => call.endsWith('/unwrapkey')).length).toBe(contexts.length)
    expect(fake.bodiesWithoutToken).toBe(0)
  })

  test('the client’s name in the log of the service does not grow with the versions that are used', async () => {
    const name = await target.createKey()
    const clock = new ManualClock()
    const kms = await target.openWith({ masterKey: name }, { clock })
    for (let round = 0; round < 3; round++) {
      await kms.generateDataKey(CONTEXT, never)
      await target.rotateKey!(name)
      clock.advance(301_000)
    }
    await kms.close()
    const agents = target
      .fake()
      .calls.filter(({ path }) => path.endsWith('wrapkey'))
      .map(({ userAgent }) => userAgent)
    expect(agents.length).toBeGreaterThanOrEqual(3)
    expect(new Set(agents).size).toBe(1)
  })
})

describe('versions', () => {
  test('a new version is used after five minutes, and the old one still unwraps', async () => {
    const name = await target.createKey()
    const clock = new ManualClock()
    const kms = await target.openWith({ masterKey: name }, { clock })
    const old = await kms.generateDataKey(CONTEXT, never)
    const version = target.fake().rotate(name)
    clock.advance(299_000)
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(old.masterKeyId)
    clock.advance(2_000)
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(`${kms.masterKeyId}/${version}`)
    const opened = await kms.unwrap(old.wrapped, old.masterKeyId, CONTEXT, never)
    expect(Buffer.compare(opened, old.plaintext)).toBe(0)
    await kms.close()
  })

  test('a version that cannot be read again goes on to wrap', async () => {
    const name = await target.createKey()
    const clock = new ManualClock()
    const proxy = await FaultProxy.start(target.upstream!())
    const kms = await target.openWith({ masterKey: name, url: proxy.url }, { clock })
    const { masterKeyId } = await kms.generateDataKey(CONTEXT, never)
    const broken = { kind: 'answer', answer: target.brokenAnswer! } as const
    proxy.set(({ path }) => (path.startsWith(`/keys/${name}/?`) ? broken : { kind: 'none' }))
    clock.advance(301_000)
    expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(masterKeyId)
    await kms.close()
    const fresh = await target.openWith({ masterKey: name, url: proxy.url }, { clock })
    await expectFailure(target, fresh.generateDataKey(CONTEXT, never), 'network', 'generate_data_key')
    await fresh.close()
    await proxy.close()
  })

  test('a version that is disabled gives way to the newest at once', async () => {
    const name = await target.createKey()
    await withKms(target, { masterKey: name }, async (kms) => {
      const old = await kms.generateDataKey(CONTEXT, never)
      const version = target.fake().rotate(name)
      target.fake().change(name, { isEnabled: false }, old.masterKeyId.split('/').at(-1))
      const fresh = await kms.generateDataKey(CONTEXT, never)
      expect(fresh.masterKeyId).toBe(`${kms.masterKeyId}/${version}`)
      const call = kms.unwrap(old.wrapped, old.masterKeyId, CONTEXT, never)
      await expectFailure(target, call, 'key_disabled', 'decrypt')
      expect(await kms.describe(never)).toMatchObject({ enabled: true })
    })
  })

  test('what an expired or not yet valid key wrapped opens; it wraps nothing more', async () => {
    for (const change of [{ expiresMs: Date.now() - 60_000 }, { notBeforeMs: Date.now() + 3_600_000 }]) {
      const name = await target.createKey()
      await withKms(target, { masterKey: name }, async (kms) => {
        const { wrapped, masterKeyId, plaintext } = await kms.generateDataKey(CONTEXT, never)
        target.fake().change(name, change)
        await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), 'key_disabled', 'encrypt')
        expect(await kms.describe(never)).toMatchObject({ enabled: false })
        await withKms(target, { masterKey: name }, async (other) => {
          const opened = await other.unwrap(wrapped, masterKeyId, CONTEXT, never)
          expect(Buffer.compare(opened, plaintext)).toBe(0)
        })
      })
    }
  })

  test('a key that is pinned to a version stays with it', async () => {
    const name = await target.createKey()
    const first = target.fake().rotate(name)
    target.fake().rotate(name)
    const pinned = `${target.fake().url}/keys/${name}/${first}`
    await withKms(target, { tenantKeys: new Map([['acme', pinned]]) }, async (kms) => {
      expect((await kms.generateDataKey(CONTEXT, never)).masterKeyId).toBe(pinned)
      await roundTrip(kms)
    })
  })
})

describe('keys', () => {
  test('a deleted key is reported as disabled while it can be recovered', async () => {
    const name = await target.createKey()
    await withKms(target, { masterKey: name }, async (kms) => {
      const { wrapped, masterKeyId } = await kms.generateDataKey(CONTEXT, never)
      target.fake().delete(name)
      const call = kms.unwrap(wrapped, masterKeyId, CONTEXT, never)
      const error = await expectFailure(target, call, 'key_disabled', 'decrypt')
      expect(error.providerMessage).toBe('the key is deleted, and can be recovered for now')
    })
  })

  test('an AES key of a Managed HSM wraps by AES key wrap', async () => {
    target.fake().createKey('hsm', 'oct-HSM')
    await withKms(target, { masterKey: 'hsm' }, async (kms) => {
      await roundTrip(kms)
      const { wrapped, masterKeyId } = await kms.wrap(Buffer.alloc(4_096, 7), CONTEXT, never)
      expect(
        Buffer.compare(await kms.unwrap(wrapped, masterKeyId, CONTEXT, never), Buffer.alloc(4_096, 7)),
      ).toBe(0)
    })
    const algorithms = target
      .fake()
      .calls.flatMap(({ algorithm }) => (algorithm === undefined ? [] : [algorithm]))
    expect(new Set(algorithms)).toEqual(new Set(['A256KW']))
  })

  test('an RSA key of an HSM wraps like any RSA key', async () => {
    target.fake().createKey('rsa-hsm', 'RSA-HSM')
    await withKms(target, { masterKey: 'rsa-hsm' }, (kms) => roundTrip(kms))
  })

  test('a key that cannot wrap, or cannot sign, is our own mistake', async () => {
    const version = target.fake().createKey('elliptic', 'EC')
    await withKms(target, { masterKey: 'elliptic' }, async (kms) => {
      await expectFailure(target, kms.wrap(Uint8Array.of(1), CONTEXT, never), 'bad_request', 'encrypt')
      const rsa = `${target.fake().url}/keys/default/${target.fake().rotate('default')}`
      await expectFailure(target, kms.sign!(Buffer.from('x'), rsa, never), 'bad_request', 'sign')
      await expectFailure(target, kms.publicKey!(rsa, never), 'bad_request', 'get_public_key')
      const versionless = `${target.fake().url}/keys/elliptic`
      await expectFailure(target, kms.sign!(Buffer.from('x'), versionless, never), 'key_not_found', 'sign')
      expect((await kms.sign!(Buffer.from('x'), `${versionless}/${version}`, never))[0]).toBe(0x30)
    })
  })

  test('a vault that no setting names gets no call and no token of ours', async () => {
    const stranger = new FakeKeyVault(testCertificate())
    await stranger.start()
    const version = stranger.createKey('theirs')
    const theirs = `${stranger.url}/keys/theirs/${version}`
    await withKms(target, {}, async (kms) => {
      const { wrapped } = await kms.generateDataKey(CONTEXT, never)
      await expectFailure(target, kms.unwrap(wrapped, theirs, CONTEXT, never), 'key_not_found', 'decrypt')
      await expectFailure(target, kms.sign!(Buffer.from('x'), theirs, never), 'key_not_found', 'sign')
      expect(stranger.calls).toEqual([])
    })
    // The same vault, once it is named as a former one, is asked; it knows no token of this Entra ID.
    const kms = await target.openWith({}, { formerVaultUris: [stranger.url] })
    const { wrapped } = await kms.generateDataKey(CONTEXT, never)
    await kms.unwrap(wrapped, theirs, CONTEXT, never).catch(() => undefined)
    expect(stranger.calls.length).toBeGreaterThan(0)
    await kms.close()
    await stranger.stop()
  })
})

test('the keys of envelopes, and data keys that nobody gets, are zeroed', async () => {
  await withKms(target, {}, async (kms) => {
    await kms.generateDataKey(CONTEXT, never)
    const made = await randomBytesMadeBy(() => kms.wrap(Uint8Array.of(1), CONTEXT, never))
    expect(made.length).toBe(1)
    expect(made[0]!.every((byte) => byte === 0)).toBe(true)
  })
  await withKms(target, { masterKey: 'missing' }, async (kms) => {
    const made = await randomBytesMadeBy(() => kms.generateDataKey(CONTEXT, never).catch(() => undefined))
    expect(made.length).toBeGreaterThanOrEqual(2)
    expect(made.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true)
  })
})

/** The buffers of 32 random bytes that were made during an act. */
async function randomBytesMadeBy(act: () => Promise<unknown>): Promise<Buffer[]> {
  const made: Buffer[] = []
  const { randomBytes } = crypto
  const spy = vi.spyOn(crypto, 'randomBytes').mockImplementation(((size: number) => {
    const bytes = randomBytes(size)
    if (size === 32) made.push(bytes)
    return bytes
  }) as typeof randomBytes) // the form with a callback is not used
  syncBuiltinESMExports()
  try {
    await act()
  } finally {
    spy.mockRestore()
    syncBuiltinESMExports()
  }
  return made
}

describe('credentials', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('a refused client secret is an access that is denied, and does not show', async () => {
    const secret = 'not-the-secret-of-the-sidecar'
    const kms = await target.openWith({}, { clientSecret: { reveal: () => secret } })
    const call = kms.generateDataKey(CONTEXT, never)
    const error = await expectFailure(target, call, 'access_denied', 'generate_data_key', [secret])
    expect(error.providerMessage).toContain('AADSTS7000215')
    expect(target.fake().logins.length).toBe(1)
    await kms.close()
  })

  test('workload identity: a cluster’s token is enough', async () => {
    const assertion = 'a-token-that-the-cluster-gave'
    target.fake().addAssertion('workload', assertion)
    vi.stubEnv('AZURE_FEDERATED_TOKEN_FILE', target.file('federated', assertion))
    vi.stubEnv('AZURE_CLIENT_ID', 'workload')
    vi.stubEnv('AZURE_TENANT_ID', TENANT)
    const more = { tenantId: undefined, clientId: undefined, clientSecret: undefined }
    const kms = await target.openWith({}, more)
    await roundTrip(kms)
    expect(target.fake().logins).toEqual(['assertion'])
    await kms.close()
  })

  test('managed identity: the machine’s own metadata service is enough', async () => {
    vi.stubEnv('AZURE_POD_IDENTITY_AUTHORITY_HOST', target.fake().metadataHost)
    vi.stubEnv('AZURE_CLIENT_ID', undefined)
    vi.stubEnv('AZURE_TENANT_ID', undefined)
    const more = { tenantId: undefined, clientId: 'machine', clientSecret: undefined }
    const kms = await target.openWith({}, more)
    await roundTrip(kms)
    expect(target.fake().logins).toContain('metadata')
    await kms.close()
  })

  test('a token is used for all calls until it ends', async () => {
    await withKms(target, {}, async (kms) => {
      for (let round = 0; round < 5; round++) await roundTrip(kms)
    })
    expect(target.fake().logins).toEqual(['secret'])
  })
})

test('with all of the libraries’ logs on, neither keys nor secrets nor tokens are printed', async () => {
  const canary = 'canary-of-a-key-canary-of-a-key!'
  const program = fileURLToPath(new URL('azure-log-probe.ts', import.meta.url))
  const settings = {
    vaultUri: target.fake().url,
    authorityHost: target.fake().authorityHost,
    tenantId: TENANT,
    clientId: CLIENT,
    clientSecret: target.secrets().at(-2),
    caFile: target.file('ca-of-the-probe.pem', testCertificate().ca),
    canary,
  }
  const env = { ...process.env, AZURE_LOG_LEVEL: 'verbose', DEBUG: '*' }
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [program, JSON.stringify(settings)],
    {
      env,
      maxBuffer: 1 << 26,
    },
  )
  const printed = stdout + stderr
  expect(printed).toContain('round trip done')
  expect(printed).toContain('azure:') // the logs are on
  expect(target.fake().plainKeys.length).toBeGreaterThan(1)
  const forms = [
    ...target.fake().plainKeys,
    canary,
    Buffer.from(canary).toString('base64url'),
    settings.clientSecret!,
    ...target.fake().tokens,
  ]
  for (const form of forms) expect(printed).not.toContain(form)
})
