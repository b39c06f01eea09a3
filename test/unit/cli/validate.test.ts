// What `validate` finds beyond the text of the configuration, and that the start says the same of it.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import { runCommand } from '../../../src/cli/commands.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { openLocalKms } from '../../../src/kms/local/open.ts'
import { Service } from '../../../src/service/service.ts'
import { localOptions } from '../kms/key-service.ts'
import { recordingIo } from './io.ts'

const CONFIG = resolve(import.meta.dirname, '../../../collector-config.yaml')
const folder = mkdtempSync(join(tmpdir(), 'betrace-validate-'))
const at = (name: string): string => join(folder, name)
const data = at('data')

const BASE = [
  `storage.directory=${data}`,
  `exporters.file/out.path=${at('out.jsonl')}`,
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
  'service.admin.endpoint=127.0.0.1:0',
  'service.telemetry.logs.level=error',
]
const VAULT = ['kms.provider=vault', 'kms.vault.address=http://127.0.0.1:1', 'kms.vault.key_name=k']
const GCP = ['project_id=p', 'location=l', 'key_ring=r', 'key_name=k'].map((text) => `kms.gcp.${text}`)
const AZURE = ['vault_uri=https://v.vault.azure.net', 'key_name=k'].map((text) => `kms.azure.${text}`)

beforeAll(async () => {
  writeFileSync(at('text'), 'no key')
  writeFileSync(at('empty'), '\n')
  mkdirSync(at('folder'))
  await openLocalKms(localOptions({ keyFile: at('open.key') }))
  chmodSync(at('open.key'), 0o644)
  await openLocalKms(localOptions({ keyFile: at('good.key') }))
  writeFileSync(at('local-kms-acme.key'), 'rubbish', { mode: 0o600 })
})
afterAll(() => rmSync(folder, { recursive: true }))

const all = (sets: readonly string[]): readonly string[] => [...BASE, ...sets]

async function run(sets: readonly string[], env: Record<string, string> = {}) {
  const { io, out, err } = recordingIo(env, folder)
  const argv = ['validate', '--config', CONFIG, ...all(sets).flatMap((set) => ['--set', set])]
  return { code: await runCommand(argv, io), out: out(), err: err() }
}

async function start(sets: readonly string[], env: Record<string, string>): Promise<Service> {
  const sources = { files: [CONFIG], sets: all(sets), env, cwd: folder }
  const { config } = await loadConfig(sources)
  return Service.start(config!, { ...silentTelemetry(), env })
}

describe('what the start would refuse is refused in the same words', () => {
  const cases: Record<
    string,
    readonly [sets: readonly string[], line: string, env?: Record<string, string>]
  > = {
    'pseudonym keys that are not there': [
      [`kms.pseudonym_key_file=${at('missing')}`],
      `kms.pseudonym_key_file: ${at('missing')} cannot be read`,
    ],
    'pseudonym keys that are none': [
      [`kms.pseudonym_key_file=${at('text')}`],
      'kms.pseudonym_key_file: is not a file that betrace keys share-pseudonyms wrote',
    ],
    'a key file that others may read': [
      [`kms.local.key_file=${at('open.key')}`],
      `kms.local.key_file: ${at('open.key')} has mode 0644, readable by others: run chmod 600 on it`,
    ],
    'a key file that is none': [
      [`kms.local.key_file=${at('text')}`],
      `kms.local.key_file: ${at('text')} is not a local key file: 6 bytes instead of 64`,
    ],
    'local in production': [
      [],
      'kms.provider: local is refused when NODE_ENV=production',
      { NODE_ENV: 'production' },
    ],
    'authorities of a vault that are none': [
      [...VAULT, 'kms.vault.token=t', `kms.vault.ca_file=${at('text')}`],
      `kms.vault.ca_file: ${at('text')} holds no certificate`,
    ],
    'authorities of Google that are not there': [
      ['kms.provider=gcp', ...GCP, `kms.gcp.ca_file=${at('missing')}`],
      `kms.gcp.ca_file: ${at('missing')} cannot be read`,
    ],
    'authorities of Azure that are not there': [
      ['kms.provider=azure', ...AZURE, `kms.azure.ca_file=${at('missing')}`],
      `kms.azure.ca_file: ${at('missing')} cannot be read`,
    ],
    'trusted keys that are not there': [
      [`processors.signing.trusted_keys_file=${at('missing')}`],
      'processors.signing.trusted_keys_file: cannot be read as JSON',
    ],
  }
  for (const [name, [sets, line, env = {}]] of Object.entries(cases)) {
    test(name, async () => {
      const { code, out, err } = await run(sets, env)
      expect(err).toContain(`error: ${line}`)
      expect(err).toMatch(/\n1 problem\n$/)
      expect([code, out]).toEqual([1, ''])
      await expect(start(sets, env)).rejects.toMatchObject({
        code: 'CONFIG',
        message: expect.stringContaining(line),
      })
    })
  }
})

test.each([
  [
    'receivers.otlp.protocols.grpc.tls.cert_file: cannot be read',
    [
      `receivers.otlp.protocols.grpc.tls.cert_file=${at('missing')}`,
      `receivers.otlp.protocols.grpc.tls.key_file=${at('missing')}`,
    ],
  ],
  [
    'exporters.otlp_http/next.tls.ca_file: cannot be read',
    [
      'exporters.otlp_http/next.endpoint=https://127.0.0.1:1',
      `exporters.otlp_http/next.tls.ca_file=${at('missing')}`,
      'service.pipelines.traces.exporters=otlp_http/next',
    ],
  ],
])(
  'what one part alone needs is refused, while the start goes on without that part: %s',
  async (line, sets) => {
    const { code, err } = await run(sets)
    expect(err).toContain(`error: ${line}`)
    expect(err).toMatch(/; a start waits for it, and the rest works\n1 problem\n$/)
    expect(code).toBe(1)
    await (await start(sets, {})).stop()
  },
)

test('a tenant’s key file that is none is refused, while the start goes on for the others', async () => {
  const sets = [`kms.local.key_file=${at('good.key')}`, 'kms.tenant_key_mapping.acme=acme']
  const { code, err } = await run(sets)
  expect(err).toContain(
    `error: ${`kms.tenant_key_mapping.acme: ${at('local-kms-acme.key')} is not a local key file: 7 bytes instead of 64`}`,
  )
  expect(code).toBe(1)
  await (await start(sets, {})).stop()
})

test.each([
  ['is a folder', 'folder', 'EISDIR'],
  ['stands below a file', 'text/out.jsonl', 'ENOTDIR'],
])('a file to write that %s is refused, as at the start', async (_what, name, code) => {
  const sets = [`exporters.file/out.path=${at(name)}`]
  const line = 'exporters.file/out.path: cannot be written'
  const { code: exitCode, err } = await run(sets)
  expect(err).toBe(`error: ${line} (${code})\n1 problem\n`)
  expect(exitCode).toBe(1)
  await expect(start(sets, {})).rejects.toMatchObject({ code: 'CONFIG', message: line, cause: { code } })
})

test('what an exporter names that no pipeline uses is not missed, since it does not start', async () => {
  const sets = [
    'exporters.otlp_http/idle.endpoint=https://127.0.0.1:1',
    `exporters.otlp_http/idle.tls.ca_file=${at('missing')}`,
    `exporters.file/idle.path=${at('text')}/out.jsonl`,
  ]
  const { code, err } = await run(sets)
  expect(err).not.toContain('error')
  expect(code).toBe(0)
  await (await start(sets, {})).stop()
})

test('a receiver that no pipeline uses does not listen, as the warning says, and its files are not missed', async () => {
  const sets = [
    'receivers.otlp/idle.protocols.grpc.endpoint=127.0.0.1:1',
    `receivers.otlp/idle.protocols.grpc.tls.cert_file=${at('missing')}`,
    `receivers.otlp/idle.protocols.grpc.tls.key_file=${at('missing')}`,
  ]
  const { code, err } = await run(sets)
  expect(err).toContain('receivers.otlp/idle: is in no pipeline and will not start')
  expect(err).not.toContain('error')
  expect(code).toBe(0)
  await (await start(sets, {})).stop()
})

test('every such problem is printed, not only the first', async () => {
  const sets = [`kms.pseudonym_key_file=${at('missing')}`, `kms.local.key_file=${at('text')}`]
  const { err } = await run(sets)
  expect(err).toContain('kms.pseudonym_key_file')
  expect(err).toContain('kms.local.key_file')
  expect(err).toMatch(/\n2 problems\n$/)
})

test.each([
  ['token_file', 'missing', 'cannot be read', []],
  ['token_file', 'empty', 'is empty', []],
  ['kubernetes_token_file', 'missing', 'cannot be read', ['kms.vault.kubernetes_role=r']],
])(
  'a vault’s %s that is %s is warned of: whoever writes it may be late',
  async (setting, name, what, more) => {
    const { code, err } = await run([...VAULT, `kms.vault.${setting}=${at(name)}`, ...more])
    expect(err).toBe(
      `warning: kms.vault.${setting}: ${at(name)} ${what}; there is no login until a token stands in it\n`,
    )
    expect(code).toBe(0)
  },
)

test('key files that a first start would make are not missed, and nothing is made', async () => {
  const before = readdirSync(folder)
  const { code, err } = await run([`storage.directory=${at('new')}`, 'kms.tenant_key_mapping.beta=beta-key'])
  expect([code, err]).toEqual([0, ''])
  expect(readdirSync(folder)).toEqual(before)
})

test.each([
  [0o644, true],
  [0o640, false],
  [0o600, false],
])('a TLS key of mode %o is warned of: %s', async (mode, isWarned) => {
  const [cert, key] = ['server.pem', 'server.key'].map((name) =>
    resolve(import.meta.dirname, '../receivers/testdata', name),
  )
  const path = at(`tls-${mode}.key`)
  writeFileSync(path, readFileSync(key!))
  chmodSync(path, mode)
  const tls = 'receivers.otlp.protocols.grpc.tls'
  const { code, err } = await run([`${tls}.cert_file=${cert}`, `${tls}.key_file=${path}`])
  expect(code).toBe(0)
  expect(err.includes(`warning: ${tls}.key_file: everybody on this host can read it`)).toBe(isWarned)
})
