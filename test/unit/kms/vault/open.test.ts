// What is refused at start and what is only logged, and what a client asks of a server. What Transit makes of it is shown
// against a real one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../../src/base/telemetry.ts'
import { openVaultKms, type VaultKmsOptions } from '../../../../src/kms/vault/open.ts'
import { capturedLog, errors, keyAnswer, ManualTimers, type Script, ScriptedVault } from './scripted.ts'

const never = new AbortController().signal
const CONTEXT = { tenantId: 'acme', purpose: 'pii' } as const
const folder = mkdtempSync(join(tmpdir(), 'betrace-vault-open-'))
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const secret = (text: string) => ({ reveal: () => text })

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('settings that cannot work are refused by name', () => {
  const missing = join(folder, 'missing.pem')
  const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  const table: Record<string, [Partial<VaultKmsOptions>, string]> = {
    'no URL': [{ address: 'vault:8200' }, 'kms.vault.address: must be a URL'],
    'another scheme': [{ address: 'ftp://vault' }, 'kms.vault.address: must be a URL'],
    'a password in the URL': [
      { address: 'https://u:hunter2@vault' },
      'kms.vault.address: must not hold user',
    ],
    'a query in the URL': [{ address: 'https://vault?a=b' }, 'kms.vault.address: must not hold'],
    'a mount with a slash at its end': [{ mount: 'transit/' }, 'kms.vault.mount: must be a path'],
    'a mount that goes up': [{ mount: '../sys' }, 'kms.vault.mount: must be a path'],
    'no key': [{ keyName: '' }, 'kms.vault.key_name: must be 1 to 128'],
    'a key with a slash': [{ keyName: 'a/b' }, 'kms.vault.key_name: must be 1 to 128'],
    'a namespace with a slash before it': [{ namespace: '/team' }, 'kms.vault.namespace: must be a path'],
    'a former mount that is none': [{ formerMounts: ['a b'] }, 'kms.vault.former_mounts[0]: must be a path'],
    "a tenant's key that is none": [
      { tenantKeyMapping: new Map([['__proto__', 'a//b']]) },
      'kms.tenant_key_mapping.__proto__: must be the name of a Transit key',
    ],
    'no way to log in': [{ token: undefined }, 'kms.vault.token: is needed, or one of'],
    'an AppRole mount that goes up': [
      { token: undefined, roleId: 'r', appRoleMount: '../token' },
      'kms.vault.app_role_mount: must be a path',
    ],
    'a Kubernetes mount that goes up': [
      { token: undefined, kubernetesRole: 'r', kubernetesMount: 'a?b' },
      'kms.vault.kubernetes_mount: must be a path',
    ],
    'an authority that is not there': [{ caFile: missing }, `kms.vault.ca_file: ${missing} cannot be read`],
    'an authority that is no PEM': [
      { caFile: file('text', 'x') },
      `kms.vault.ca_file: ${join(folder, 'text')} holds no certificate`,
    ],
    'an authority that is a key': [
      { caFile: file('key.pem', PEM.replaceAll('CERTIFICATE', 'PRIVATE KEY')) },
      `kms.vault.ca_file: ${join(folder, 'key.pem')} holds no certificate`,
    ],
    'an authority that is damaged': [
      { caFile: file('damaged.pem', PEM) },
      `kms.vault.ca_file: ${join(folder, 'damaged.pem')} holds a damaged certificate`,
    ],
    'a certificate without its key': [{ clientCertFile: missing }, 'kms.vault.client_key_file: is needed'],
    'a key without its certificate': [{ clientKeyFile: missing }, 'kms.vault.client_cert_file: is needed'],
  }
  for (const [name, [changes, message]] of Object.entries(table)) {
    test(name, async () => {
      const call = openVaultKms({ ...options('http://127.0.0.1:1'), ...changes })
      await expect(call).rejects.toMatchObject({ code: 'CONFIG' })
      await expect(call).rejects.toThrow(message)
      await expect(call).rejects.not.toThrow(/hunter2|\n/)
    })
  }
})

describe('at start', () => {
  test('the log names server and key, and no secret', async () => {
    await using vault = await ScriptedVault.start(() => keyAnswer())
    const { log, text } = await capturedLog()
    const token = secret('hvs.CAESIJcanarycanarycanary')
    const kms = await openVaultKms({
      ...options(vault.url),
      mount: 'a/b',
      keyName: 'k',
      namespace: 'team',
      token,
      log,
    })
    await kms.close()
    expect(text()).toContain('Initializing KMS provider: vault')
    expect(text()).toContain(`Using Vault Transit - address: ${vault.url}, key: team/a/b/k`)
    expect(text()).not.toContain('canary')
    expect(vault.asked).toMatchObject([
      { path: 'auth/token/lookup-self', namespace: 'team' },
      { method: 'GET', path: 'a/b/keys/k', namespace: 'team', token: 'hvs.CAESIJcanarycanarycanary' },
    ])
  })

  test('plain http to another machine is warned of, and to this one it is not', async () => {
    for (const [address, isWarned] of [
      ['http://vault.invalid:8200', true],
      ['http://127.0.0.1:1', false],
    ] as const) {
      const { log, text } = await capturedLog()
      await (await openVaultKms({ ...options(address), log })).close()
      expect(text().includes('kms.vault.address is plain http')).toBe(isWarned)
    }
  })

  const passing = {
    'a sealed server': [errors(503, 'Vault is sealed'), 'network'],
    'a denial': [errors(403, 'permission denied'), 'access_denied'],
    'a key that is not there yet': [errors(404), 'key_not_found'],
  } as const
  for (const [name, [answer, kmsClass]] of Object.entries(passing)) {
    test(`${name} is logged and asked for again`, async () => {
      await using vault = await ScriptedVault.start(() => answer)
      const { log, text } = await capturedLog()
      const kms = await openVaultKms({ ...options(vault.url), log })
      expect(text()).toContain(`KmsException ${kmsClass} in describe_key`)
      vault.script = () => keyAnswer()
      expect(await kms.describe(never)).toEqual({ enabled: true, masterKeyId: 'transit/k' })
      await kms.close()
    })
  }

  test('a server that ignores associated data is refused', async () => {
    await using vault = await ScriptedVault.start(({ path, body }) => {
      if (path.startsWith('auth/')) return errors(403, 'permission denied')
      if (path.startsWith('transit/keys/')) return keyAnswer({ derived: false })
      if (path.startsWith('transit/encrypt/'))
        return { status: 200, body: { data: { ciphertext: `vault:v1:${body.plaintext}` } } }
      return { status: 200, body: { data: { plaintext: body.ciphertext!.replace('vault:v1:', '') } } }
    })
    await expect(openVaultKms(options(vault.url))).rejects.toMatchObject({
      code: 'CONFIG',
      message: 'kms.vault.key_name: server ignores associated data; use a derived Transit key',
    })
  })
})

test('a token file is read again before its token ends, and its token never renewed: that is its writer’s work', async () => {
  const tokenFile = file('token', 'one\n')
  await using vault = await ScriptedVault.start(({ path }) =>
    path.startsWith('auth/') ? { status: 200, body: { data: { ttl: 3_600, renewable: true } } } : keyAnswer(),
  )
  const timers = new ManualTimers()
  const { schedule, monotonicMs } = timers
  const kms = await openVaultKms({
    ...options(vault.url),
    token: undefined,
    tokenFile,
    schedule,
    monotonicMs,
  })
  file('token', 'two\n')
  timers.fire()
  while (timers.pending.length === 0) await new Promise((done) => setImmediate(done))
  await kms.describe(never)
  expect(vault.asked.map(({ path, token }) => [path, token])).toEqual([
    ['auth/token/lookup-self', 'one'],
    ['transit/keys/k', 'one'],
    ['auth/token/lookup-self', 'two'],
    ['transit/keys/k', 'two'],
  ])
  await kms.close()
})

test('a token that was revoked is followed by what its file holds then, and nobody restarts', async () => {
  const tokenFile = file('token', 'one\n')
  let revoked = ''
  await using vault = await ScriptedVault.start(({ path, token }) => {
    if (token === revoked) return errors(403, 'permission denied')
    return path.startsWith('auth/')
      ? { status: 200, body: { data: { ttl: 3_600, renewable: true } } }
      : keyAnswer()
  })
  const { schedule, monotonicMs } = new ManualTimers()
  const kms = await openVaultKms({
    ...options(vault.url),
    token: undefined,
    tokenFile,
    schedule,
    monotonicMs,
  })
  revoked = 'one'
  file('token', 'two\n')
  expect(await kms.describe(never)).toMatchObject({ enabled: true })
  expect(vault.asked.at(-1)).toMatchObject({ token: 'two' })
  await kms.close()
})

describe('a credential file that its writer has not written yet', () => {
  const kinds = {
    'a token file': (path: string) => ({ token: undefined, tokenFile: path }),
    'a service account token': (path: string) => ({
      token: undefined,
      kubernetesRole: 'r',
      kubernetesTokenFile: path,
    }),
  }
  for (const [kind, given] of Object.entries(kinds)) {
    for (const [state, reason] of [
      ['missing', 'cannot be read'],
      ['empty', 'is empty'],
    ] as const) {
      test(`${kind} that is ${state} is a network failure, and found by the next call`, async () => {
        const path = join(folder, `late ${kind} ${state}`)
        if (state === 'empty') writeFileSync(path, '\n')
        await using vault = await ScriptedVault.start(login)
        const { log, text } = await capturedLog()
        const { schedule, monotonicMs } = new ManualTimers()
        const kms = await openVaultKms({ ...options(vault.url), ...given(path), log, schedule, monotonicMs })
        expect(text()).toContain(`KmsException network in describe_key`)
        const call = kms.describe(never)
        await expect(call).rejects.toMatchObject({ kmsClass: 'network', isRetryable: true })
        await expect(call).rejects.toHaveProperty('providerMessage', expect.stringContaining(reason))
        expect(vault.asked).toEqual([])
        writeFileSync(path, 'written\n')
        expect(await kms.describe(never)).toMatchObject({ enabled: true })
        await kms.close()
      })
    }
  }

  test('is waited for within the attempts of one call', async () => {
    const path = join(folder, 'a little late')
    await using vault = await ScriptedVault.start(login)
    const request = { connectTimeoutMs: 500, timeoutMs: 2_000, attemptsMax: 3 }
    const kms = await openVaultKms({ ...options(vault.url), token: undefined, tokenFile: path, request })
    // The first pause between two attempts is 50 ms at least.
    setTimeout(() => writeFileSync(path, 'written'), 10)
    expect(await kms.describe(never)).toMatchObject({ enabled: true })
    await kms.close()
  })
})

describe('wrapping', () => {
  test('reads a key again after five minutes, and not before', async () => {
    await using vault = await ScriptedVault.start(transit)
    const timers = new ManualTimers()
    const kms = await openVaultKms({ ...options(vault.url), monotonicMs: timers.monotonicMs })
    const reads = () => vault.paths.filter((path) => path === 'transit/keys/k').length
    for (const [atMs, count] of [
      [0, 1],
      [299_999, 1],
      [300_000, 2],
      [300_001, 2],
    ] as const) {
      timers.nowMs = atMs
      await kms.wrap(Uint8Array.of(1), CONTEXT, never)
      expect(reads()).toBe(count)
    }
    await kms.close()
  })

  test('a data key of a derived key costs one call, however long ago the key was read', async () => {
    await using vault = await ScriptedVault.start(transit)
    const timers = new ManualTimers()
    const kms = await openVaultKms({ ...options(vault.url), monotonicMs: timers.monotonicMs })
    const before = vault.asked.length
    for (const atMs of [0, 3_600_000, 7_200_000]) {
      timers.nowMs = atMs
      await kms.generateDataKey(CONTEXT, never)
    }
    expect(vault.paths.slice(before)).toEqual(Array(3).fill('transit/datakey/plaintext/k'))
    await kms.close()
  })

  test('asks for a data key only where a key derives: HashiCorp does not bind associated data to one', async () => {
    let sealed = ''
    await using vault = await ScriptedVault.start(({ path, body }) => {
      if (path.startsWith('transit/keys/')) return keyAnswer({ derived: false })
      if (path.startsWith('transit/decrypt/')) return errors(400, 'cipher: message authentication failed')
      sealed = body.plaintext ?? ''
      return { status: 200, body: { data: { ciphertext: 'vault:v1:AAAA' } } }
    })
    const kms = await openVaultKms(options(vault.url))
    const { plaintext } = await kms.generateDataKey(CONTEXT, never)
    expect(plaintext).toHaveLength(32)
    expect(sealed).toBe(Buffer.from(plaintext).toString('base64'))
    expect(vault.paths.filter((path) => path.includes('datakey'))).toEqual([])
    await kms.close()
  })

  const broken: Record<string, object> = {
    'no data key': { ciphertext: 'vault:v1:AAAA' },
    'a short data key': { plaintext: 'AAAA', ciphertext: 'vault:v1:AAAA' },
    'a data key in another spelling': { plaintext: `${'A'.repeat(42)}B=`, ciphertext: 'vault:v1:AAAA' },
    'no ciphertext': { plaintext: `${'A'.repeat(43)}=` },
    'a ciphertext of another kind': { plaintext: `${'A'.repeat(43)}=`, ciphertext: 'AAAA' },
    'a ciphertext that is a number': { plaintext: `${'A'.repeat(43)}=`, ciphertext: 7 },
  }
  for (const [name, data] of Object.entries(broken)) {
    test(`${name} in an answer is a network failure`, async () => {
      await using vault = await ScriptedVault.start((asked, raw) =>
        asked.path.startsWith('transit/datakey/') ? { status: 200, body: { data } } : transit(asked, raw),
      )
      const kms = await openVaultKms(options(vault.url))
      await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
        kmsClass: 'network',
        operation: 'generate_data_key',
      })
      await kms.close()
    })
  }

  test('a key that is no key in an answer is a network failure', async () => {
    for (const changes of [{ type: 7 }, { latest_version: 'one' }]) {
      await using vault = await ScriptedVault.start(() => keyAnswer(changes))
      const kms = await openVaultKms(options(vault.url))
      await expect(kms.describe(never)).rejects.toMatchObject({ kmsClass: 'network' })
      await kms.close()
    }
  })

  test('nothing reaches the server for a wrapped key that is none, or an id that is not ours', async () => {
    await using vault = await ScriptedVault.start(transit)
    const kms = await openVaultKms(options(vault.url))
    await kms.wrap(Uint8Array.of(1), CONTEXT, never)
    const before = vault.asked.length
    const bytes = Buffer.from('vault:v1:AAAA')
    await expect(kms.unwrap(Buffer.from('x'), 'transit/k', CONTEXT, never)).rejects.toMatchObject({
      kmsClass: 'invalid_ciphertext',
    })
    await expect(kms.unwrap(bytes, 'secret/k', CONTEXT, never)).rejects.toMatchObject({
      kmsClass: 'key_not_found',
    })
    expect(vault.asked).toHaveLength(before)
    await kms.close()
  })
})

/** Takes every login and has every key. */
const login: Script = ({ path }) => {
  if (path === 'auth/kubernetes/login') return { status: 200, body: { auth: { client_token: 't' } } }
  return path.startsWith('auth/') ? { status: 200, body: { data: {} } } : keyAnswer()
}

/** Answers in the form of Transit's, without its cryptography. */
const transit: Script = ({ path }) => {
  if (path.startsWith('transit/keys/')) return keyAnswer()
  return { status: 200, body: { data: { plaintext: `${'A'.repeat(43)}=`, ciphertext: 'vault:v1:AAAA' } } }
}

function options(address: string): VaultKmsOptions {
  return {
    address,
    mount: 'transit',
    keyName: 'k',
    token: secret('t'),
    tenantKeyMapping: new Map(),
    request: { connectTimeoutMs: 500, timeoutMs: 2_000, attemptsMax: 1 },
    log: silentTelemetry().log,
  }
}
