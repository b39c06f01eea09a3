import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { runCommand } from '../../../src/cli/commands.ts'
import { table, wrap } from '../../../src/cli/terminal.ts'
import { DETECTORS } from '../../../src/detection/detectors.ts'
import { recordingIo } from './io.ts'

const root = resolve(import.meta.dirname, '../../..')
let empty = ''

beforeAll(async () => {
  empty = await mkdtemp(join(tmpdir(), 'betrace-cli-'))
})
afterAll(async () => {
  await rm(empty, { recursive: true })
})

async function run(argv: string[], cwd = root, env: Record<string, string> = {}) {
  const { io, out, err } = recordingIo(env, cwd)
  const code = await runCommand(argv, io)
  return { code, out: out(), err: err() }
}

test('validate takes collector-config.yaml of the working directory when it is given none', async () => {
  expect(await run(['validate'])).toEqual({
    code: 0,
    out: 'valid: pipelines traces, logs, metrics; 1 receiver(s), 1 exporter(s)\n',
    err: '',
  })
})

test('validate lists every problem, path first, and exits 1', async () => {
  const { code, out, err } = await run(['validate', '--set', 'tenants.max=0', '--set', 'kms.provider=valt'])
  expect([code, out]).toEqual([1, ''])
  expect(err.split('\n')).toEqual([
    'error: tenants.max: must be a whole number from 1 to 1000000 (--set tenants.max)',
    'error: kms.provider: must be one of local, aws, vault, gcp, azure; did you mean vault? (--set kms.provider)',
    '2 problems',
    '',
  ])
})

test.each([
  [['validate']],
  [['validate', '--confg', 'x']],
  [['validate', 'file.yaml']],
  [['print-config', '--config']],
  [['components', '--xml']],
])('%j without a configuration or with a wrong option is usage', async (argv) => {
  const { code, err } = await run(argv, empty)
  expect(code).toBe(3)
  expect(err).toMatch(/^betrace: .+\n$/)
})

test('print-config prints YAML that is valid again, its secrets masked', async () => {
  const argv = ['print-config', '--config', join(root, 'collector-config.yaml'), '--set', 'tenants.max=9']
  const { code, out } = await run(argv, empty, { ADMIN_TOKEN: 'hunter2' })
  expect(code).toBe(0)
  expect(out).not.toContain('hunter2')
  const printed = parse(out)
  expect(printed.service.admin.token).toBe('[redacted]')
  expect(printed.tenants.max).toBe(9)
  await writeFile(join(empty, 'printed.yaml'), out)
  expect((await run(['validate', '--config', 'printed.yaml'], empty)).code).toBe(0)
})

test('without --config, BETRACE_CONFIG names the files, later ones win', async () => {
  await writeFile(join(empty, 'over.yaml'), 'tenants: { max: 7 }\n')
  const env = { BETRACE_CONFIG: [join(root, 'collector-config.yaml'), 'over.yaml'].join(delimiter) }
  const maxOf = async (argv: string[]) => parse((await run(argv, empty, env)).out).tenants.max
  expect(await maxOf(['print-config'])).toBe(7)
  expect(await maxOf(['print-config', '--set', 'tenants.max=8'])).toBe(8)
  expect(await maxOf(['print-config', '--config', join(root, 'collector-config.yaml')])).not.toBe(7)
  expect(await run(['validate'], empty, { BETRACE_CONFIG: 'gone.yaml' })).toEqual({
    code: 1,
    out: '',
    err: 'error: cannot be read: there is no such file (gone.yaml)\n1 problem\n',
  })
  expect((await run(['validate'], empty, { BETRACE_CONFIG: '' })).code).toBe(3)
})

test.each([
  ['keys', 'list'],
  ['reveal', 'x.jsonl'],
  ['diag', '--url', 'http://127.0.0.1:9'],
])('%s reads a properties file, as run does', async (...command) => {
  await writeFile(join(empty, 'wrong.properties'), 'kms.cache.max-size=no\n')
  await writeFile(join(empty, 'x.jsonl'), '{}\n')
  const { err, code } = await run(
    [...command, '--config', join(root, 'collector-config.yaml'), '--properties', 'wrong.properties'],
    empty,
  )
  expect(code).not.toBe(3)
  expect(err).toContain('the configuration has problems')
})

test('print-config of a wrong configuration prints no YAML', async () => {
  expect(await run(['print-config', '--set', 'x=1'])).toEqual({
    code: 1,
    out: '',
    err: 'error: x: is not a setting (--set x)\n',
  })
})

test('components lists what there is, in 80 columns and as JSON', async () => {
  const text = await run(['components'], empty)
  for (const line of text.out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
  const { out } = await run(['components', '--json'], empty)
  const all = JSON.parse(out)
  expect(all.detectors.map(({ name }: { name: string }) => name)).toEqual(DETECTORS.map(({ name }) => name))
  expect(all.kms_providers.map(({ name }: { name: string }) => name)).toEqual([
    'local',
    'aws',
    'vault',
    'gcp',
    'azure',
  ])
  expect(parse((await run(['components', '--yaml'], empty)).out)).toEqual(all)
})

test('wrapping loses no word and no line is longer than it may be', () => {
  const text = 'one two three four five six seven eight nine ten'
  const lines = wrap(text, '  ', '* ', 12).split('\n')
  expect(lines).toEqual(['* one two', '  three four', '  five six', '  seven', '  eight nine', '  ten'])
  expect(wrap('incomprehensibilities a', '', '', 5)).toBe('incomprehensibilities\na')
  expect(
    table(
      [
        ['a', 'x y'],
        ['bcd', 'z'],
      ],
      '',
      80,
    ),
  ).toBe('a    x y\nbcd  z\n')
})
