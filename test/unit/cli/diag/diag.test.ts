import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../../../src/base/clock.ts'
import { diag } from '../../../../src/cli/diag/diag.ts'
import { ustar } from '../../../../src/cli/diag/ustar.ts'
import { DoorKms } from '../../kms/key-service.ts'
import { startSidecar, type TestSidecar } from '../../service/sidecar.ts'
import { recordingIo } from '../io.ts'

const ADMIN_TOKEN = 'test-admin-token'
const EMAIL = 'canary.of.diag@clinic.example'
const SECRETS = {
  adminToken: ADMIN_TOKEN,
  vaultToken: 'hvs.canary-of-vault',
  header: 'canary-of-a-header',
  urlPassword: 'canary-of-a-url',
  urlQuery: 'canary-of-a-query',
  bareQuery: 'canary-of-no-scheme',
  azureSecret: 'canary-of-azure',
  accessKey: 'canary/of+an/access+key',
}
const folder = mkdtempSync(join(tmpdir(), 'betrace-diag-'))
const config = join(folder, 'sidecar.yaml')
const clock = { ...systemClock, nowMs: () => Date.UTC(2026, 10, 23, 7, 5, 9) }
let sidecar: TestSidecar
let door: DoorKms

beforeAll(async () => {
  door = await DoorKms.open()
  sidecar = await startSidecar([], undefined, { openKms: async () => door })
  writeFileSync(
    config,
    `receivers: { otlp: { protocols: { http: {} } } }
kms:
  vault: { token: ${SECRETS.vaultToken} }
  azure: { client_secret: ${SECRETS.azureSecret} }
exporters:
  otlp_http/next:
    endpoint: https://user:${SECRETS.urlPassword}@collector.internal:4318
    headers: { authorization: "Bearer ${SECRETS.header}" }
  otlp_http/keyed: { endpoint: "http://127.0.0.1:9?apikey=${SECRETS.urlQuery}" }
  otlp_grpc/bare: { endpoint: "user:${SECRETS.bareQuery}@127.0.0.1:9?apikey=${SECRETS.bareQuery}" }
service:
  pipelines: { traces: { receivers: [otlp], exporters: [otlp_http/next] } }
  admin: { endpoint: "${sidecar.adminUrl.slice('http://'.length)}", token: "${ADMIN_TOKEN}" }
`,
  )
})

afterAll(async () => {
  await sidecar?.stop()
  sidecar?.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function run(argv: readonly string[], env: Record<string, string> = {}) {
  const cwd = mkdtempSync(join(folder, 'run-'))
  const { io, out, err } = recordingIo(env, cwd)
  const code = await diag([...argv], io, clock)
  return { code, out: out(), err: err(), cwd }
}

/** What `tar` itself finds in the bundle. */
function unpacked(path: string): (name: string) => string {
  const into = mkdtempSync(join(folder, 'unpacked-'))
  execFileSync('tar', ['-xzf', path, '-C', into, '--strip-components=1'])
  return (name) => readFileSync(join(into, name), 'utf8')
}

/** The configuration without the addresses that hold credentials, which are refused. */
function withoutProblems(): string {
  return readFileSync(config, 'utf8')
    .replace(/.*otlp_(?:http\/keyed|grpc\/bare).*\n/g, '')
    .replace(/https:\/\/user:[^@]*@/, 'https://')
}

test('the bundle of a sidecar in trouble holds what the runbook asks for, and no secret', async () => {
  const trace = JSON.stringify({
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              {
                traceId: 'ab'.repeat(16),
                spanId: 'cd'.repeat(8),
                name: 'x',
                attributes: [{ key: 'user.email', value: { stringValue: EMAIL } }],
              },
            ],
          },
        ],
      },
    ],
  })
  door.fail('access_denied')
  expect((await sidecar.post('/v1/traces', trace, 'application/json')).status).toBe(503)
  const log = join(folder, 'sidecar.log')
  writeFileSync(log, sidecar.log())
  const env = {
    AWS_SECRET_ACCESS_KEY: SECRETS.accessKey,
    AWS_REGION: 'eu-west-1',
    HOME: '/root',
  }
  const { code, out, err, cwd } = await run(['--config', config, '--validate', '--log', log], env)
  expect([code, err]).toEqual([1, expect.stringContaining('config.yaml: the configuration has problems')])
  const path = join(cwd, 'betrace-diag-20261123-070509.tar.gz')
  expect(out).toBe(`${path}\n`)
  expect(statSync(path).mode & 0o777).toBe(0o600)

  const file = unpacked(path)
  expect(JSON.parse(file('health.json'))).toMatchObject({ checks: expect.any(Array) })
  expect(file('metrics.txt')).toContain(
    'kms_errors_total{operation="generate_data_key",error="access_denied"} ',
  )
  expect(JSON.parse(file('kms-status.json'))).toMatchObject({ provider: 'local', status: 'WARNING' })
  expect(JSON.parse(file('kms-validation.json'))).toMatchObject({ overall: 'FAIL' })
  expect(JSON.parse(file('errors.json'))).toMatchObject({
    last_error: { error_type: 'access_denied' },
    counters: expect.arrayContaining([
      expect.stringMatching(/^kms_errors_total\{operation="\w+",error="access_denied"\} [1-9]/),
    ]),
  })
  expect(file('log.txt')).toContain('KmsException access_denied')
  expect(file('config.yaml')).toContain('provider: local')
  expect(JSON.parse(file('manifest.json'))).toMatchObject({
    createdAt: '2026-11-23T07:05:09.000Z',
    versions: { betrace: expect.stringMatching(/^\d+\.\d+\.\d+/), node: process.version },
    environment: ['AWS_REGION', 'AWS_SECRET_ACCESS_KEY'],
    files: { 'health.json': 'complete', 'metrics.txt': 'complete', 'kms-status.json': 'complete' },
  })
  const whole = gunzipSync(readFileSync(path)).toString('latin1') + out + err
  for (const [name, secret] of Object.entries({ ...SECRETS, email: EMAIL }))
    expect([name, whole.includes(secret)]).toEqual([name, false])
  door.failure = undefined
})

test('a healthy sidecar and a whole configuration give a complete bundle, code 0', async () => {
  const good = join(folder, 'good.yaml')
  writeFileSync(good, withoutProblems())
  const { code, err, out } = await run(['--config', good])
  expect([code, err]).toEqual([0, ''])
  expect(unpacked(out.trim())('config.yaml')).toContain('token: "[redacted]"')
})

const KEY_ARN = 'arn:aws:kms:eu-west-1:123456789012:key/here'

test.each<[string, string, Record<string, string>]>([
  ['by its status', ADMIN_TOKEN, { 'betrace.kms.provider': 'aws', 'aws.kms.master-key-id': KEY_ARN }],
  ['by its health', '', { BETRACE_KMS_PROVIDER: 'aws', AWS_KMS_MASTER_KEY_ID: KEY_ARN }],
])(
  'a configuration with another key service than the running one is no complete bundle: %s',
  async (_, token, env) => {
    const good = join(folder, 'other.yaml')
    writeFileSync(good, withoutProblems().replace(/token: "test.*"/, `token: "${token}"`))
    const { code, err, out } = await run(['--config', good], env)
    expect(code).toBe(1)
    const problem =
      'kms.provider differs from that of the running sidecar; give diag the --config, --set, --properties and environment that it has'
    expect(err).toContain(`betrace diag: config.yaml: ${problem}\n`)
    const file = unpacked(out.trim())
    expect(JSON.parse(file('manifest.json')).files['config.yaml']).toContain(problem)
    expect(file('config.yaml')).toMatch(/^# The configuration as betrace diag read it/)
  },
)

test('another master key of the same provider is told too', async () => {
  const server = await listen((path) =>
    path.endsWith('/status')
      ? JSON.stringify({ provider: 'aws', master_key: 'arn:aws:kms:eu-west-1:123456789012:key/there' })
      : '{}',
  )
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const arn = (key: string) => `kms.aws.master_key_id=arn:aws:kms:eu-west-1:123456789012:key/${key}`
  const argv = (key: string) => [
    '--config',
    config,
    '--url',
    url,
    '--set',
    'kms.provider=aws',
    '--set',
    arn(key),
  ]
  expect((await run(argv('here'))).err).toContain('kms.aws.master_key_id differs from that of the running')
  expect((await run(argv('there'))).err).not.toContain('differs')
  await close(server)
})

test('secrets that other answers repeat are scrubbed as well', async () => {
  const server = await listen(
    (path) => `${path} says ${SECRETS.vaultToken} and ${SECRETS.accessKey}, to ?apikey=${SECRETS.urlQuery}`,
  )
  const { port } = server.address() as AddressInfo
  const { out } = await run(['--config', config, '--url', `http://127.0.0.1:${port}`], {
    ADMIN_TOKEN,
    AWS_SECRET_ACCESS_KEY: SECRETS.accessKey,
  })
  const file = unpacked(out.trim())
  expect(file('metrics.txt')).toBe('/q/metrics says [redacted] and [redacted], to ?apikey=[redacted]')
  await close(server)
})

test('without a sidecar the rest is still collected, and what is missing is said', async () => {
  const server = await listen(() => '')
  const { port } = server.address() as AddressInfo
  await close(server)
  const { code, out, err } = await run(['--config', config, '--url', `http://127.0.0.1:${port}`], {
    ADMIN_TOKEN,
  })
  expect(code).toBe(1)
  for (const name of ['health.json', 'metrics.txt', 'kms-status.json'])
    expect(err).toContain(`${name}: the sidecar cannot be reached (ECONNREFUSED)`)
  const file = unpacked(out.trim())
  expect(file('config.yaml')).toContain('otlp_http/next')
  expect(JSON.parse(file('manifest.json')).files['health.json']).toContain('cannot be reached')
})

test('without a configuration and a token there are health and metrics, and both gaps are said', async () => {
  const { code, out, err } = await run(['--url', sidecar.adminUrl])
  expect(code).toBe(1)
  expect(err).toMatch(/config\.yaml: no --config FILE is given/)
  expect(err).toMatch(/kms-status\.json: no ADMIN_TOKEN is set/)
  expect(JSON.parse(unpacked(out.trim())('health.json'))).toHaveProperty('status')
})

test('a wrong token is said and never shown, and a redirect does not carry it away', async () => {
  const wrong = await run(['--url', sidecar.adminUrl], { ADMIN_TOKEN: 'wrong-token-of-canary' })
  expect(wrong.err).toContain('kms-status.json: the sidecar answered 401')
  let seen = 0
  const thief = await listen(() => String(++seen))
  const { port } = thief.address() as AddressInfo
  const server = createServer((_request, reply) => {
    reply.writeHead(302, { location: `http://127.0.0.1:${port}/` }).end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { code } = await run(['--url', `http://127.0.0.1:${(server.address() as AddressInfo).port}`], {
    ADMIN_TOKEN,
  })
  expect([code, seen]).toEqual([1, 0])
  await close(server)
  await close(thief)
})

test('a bundle that exists is not overwritten, and a folder that does not is an error', async () => {
  const out = join(folder, 'taken.tar.gz')
  writeFileSync(out, 'precious')
  expect(await run(['--url', sidecar.adminUrl, '--out', out])).toMatchObject({ code: 2, out: '' })
  expect(readFileSync(out, 'utf8')).toBe('precious')
  const { code, err } = await run(['--url', sidecar.adminUrl, '--out', join(folder, 'no', 'where.tar.gz')])
  expect([code, err]).toEqual([2, expect.stringContaining('cannot be written')])
})

test.each([
  [['--nonsense']],
  [['extra']],
  [['--url']],
  [['--url', 'ftp://x']],
  [['--url', 'file:///etc/passwd']],
])('%j is a usage error', async (argv) => {
  const { code, err, out } = await run(argv)
  expect([code, out]).toEqual([3, ''])
  expect(err).toMatch(/^betrace diag: /)
})

test('only the end of a long log goes along, from the beginning of a line', async () => {
  const log = join(folder, 'long.log')
  writeFileSync(log, Array.from({ length: 200_000 }, (_, line) => `line ${line}`).join('\n'))
  const { out } = await run(['--url', sidecar.adminUrl, '--log', log])
  const text = unpacked(out.trim())('log.txt')
  expect(text.length).toBeLessThanOrEqual(1024 * 1024)
  expect(text).toMatch(/^line \d+\n/)
  expect(text.endsWith('line 199999')).toBe(true)
})

test.each([0, 1, 511, 512, 513, 1024])('tar reads back a file of %i bytes', (bytes) => {
  const path = join(folder, `size-${bytes}.tar`)
  const content = Buffer.alloc(bytes, 'x')
  writeFileSync(
    path,
    ustar(
      [
        { name: 'a/b', content },
        { name: 'c', content: Buffer.from('end') },
      ],
      1_700_000_000_000,
    ),
  )
  expect(execFileSync('tar', ['-xOf', path, 'a/b'])).toEqual(content)
  expect(execFileSync('tar', ['-xOf', path, 'c']).toString()).toBe('end')
  expect(execFileSync('tar', ['-tvf', path, '--utc']).toString()).toMatch(
    /^-rw------- 0\/0 .* 2023-11-14 22:13 a\/b/,
  )
})

async function listen(answer: (path: string) => string): Promise<Server> {
  const server = createServer((request, reply) => void reply.end(answer(request.url ?? '')))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return server
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
}
