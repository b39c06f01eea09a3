// Where the SDK's default chain finds credentials, each in a process whose environment holds just that. What was used is
// read from the requests, by a proxy on their way.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Emulator, emulatorsMissing, startMinistack } from './aws-emulators.ts'
import { AwsAdmin } from './aws-target.ts'
import { FaultProxy, testCertificate } from './fault-proxy.ts'

const SCRIPT = fileURLToPath(new URL('generate-with-aws.ts', import.meta.url))
const ACCESS_KEY = 'AKIAI44QH8DHBEXAMPLE'
const SECRET_KEY = 'je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY'
const ROLE = 'arn:aws:iam::000000000000:role/betrace'

let ministack: Emulator
let proxy: FaultProxy
let key: string
let folder: string

interface Outcome {
  readonly isSame?: boolean
  readonly kmsClass?: string
  readonly logText?: string
  readonly tookMs: number
  /** Access key ids that signed requests. */
  readonly signers: readonly string[]
  /** Session tokens that came along. */
  readonly tokens: readonly string[]
}

async function generate(
  env: Readonly<Record<string, string>>,
  { patienceMs = 20_000, through = proxy } = {},
): Promise<Outcome> {
  const signers = new Set<string>()
  const tokens = new Set<string>()
  through.set(({ headers }) => {
    const signer = /Credential=([^/]+)\//.exec(String(headers.authorization))?.[1]
    if (signer !== undefined) signers.add(signer)
    const token = headers['x-amz-security-token']
    if (token !== undefined) tokens.add(String(token))
    return { kind: 'none' }
  })
  const child = spawn(process.execPath, [SCRIPT, through.url, key, String(patienceMs)], {
    env: { PATH: process.env.PATH ?? '', HOME: folder, AWS_EC2_METADATA_DISABLED: 'true', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const [code] = await once(child, 'close')
  expect(code, errors).toBe(0)
  expect(output + errors).not.toContain(SECRET_KEY)
  const outcome = JSON.parse(output) as Omit<Outcome, 'signers' | 'tokens'> // the script's own object
  return { ...outcome, signers: [...signers], tokens: [...tokens] }
}

function write(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** A server that gives credentials to whoever shows the token, as the agents of EKS and ECS do. */
async function startAgent(token: string): Promise<Server & { readonly url: string }> {
  const agent = createServer((request, response) => {
    const isAllowed = request.headers.authorization === token
    response.writeHead(isAllowed ? 200 : 401, { 'content-type': 'application/json' }).end(
      isAllowed
        ? JSON.stringify({
            AccessKeyId: ACCESS_KEY,
            SecretAccessKey: SECRET_KEY,
            Token: 'agent-token',
            Expiration: new Date(Date.now() + 3_600_000).toISOString(),
          })
        : '{"code":"denied"}',
    )
  })
  agent.listen(0, '127.0.0.1')
  await once(agent, 'listening')
  const { port } = agent.address() as AddressInfo // listens on TCP, so never a path
  return Object.assign(agent, { url: `http://127.0.0.1:${port}/v1/credentials` })
}

describe.skipIf(emulatorsMissing !== undefined)('credentials come from', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'betrace-aws-credentials-'))
    ministack = await startMinistack()
    proxy = await FaultProxy.start({ upstream: ministack.url, layer: 'http' })
    const admin = new AwsAdmin(() => ministack)
    key = await admin.createKey({})
    admin.close()
  }, 600_000)
  afterAll(async () => {
    await proxy.close()
    await ministack.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('the environment', async () => {
    const outcome = await generate({
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      AWS_SESSION_TOKEN: 'session-token',
    })
    expect(outcome).toMatchObject({ isSame: true, signers: [ACCESS_KEY], tokens: ['session-token'] })
  })

  test('a profile', async () => {
    const outcome = await generate({
      AWS_PROFILE: 'betrace',
      AWS_CONFIG_FILE: write('empty', ''),
      AWS_SHARED_CREDENTIALS_FILE: write(
        'credentials',
        `[betrace]\naws_access_key_id = ${ACCESS_KEY}\naws_secret_access_key = ${SECRET_KEY}\n`,
      ),
    })
    expect(outcome).toMatchObject({ isSame: true, signers: [ACCESS_KEY], tokens: [] })
  })

  test('a role that a profile assumes', async () => {
    const outcome = await generate({
      AWS_PROFILE: 'betrace',
      AWS_ENDPOINT_URL_STS: ministack.url,
      AWS_CONFIG_FILE: write(
        'config',
        `[profile betrace]\nregion = eu-west-1\nrole_arn = ${ROLE}\nsource_profile = base\n`,
      ),
      AWS_SHARED_CREDENTIALS_FILE: write(
        'base',
        `[base]\naws_access_key_id = ${ACCESS_KEY}\naws_secret_access_key = ${SECRET_KEY}\n`,
      ),
    })
    expect(outcome.logText ?? outcome.isSame).toBe(true)
    expect(outcome.signers.length).toBe(1)
    expect(outcome.signers).not.toContain(ACCESS_KEY)
    expect(outcome.tokens.length).toBe(1)
  })

  test('a role for a Kubernetes service account (IRSA)', async () => {
    const claims = Buffer.from(JSON.stringify({ sub: 'system:serviceaccount:default:betrace', aud: 'sts' }))
    const token = `eyJhbGciOiJub25lIn0.${claims.toString('base64url')}.`
    const outcome = await generate({
      AWS_REGION: 'eu-west-1',
      AWS_ROLE_ARN: ROLE,
      AWS_WEB_IDENTITY_TOKEN_FILE: write('token', token),
      AWS_ENDPOINT_URL_STS: ministack.url,
    })
    expect(outcome.logText ?? outcome.isSame).toBe(true)
    expect(outcome.signers[0]).toMatch(/^ASIA/)
    expect(outcome.tokens.length).toBe(1)
  })

  test('an agent in the pod (EKS pod identity, ECS)', async () => {
    const agent = await startAgent('pod-token')
    try {
      const env = {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: agent.url,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: write('pod-token', 'pod-token'),
      }
      const outcome = await generate(env)
      expect(outcome).toMatchObject({ isSame: true, signers: [ACCESS_KEY], tokens: ['agent-token'] })
      const denied = await generate({
        ...env,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: write('wrong', 'wrong'),
      })
      expect(denied).toMatchObject({ kmsClass: 'network', signers: [] })
    } finally {
      agent.close()
    }
  })

  test('none: a network failure that says so, and nothing is asked of the key service', async () => {
    const outcome = await generate({})
    expect(outcome).toMatchObject({ kmsClass: 'network', signers: [] })
    expect(outcome.logText).toContain(
      'CredentialsProviderError: Could not load credentials from any providers',
    )
  })

  test('a service of credentials that never answers ends with the caller’s patience', async () => {
    const silent = createServer(() => {})
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo // listens on TCP, so never a path
    try {
      const outcome = await generate(
        {
          AWS_REGION: 'eu-west-1',
          AWS_ROLE_ARN: ROLE,
          AWS_WEB_IDENTITY_TOKEN_FILE: write('token', 'x.y.z'),
          AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${port}`,
        },
        { patienceMs: 700 },
      )
      expect(outcome).toMatchObject({ kmsClass: 'timeout', signers: [] })
      expect(outcome.tookMs).toBeLessThan(2_000)
    } finally {
      silent.closeAllConnections()
      silent.close()
    }
  })

  test('nowhere else: over TLS they go to who is vouched for, and to nobody else', async () => {
    const { key, cert, ca } = testCertificate()
    const secure = await FaultProxy.start({ upstream: ministack.url, layer: 'http', tls: { key, cert } })
    try {
      const env = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY }
      const trusting = { ...env, NODE_EXTRA_CA_CERTS: write('ca.pem', ca) }
      expect(await generate(trusting, { through: secure })).toMatchObject({
        isSame: true,
        signers: [ACCESS_KEY],
      })
      expect(await generate(env, { through: secure })).toMatchObject({ kmsClass: 'network', signers: [] })
    } finally {
      await secure.close()
    }
  })
})
