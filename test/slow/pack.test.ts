// What `npm publish` would publish, installed into an empty folder and run there.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)
const INSTALL_MS_MAX = 300_000
let folder = ''
let app = ''
let betrace = ''

// npm's own variables would make the inner npm believe that it runs inside this checkout's scripts.
const env: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !name.toLowerCase().startsWith('npm_') && name !== 'NODE_ENV',
  ),
)
env.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'betrace-pack-'))
  app = join(folder, 'app')
  mkdirSync(app)
  await run('npm', ['pack', '--pack-destination', folder], { cwd: root, env })
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!
  writeFileSync(join(app, 'package.json'), '{"private":true}')
  await run('npm', ['install', join(folder, tarball), '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd: app,
    env,
  })
  betrace = join(app, 'node_modules/.bin/betrace')
}, INSTALL_MS_MAX)
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const start = (...args: string[]) => run(betrace, args, { cwd: app, env })

test('the package holds what it needs and neither sources nor tests', () => {
  const top = readdirSync(join(app, 'node_modules/betrace-sidecar'))
  expect(top).toEqual(
    expect.arrayContaining(['collector-config.yaml', 'dist', 'package.json', 'proto', 'src']),
  )
  expect(top).not.toContain('test')
  expect(readdirSync(join(app, 'node_modules/betrace-sidecar/src'))).toEqual(['launch.js'])
})

test('what is inside the bundle is listed with version and licence, and installed nowhere beside it', () => {
  const listed = readFileSync(join(app, 'node_modules/betrace-sidecar/dist/THIRD-PARTY.txt'), 'utf8')
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const name of [
    'fastify',
    '@grpc/grpc-js',
    'pino',
    'yaml',
    'lru-cache',
    'opossum',
    'prom-client',
    'croner',
  ]) {
    expect(listed).toContain(`${name} ${devDependencies[name]} (`)
    expect(readdirSync(join(app, 'node_modules')), name).not.toContain(name)
  }
})

test('--version and --help answer', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect((await start('--version')).stdout).toBe(`betrace ${version}\n`)
  expect((await start('--help')).stdout).toContain('Commands')
})

test('components lists detectors and exporters', async () => {
  const all = JSON.parse((await start('components', '--json')).stdout)
  expect(all.exporters.length).toBeGreaterThan(2)
  expect(all.detectors.length).toBeGreaterThan(9)
})

test('validate accepts the configuration that comes with it, and finds a mistake', async () => {
  const config = join(app, 'node_modules/betrace-sidecar/collector-config.yaml')
  expect((await start('validate', '--config', config)).stdout).toMatch(/^valid: /)
  const refused = start('validate', '--config', config, '--set', 'tenants.max=0')
  await expect(refused).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('tenants.max: ') })
})

test('every command of the package can be loaded', async () => {
  for (const command of [
    'run',
    'validate',
    'print-config',
    'components',
    'verify',
    'reveal',
    'keys',
    'diag',
    'demo',
  ]) {
    expect((await start(command, '--help')).stdout, command).toMatch(/usage/i)
  }
})

test('it starts, becomes ready, and ends in good order on SIGTERM', async () => {
  const [grpc, http, admin] = await freePorts(3)
  const sets = [
    `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
    `receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
    `service.admin.endpoint=127.0.0.1:${admin}`,
  ].flatMap((set) => ['--set', set])
  const config = join(app, 'node_modules/betrace-sidecar/collector-config.yaml')
  const child = spawn(betrace, ['run', '--config', config, ...sets], {
    cwd: app,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', (chunk) => {
    log += chunk
  })
  const exited = once(child, 'exit')
  const died = exited.then(() => Promise.reject(new Error(log)))
  died.catch(() => {})
  const ready = expect
    .poll(() => statusOf(`http://127.0.0.1:${admin}/q/health/ready`), { timeout: 30_000 })
    .toBe(200)
  try {
    await Promise.race([ready, died])
  } finally {
    child.kill('SIGTERM')
  }
  expect(await Promise.race([exited, sleep(30_000, 'still running')]), log).toEqual([0, null])
})

test('the types of the library hold together for who checks those of libraries too', async () => {
  const imports = "import { keysFromJson, Verifier } from 'betrace-sidecar'"
  const use = 'new Verifier({ keys: keysFromJson([]), expected: undefined }).summary().outcome'
  writeFileSync(join(app, 'library.mts'), `${imports}\n${use}\n`)
  const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
  const tsc = [join(root, 'node_modules/typescript/bin/tsc'), ...flags]
  const types = ['--typeRoots', join(root, 'node_modules/@types')]
  await run(process.execPath, [...tsc, ...types, 'library.mts'], { cwd: app, env })
})

test('the library can be imported', async () => {
  const script = "console.log(Object.keys(await import('betrace-sidecar')).length > 0)"
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: app, env })
  expect(stdout).toBe('true\n')
})

async function statusOf(url: string): Promise<number> {
  return fetch(url).then(
    (answer) => answer.status,
    () => 0,
  )
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => promisify(server.close.bind(server))()))
  return ports
}
