// How the sidecar comes to a token on a real OpenBao, keeps it, and comes to another one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createTlsServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Kms } from '../../../src/kms/kms.ts'
import { openVaultKms } from '../../../src/kms/vault/open.ts'
import type { VaultKmsOptions } from '../../../src/kms/vault/options.ts'
import { capturedLog } from '../../unit/kms/vault/scripted.ts'
import { until } from '../service-process.ts'
import { CONTEXT, never, roundTrip } from './expectations.ts'
import { FaultProxy } from './fault-proxy.ts'
import { VaultRig } from './vault-rig.ts'
import { makeCertificates, type OpenBao } from './vault-server.ts'
import { secret } from './vault-target.ts'

const folder = mkdtempSync(join(tmpdir(), 'betrace-vault-login-'))
let rig: VaultRig
let server: OpenBao

beforeAll(async () => {
  makeCertificates(folder)
  rig = await VaultRig.start()
  server = rig.server
  await server.must('POST', 'sys/auth/approle', { type: 'approle' })
})

afterAll(async () => {
  await rig.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('AppRole', () => {
  test('logs in when it must, and ends its own token when it closes', async () => {
    const role = await appRole('plain', { token_ttl: '1h' })
    const before = await accessors()
    const kms = await openVaultKms(role)
    await roundTrip(kms)
    await roundTrip(kms)
    expect(await accessorsSince(before)).toHaveLength(1)
    await kms.close()
    expect(await accessorsSince(before)).toHaveLength(0)
  })

  test('a revoked token is replaced by one login, however many calls meet the refusal', async () => {
    const role = await appRole('revoked', { token_ttl: '1h' })
    await withVault(role, async (kms, lines) => {
      await roundTrip(kms)
      const before = await accessors()
      for (const accessor of await accessorsOf('revoked'))
        await server.must('POST', 'auth/token/revoke-accessor', { accessor })
      await Promise.all(Array.from({ length: 20 }, () => roundTrip(kms)))
      expect(await accessorsSince(before)).toHaveLength(1)
      expect(lines().filter((line) => line.includes('logged in to Vault'))).toHaveLength(2)
    })
  })

  test('a token is renewed before it ends, and replaced when it nears its last renewal', async () => {
    const role = await appRole('renewed', { token_ttl: '2s', token_max_ttl: '5s' })
    await withVault(role, async (kms) => {
      const [first] = await accessorsOf('renewed')
      await until('the token was renewed', async () => {
        const token = await server.api('POST', 'auth/token/lookup-accessor', { accessor: first })
        return Number(token.body.data?.last_renewal_time ?? 0) > 0
      })
      await roundTrip(kms)
      await until('another token is there', async () =>
        (await accessorsOf('renewed')).some((a) => a !== first),
      )
      await roundTrip(kms)
      await until('the first token is over', async () => !(await accessorsOf('renewed')).includes(first!))
      await roundTrip(kms)
    })
  })

  test('a refused permission costs one login, then is told as what it is', async () => {
    await server.must('PUT', 'sys/policies/acl/reader', {
      policy: 'path "transit/keys/default" { capabilities = ["read"] }',
    })
    const role = await appRole('reader', { token_ttl: '1h', token_policies: ['reader'] })
    await withVault(role, async (kms, lines) => {
      for (let round = 0; round < 5; round++) {
        await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
          kmsClass: 'access_denied',
          operation: 'generate_data_key',
        })
      }
      expect(lines().filter((line) => line.includes('logged in to Vault'))).toHaveLength(2)
    })
  })

  test('a wrong secret is access denied, and is not tried with every call', async () => {
    const role = await appRole('wrong-secret', { token_ttl: '1h' })
    const proxy = await FaultProxy.start({ upstream: server.url, layer: 'http' })
    const options = { ...role, address: proxy.url, secretId: secret('no-such-secret-id') }
    await withVault({ ...options, monotonicMs: () => 0 }, async (kms, lines) => {
      const before = proxy.count
      for (let call = 0; call < 10; call++) {
        await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({
          kmsClass: 'access_denied',
          operation: 'generate_data_key',
        })
      }
      expect(before).toBe(1)
      expect(proxy.count, 'the pause after the refusal is not over').toBe(1)
      expect(lines().join('\n')).toContain('KmsException access_denied in describe_key: login: invalid role')
    })
    await proxy.close()
  })
})

describe('Kubernetes', () => {
  test('logs in with the service account token of the moment, as the cluster reviews it', async () => {
    const cluster = await fakeTokenReview('system:serviceaccount:shop:sidecar')
    const tokenFile = join(folder, 'service-account-token')
    writeFileSync(tokenFile, `${serviceAccountToken(1)}\n`)
    try {
      await server.must('POST', 'sys/auth/k8s', { type: 'kubernetes' })
      await server.must('POST', 'auth/k8s/config', {
        kubernetes_host: cluster.url,
        kubernetes_ca_cert: cluster.ca,
        token_reviewer_jwt: serviceAccountToken(0),
        disable_local_ca_jwt: true,
      })
      await server.must('POST', 'auth/k8s/role/sidecar', {
        bound_service_account_names: ['sidecar'],
        bound_service_account_namespaces: ['shop'],
        token_policies: ['sidecar'],
        token_ttl: '1h',
      })
      const options = { kubernetesRole: 'sidecar', kubernetesMount: 'k8s', kubernetesTokenFile: tokenFile }
      await withVault({ ...base(), ...options }, async (kms) => {
        await roundTrip(kms)
        writeFileSync(tokenFile, serviceAccountToken(2))
        await server.must('POST', 'sys/leases/revoke-prefix/auth/k8s', {})
        await roundTrip(kms)
        expect(cluster.reviewed).toEqual([serviceAccountToken(1), serviceAccountToken(2)])
      })
    } finally {
      await cluster.close()
    }
  })
})

describe('tokens that are given', () => {
  test('a given token is renewed, and its end is access denied', async () => {
    const text = await rig.createToken({ ttl: '2s' })
    await withVault({ ...base(), token: secret(text) }, async (kms) => {
      await until('the token was renewed', async () => {
        const token = await server.api('POST', 'auth/token/lookup', { token: text })
        return Number(token.body.data?.last_renewal_time ?? 0) > 0
      })
      await roundTrip(kms)
      await server.must('POST', 'auth/token/revoke', { token: text })
      await expect(kms.generateDataKey(CONTEXT, never)).rejects.toMatchObject({ kmsClass: 'access_denied' })
    })
  })

  test('a token file is read again when its token was revoked', async () => {
    const [one, two] = [await rig.createToken({ ttl: '1h' }), await rig.createToken({ ttl: '1h' })]
    const tokenFile = join(folder, 'token')
    writeFileSync(tokenFile, `${one}\n`)
    await withVault({ ...base(), tokenFile }, async (kms) => {
      await roundTrip(kms)
      writeFileSync(tokenFile, `${two}\n`)
      await server.must('POST', 'auth/token/revoke', { token: one })
      await roundTrip(kms)
      await kms.close()
      expect((await server.api('POST', 'auth/token/lookup', { token: two })).status).toBe(200)
    })
  })
})

/** Options without a way to log in. */
function base(): VaultKmsOptions {
  const { token: _, ...options } = rig.options
  return options
}

async function appRole(name: string, settings: object): Promise<VaultKmsOptions> {
  await server.must('POST', `auth/approle/role/${name}`, { token_policies: ['sidecar'], ...settings })
  const role = await server.must('GET', `auth/approle/role/${name}/role-id`)
  const made = await server.must('POST', `auth/approle/role/${name}/secret-id`, {})
  return {
    ...base(),
    roleId: String(role.data!.role_id),
    secretId: secret(String(made.data!.secret_id)),
  }
}

/** Opens, uses and closes; what was logged must hold no token and no secret id. */
async function withVault(
  options: VaultKmsOptions,
  use: (kms: Kms, lines: () => string[]) => Promise<void>,
): Promise<void> {
  const { log, text } = await capturedLog()
  const kms = await openVaultKms({ ...options, log })
  try {
    await use(kms, () => text().split('\n'))
  } finally {
    await kms.close()
  }
  expect(text()).toContain('Initializing KMS provider: vault')
  expect(text()).not.toMatch(/\b(?:s|hvs|b)\.[A-Za-z0-9]{20,}|eyJ/)
  if (options.secretId !== undefined) expect(text()).not.toContain(options.secretId.reveal())
}

async function accessors(): Promise<string[]> {
  const list = await server.must('GET', 'auth/token/accessors?list=true')
  return list.data!.keys as string[] // what the server documents; a wrong answer fails the test
}

async function accessorsSince(before: readonly string[]): Promise<string[]> {
  return (await accessors()).filter((accessor) => !before.includes(accessor))
}

/** Accessors of the tokens that a role handed out and that still live. */
async function accessorsOf(role: string): Promise<string[]> {
  const found: string[] = []
  for (const accessor of await accessors()) {
    const { status, body } = await server.api('POST', 'auth/token/lookup-accessor', { accessor })
    const meta = body.data?.meta as Record<string, string> | null | undefined // as above
    if (status === 200 && meta?.role_name === role) found.push(accessor)
  }
  return found
}

/** A JWT in form; only the reviewer judges it. */
function serviceAccountToken(serial: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    iss: 'kubernetes/serviceaccount',
    serial,
    'kubernetes.io/serviceaccount/namespace': 'shop',
    'kubernetes.io/serviceaccount/service-account.name': 'sidecar',
    'kubernetes.io/serviceaccount/service-account.uid': '00000000-0000-0000-0000-000000000001',
    sub: 'system:serviceaccount:shop:sidecar',
  }
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.${Buffer.alloc(64, serial).toString('base64url')}`
}

interface FakeCluster {
  readonly url: string
  readonly ca: string
  /** Tokens in the order in which they were reviewed. */
  readonly reviewed: string[]
  close(): Promise<void>
}

/** The one call of the Kubernetes API that the server makes. It takes every token for `username`'s. */
async function fakeTokenReview(username: string): Promise<FakeCluster> {
  const pem = (name: string) => readFileSync(join(folder, name), 'utf8')
  const reviewed: string[] = []
  const cluster: Server = createTlsServer(
    { key: pem('server.key'), cert: pem('server.pem') },
    async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8'))
      reviewed.push(review.spec.token)
      const user = { username, uid: '00000000-0000-0000-0000-000000000001', groups: [] }
      const answer = { ...review, status: { authenticated: true, user } }
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    },
  )
  await new Promise<void>((done) => cluster.listen(0, '127.0.0.1', done))
  const { port } = cluster.address() as AddressInfo // listens on TCP, so never a path
  return {
    url: `https://127.0.0.1:${port}`,
    ca: pem('ca.pem'),
    reviewed,
    close: async () => {
      cluster.closeAllConnections()
      await new Promise((done) => cluster.close(done))
    },
  }
}
