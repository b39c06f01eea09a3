// The image's files as the Dockerfile lays them out, below a folder instead of /, with the build made here: whether the
// commands that runbooks print are found, and find their configuration.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)
const image = mkdtempSync(join(tmpdir(), 'betrace-image-'))
const built = mkdtempSync(join(tmpdir(), 'betrace-image-build-'))
// The last stage, continued lines joined and comments left out.
const stage = readFileSync(join(root, 'Dockerfile'), 'utf8')
  .split(/^FROM /m)
  .at(-1)!
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n/g, ' ')
  .split('\n')
const instructions = (name: string): string[] =>
  stage.flatMap((line) => (line.startsWith(`${name} `) ? [line.slice(name.length + 1).trim()] : []))
const variables = Object.fromEntries(
  instructions('ENV').flatMap((line) => line.split(/\s+/).map((pair) => pair.split('=') as [string, string])),
)
const workFolder = inImage(instructions('WORKDIR')[0]!)

function inImage(path: string): string {
  return join(image, path)
}

beforeAll(async () => {
  await run(
    'npx',
    ['--no-install', 'rolldown', '--config', 'rolldown.config.ts', '--dir', join(built, 'dist')],
    {
      cwd: root,
    },
  )
  symlinkSync(join(root, 'node_modules'), join(built, 'node_modules'))
  for (const copy of instructions('COPY')) {
    const words = copy.split(/\s+/)
    const isFromBuild = words[0] === '--from=build'
    const paths = isFromBuild ? words.slice(1) : words
    const to = paths.pop()!
    for (const path of paths) {
      const from = isFromBuild ? join(built, path.slice('/build/'.length)) : join(root, path)
      const target = inImage(to.endsWith('/') ? join(to, basename(path)) : to)
      mkdirSync(dirname(target), { recursive: true })
      cpSync(from, target, { recursive: true })
    }
  }
  for (const [, target, link] of instructions('RUN')
    .join(' ')
    .matchAll(/ln -s (\S+) (\S+)/g)) {
    mkdirSync(dirname(inImage(link!)), { recursive: true })
    symlinkSync(inImage(target!), inImage(link!))
  }
  mkdirSync(workFolder, { recursive: true })
})
afterAll(() => {
  for (const folder of [image, built]) rmSync(folder, { recursive: true, force: true })
})

/** As `docker exec` runs a command: the image's variables, PATH and folder. */
async function execute(command: string, args: readonly string[], env: Record<string, string> = {}) {
  const config = variables.BETRACE_CONFIG!.split(':').map(inImage).join(':')
  const all = {
    ...variables,
    BETRACE_CONFIG: config,
    HOME: '/nowhere',
    PATH: `${inImage('/usr/local/bin')}:${dirname(process.execPath)}:/usr/bin:/bin`,
    ...env,
  }
  return run(command, [...args], { cwd: workFolder, env: all }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
}

test('betrace is on the PATH and reads the configuration of the container', async () => {
  const { code, stdout, stderr } = await execute('betrace', ['print-config'])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toContain('directory: /var/lib/betrace/data')
  expect(stdout).toContain('endpoint: 0.0.0.0:8080')
})

test('a setting under its exact name reaches the command, which a shell between would drop', async () => {
  const { code, stderr } = await execute('betrace', ['validate'], { 'betrace.kms.provider': 'aws' })
  expect([code, stderr]).toEqual([1, expect.stringContaining('kms.aws.master_key_id: is needed')])
})

test('keys and diag find their configuration as well', async () => {
  const data = join(image, 'none')
  const list = await execute('betrace', ['keys', 'list', '--set', `storage.directory=${data}`])
  expect([list.code, list.stderr]).toEqual([
    2,
    `betrace keys: storage.directory: ${data}: there is no data in it\n`,
  ])
  const diag = await execute('betrace', ['diag', '--url', 'http://127.0.0.1:9'])
  expect(diag.stdout).toContain(workFolder)
  expect(diag.stderr).not.toContain('config.yaml')
})

test('what starts the container starts the sidecar, which refuses the local key service there', async () => {
  const [entry, command] = ['ENTRYPOINT', 'CMD'].map((name) => JSON.parse(instructions(name)[0]!) as string[])
  const args = [...entry!.slice(1), ...command!].map((arg) => (arg.startsWith('/') ? inImage(arg) : arg))
  const data = `storage.directory=${join(image, 'data')}`
  const { code, stderr } = await execute(process.execPath, [...args, '--set', data])
  expect(code).toBe(1)
  expect(stderr).toContain('kms.local.allow_in_production')
})

test('the runbooks that messages name are there', () => {
  for (const name of [
    'kms-provider-failure',
    'circuit-breaker-open',
    'key-rotation-failure',
    'kms-high-latency',
  ])
    expect(existsSync(inImage(`/app/docs/runbooks/${name}.md`)), name).toBe(true)
})
