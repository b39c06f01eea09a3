import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import { COMMANDS, type Command, type CommandFunction, runCommand } from '../../../src/cli/commands.ts'
import { recordingIo } from './io.ts'

const root = resolve(import.meta.dirname, '../../..')
const named = (name: string, load: Command['load'], options: Command['options'] = []): Command => ({
  name,
  summary: `does ${name}`,
  usage: name,
  options,
  load,
})
const throwing =
  (thrown: unknown): Command['load'] =>
  async () =>
  async () => {
    throw thrown
  }

async function run(
  argv: string[],
  commands: readonly Command[] = COMMANDS,
  env: Record<string, string> = {},
) {
  const { io, out, err } = recordingIo(env, root)
  const code = await runCommand(argv, io, commands)
  return { code, out: out(), err: err() }
}

test.each([['--help'], ['-h'], ['help']])('%s explains every command in 80 columns', async (argument) => {
  const { code, out, err } = await run([argument])
  expect([code, err]).toEqual([0, ''])
  for (const { name } of COMMANDS) expect(out).toContain(`\n  ${name} `)
  for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
})

test.each(COMMANDS.map(({ name }) => name))(
  'help %s and --help after it say the same in 80 columns',
  async (name) => {
    const help = await run(['help', name])
    expect(help.code).toBe(0)
    expect(help.out).toMatch(/^Usage: betrace /)
    expect(await run([name, '--help'])).toEqual(help)
    for (const line of help.out.split('\n')) expect([...line].length, line).toBeLessThanOrEqual(80)
  },
)

test.each(['run', 'validate', 'print-config', 'keys', 'reveal', 'diag'])(
  '%s takes every source of a configuration, and its help says so',
  async (name) => {
    const { out } = await run(['help', name])
    for (const source of ['--config', '--set a.b.c=value', '--properties FILE', 'BETRACE_CONFIG'])
      expect(out).toContain(source)
  },
)

test.each([
  [['keys'], 'betrace keys: the actions are '],
  [['keys', 'list', '--nope=hunter2'], 'betrace keys: unknown or incomplete option\n'],
  [['verify'], 'betrace verify: no file given\n'],
  [['verify', '--nope=hunter2'], 'betrace verify: unknown or incomplete option\n'],
  [['reveal'], 'betrace reveal: which file?'],
  [['diag', '--nope=hunter2'], 'betrace diag: unknown or incomplete option\n'],
])('wrong usage, %j, is the reason and where help is', async (argv, reason) => {
  const { code, out, err } = await run(argv)
  expect([code, out]).toEqual([3, ''])
  expect(err.startsWith(reason), err).toBe(true)
  expect(err.split('\n').slice(1)).toEqual([`betrace ${argv[0]} --help shows how`, ''])
  expect(err).not.toContain('hunter2')
})

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'))
  expect(await run(['--version'])).toEqual({ code: 0, out: `betrace ${version}\n`, err: '' })
})

test.each([
  ['validat', 'betrace: no command is named validat; did you mean validate?\n'],
  ['zzz', `betrace: no command is named zzz; commands: ${COMMANDS.map(({ name }) => name).join(', ')}\n`],
])('the unknown command %s exits 3 with a hint', async (name, err) => {
  expect(await run([name])).toEqual({ code: 3, out: '', err })
  expect(await run(['help', name])).toEqual({ code: 3, out: '', err })
})

test.each([
  [[], 'run', []],
  [['--config', 'a'], 'run', ['--config', 'a']],
  [['run', '--set', 'a=b'], 'run', ['--set', 'a=b']],
  [['verify', 'a', '--', '--help'], 'verify', ['a', '--', '--help']],
  [['verify', '-h'], 'verify', ['--help']],
  [['help', 'verify'], 'verify', ['--help']],
])('%j runs %s with %j', async (argv, name, args) => {
  const calls: unknown[] = []
  const record = (own: string): Command => {
    const command: CommandFunction = async (given) => calls.push([own, given])
    return named(own, async () => command)
  }
  expect((await run(argv, ['run', 'verify'].map(record))).code).toBe(1)
  expect(calls).toEqual([[name, args]])
})

test.each([
  ['usage', new SidecarError('USAGE', 'a file is needed'), 3, 'betrace: a file is needed\n'],
  [
    'a lock',
    new SidecarError('STORE_LOCKED', 'folder is in use'),
    1,
    'betrace: folder is in use [STORE_LOCKED]\n',
  ],
  [
    'a taken port',
    new SidecarError('CONFIG', 'cannot listen', {
      cause: Object.assign(new Error('x'), { code: 'EADDRINUSE' }),
    }),
    1,
    'betrace: cannot listen (EADDRINUSE)\n',
  ],
  [
    'a bug',
    new TypeError('secret\nvalue'),
    1,
    'betrace: internal error [INTERNAL]; BETRACE_DEBUG=1 shows where\n',
  ],
  ['something odd', 'a string', 1, 'betrace: internal error [INTERNAL]; BETRACE_DEBUG=1 shows where\n'],
])('%s becomes one line and an exit code', async (_, thrown, code, err) => {
  expect(await run(['x'], [named('x', throwing(thrown))])).toEqual({ code, out: '', err })
})

test('a reader that has gone away is no error', async () => {
  const { io } = recordingIo({}, root)
  const closing: CommandFunction = async (_argv, { stdout }) => {
    stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    return 0
  }
  expect(await runCommand(['x'], io, [named('x', async () => closing)])).toBe(0)
})

test('a wrong option of any command exits 3 without repeating it', async () => {
  const { parseArgs } = await import('node:util')
  const strict: CommandFunction = async (argv) => {
    parseArgs({ args: argv, options: {} })
    return 0
  }
  const { code, err } = await run(['x', '--token=hunter2'], [named('x', async () => strict)])
  expect(code).toBe(3)
  expect(err).not.toContain('hunter2')
  expect(err.split('\n')).toHaveLength(2)
})

test('BETRACE_DEBUG=1 adds the stack and the causes', async () => {
  const thrown = new SidecarError('INTERNAL', 'outer', { cause: new Error('inner') })
  const { err } = await run(['x'], [named('x', throwing(thrown))], { BETRACE_DEBUG: '1' })
  expect(err).toContain('commands.test.ts')
  expect(err).toContain('caused by Error: inner')
})

test.each([
  [{}, false, false],
  [{}, true, true],
  [{ NO_COLOR: '1' }, true, false],
  [{ NO_COLOR: '' }, true, true],
  [{ NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
  [{ FORCE_COLOR: '1' }, false, true],
  [{ FORCE_COLOR: '0' }, true, false],
  [{ TERM: 'dumb' }, true, false],
])('with %j and a terminal: %s, output is coloured: %s', async (env, isTTY, isColoured) => {
  const { io, err, out } = recordingIo(env, root, isTTY)
  await runCommand(['--help'], io)
  await runCommand(['validate', '--config', 'nope.yaml'], io)
  for (const text of [out(), err()]) expect(text !== stripVTControlCharacters(text)).toBe(isColoured)
})
