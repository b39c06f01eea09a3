// launch.js in a small checkout and a small package of its own, under Nodes old and new.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../..')
const PLATFORM_NODE = `node-${process.platform}-${process.arch}`
const OLD_NODE = hostNodeBefore(22)
let checkout = ''
let installed = ''
let bare = ''

// The host's own Node, where it is older than the sources need; `undefined` elsewhere.
function hostNodeBefore(major: number): string | undefined {
  return ['/usr/bin/node', '/usr/local/bin/node'].find((file) => {
    if (!existsSync(file)) return false
    return Number(/^v(\d+)/.exec(execFileSync(file, ['--version'], { encoding: 'utf8' }))?.[1]) < major
  })
}

beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-launch-'))
  const make = (name: string) => {
    mkdirSync(join(folder, name, 'src'), { recursive: true })
    copyFileSync(join(root, 'src/launch.js'), join(folder, name, 'src/launch.js'))
    writeFileSync(join(folder, name, 'package.json'), '{"type":"module"}')
    return join(folder, name)
  }
  checkout = make('checkout')
  const main = `const where: string = 'sources'
if (process.argv[2] === 'wait') { process.on('SIGTERM', () => process.exit(7)); console.log('waiting'); setInterval(() => {}, 1000) }
else if (process.argv[2] === 'stop' || process.argv[2] === 'run') { process.on('SIGTERM', () => { console.log('stopped'); process.exit(0) }); console.log(process.pid); setInterval(() => {}, 1000) }
else if (process.argv[2] === 'die') process.kill(process.pid, 'SIGKILL')
else { console.log(where, process.versions.node.split('.')[0], process.argv.slice(2).join(' ')); process.exitCode = 5 }
`
  writeFileSync(join(checkout, 'src/main.ts'), main)
  mkdirSync(join(checkout, 'node_modules'))
  symlinkSync(join(root, 'node_modules', PLATFORM_NODE), join(checkout, 'node_modules', PLATFORM_NODE))
  installed = make('installed')
  mkdirSync(join(installed, 'dist'))
  writeFileSync(join(installed, 'dist/main.js'), "console.log('built', process.argv.slice(2).join(' '))\n")
  bare = make('bare')
  writeFileSync(join(bare, 'src/main.ts'), main)
})
afterAll(() => {
  rmSync(resolve(checkout, '..'), { recursive: true })
})

function launch(
  node: string,
  where: string,
  ...args: string[]
): Promise<{ code: unknown; out: string; err: string }> {
  const env = { PATH: '/nowhere', XDG_CACHE_HOME: join(where, 'cache') }
  return new Promise((done) => {
    execFile(node, [join(where, 'src/launch.js'), ...args], { env }, (error, out, err) => {
      done({ code: error ? (error.code ?? error.signal) : 0, out, err })
    })
  })
}

test('this Node runs the sources of a checkout, with arguments and exit code', async () => {
  const major = process.versions.node.split('.')[0]
  expect(await launch(process.execPath, checkout, 'a', 'b c')).toMatchObject({
    code: 5,
    out: `sources ${major} a b c\n`,
  })
})

test('this Node runs what was built in an installed package, and keeps its code cache out of shared folders', async () => {
  expect(await launch(process.execPath, installed, '--version')).toEqual({
    code: 0,
    out: 'built --version\n',
    err: '',
  })
  expect(existsSync(join(installed, 'cache/betrace'))).toBe(true)
})

test('a package without its build says so in one line', async () => {
  rmSync(join(installed, 'dist'), { recursive: true })
  const { code, err } = await launch(process.execPath, installed)
  expect(code).toBe(1)
  expect(err).toMatch(/^betrace: cannot be loaded: .+\n$/)
})

test('the launcher has no syntax that Node 14 cannot parse', () => {
  const text = readFileSync(join(root, 'src/launch.js'), 'utf8').replace(/^\s*\/\/.*$/gm, '')
  expect(text).not.toMatch(/\?\?=|\|\|=|&&=|^\s*await |#[a-z]|\.at\(|\.hasOwn\(|\bstatic \{/m)
  expect(text).not.toMatch(/import .* with \{/)
  expect(text.startsWith('#!/usr/bin/env node\n')).toBe(true)
})

// Only a host with an old Node can show these; the reason stands in the name of the test.
const onOldHost = OLD_NODE === undefined ? test.skip : test
onOldHost(
  'an old host Node hands over to the one of the checkout [needs a Node before 22 on the host]',
  async () => {
    expect(await launch(OLD_NODE!, checkout, 'x')).toEqual({ code: 5, out: 'sources 24 x\n', err: '' })
    expect((await launch(OLD_NODE!, checkout, 'die')).code).toBe('SIGKILL')
  },
)

onOldHost(
  'signals reach the handed-over process, and its exit code comes back [needs a Node before 22 on the host]',
  async () => {
    const child = spawn(OLD_NODE!, [join(checkout, 'src/launch.js'), 'wait'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([7, null])
  },
)

onOldHost(
  'a launcher that is killed takes what it started along, in order [needs a Node before 22 on the host]',
  async () => {
    const child = spawn(OLD_NODE!, [join(checkout, 'src/launch.js'), 'stop'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (err += chunk))
    await once(child.stdout, 'data')
    const sidecar = Number(out)
    expect(sidecar).not.toBe(child.pid)
    child.kill('SIGKILL')
    // Closed when nobody writes to it any more: the launcher is gone, and so is the sidecar.
    await once(child, 'close')
    expect(out).toContain('stopped')
    expect(err).toBe('betrace: the process that started this one is gone; stopping\n')
  },
)

onOldHost(
  'a launcher whose own parent is gone goes on, and so does the sidecar [needs a Node before 22 on the host]',
  async () => {
    // As a daemon is started: a shell that ends at once, and a session of its own.
    const launcher = join(checkout, 'src/launch.js')
    const script = `setsid ${OLD_NODE} ${launcher} stop </dev/null & sleep 0.2`
    const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    await Promise.all([once(child, 'exit'), once(child.stdout, 'data')])
    const sidecar = Number(out)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(() => process.kill(sidecar, 0)).not.toThrow()
    process.kill(sidecar, 'SIGTERM')
    await once(child, 'close')
    expect(out).toContain('stopped')
  },
)

test('SIGUSR1 opens no inspector, neither in the launcher nor in what it starts', async () => {
  for (const node of [process.execPath, ...(OLD_NODE === undefined ? [] : [OLD_NODE])]) {
    for (const command of ['run', 'stop']) {
      const child = spawn(node, [join(checkout, 'src/launch.js'), command], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let err = ''
      child.stderr.on('data', (chunk) => (err += chunk))
      const [sidecar] = await once(child.stdout, 'data')
      for (const pid of [child.pid!, Number(sidecar)]) process.kill(pid, 'SIGUSR1')
      await new Promise((resolve) => setTimeout(resolve, 300))
      child.kill('SIGTERM')
      await once(child, 'close')
      expect(err).not.toContain('ebugger')
    }
  }
})

onOldHost(
  'an old Node without a newer one at hand names the version it needs [needs a Node before 22 on the host]',
  async () => {
    for (const where of [bare, installed]) {
      const { code, out, err } = await launch(OLD_NODE!, where)
      expect([code, out]).toEqual([1, ''])
      expect(err).toMatch(
        /^betrace: needs Node 22\.18 or later; this is \d+\.\d+\.\d+(\. npm ci brings one along)?\n$/,
      )
    }
  },
)
