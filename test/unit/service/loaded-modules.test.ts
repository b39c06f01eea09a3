// The sidecar as an operator starts it, and every module that its process loaded until it stopped.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { oneSpan } from './one-span.ts'

const root = resolve(import.meta.dirname, '../../..')
const RECORDER = pathToFileURL(join(import.meta.dirname, 'record-loads.ts')).href
const OF_A_CLOUD =
  /\/node_modules\/((?:@aws-sdk|@aws-crypto|@smithy|@azure|@azure-rest|@google-cloud)\/[^/]+|google-[^/]+|gaxios|gcp-metadata)\//
const SPAN = oneSpan('compliance.read')

/** What the process loaded from its start to its orderly end; `use` is given the address of the HTTP receiver. */
async function loadsOf(sets: readonly string[], use: (url: string) => Promise<unknown>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-loads-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const all = [
    `storage.directory=${join(folder, 'data')}`,
    `exporters.file/out.path=${join(folder, 'out.jsonl')}`,
    'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
    'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
    'service.admin.endpoint=127.0.0.1:0',
    ...sets,
  ]
  const argv = [
    'src/launch.js',
    'run',
    '--config',
    'collector-config.yaml',
    ...all.flatMap((set) => ['--set', set]),
  ]
  const loadsFile = join(folder, 'loads')
  const child = spawn(process.execPath, argv, {
    cwd: root,
    // In the environment, so that a process which the launcher starts is recorded too.
    env: { PATH: process.env.PATH, NODE_OPTIONS: `--import=${RECORDER}`, LOADS_FILE: loadsFile },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  const exited = once(child, 'exit')
  const url = Promise.withResolvers<string>()
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on('line', (line) => {
      lines.push(line)
      const address = /Receiving OTLP by http on ([\d.]+:\d+)/.exec(line)?.[1]
      if (address !== undefined) url.resolve(`http://${address}`)
    })
  }
  void exited.then(() => url.reject(new Error(`did not start: ${lines.join('\n')}`)))
  await use(await url.promise)
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  return readFileSync(loadsFile, 'utf8').trim().split('\n')
}

const cloudPackages = (urls: readonly string[]): string[] =>
  [...new Set(urls.flatMap((url) => OF_A_CLOUD.exec(url)?.[1] ?? []))].sort()

test('with local, sealing and signing a span loads no SDK of any cloud', async () => {
  const urls = await loadsOf([], async (url) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/v1/traces`, { method: 'POST', headers, body: SPAN })
    expect(answer.status).toBe(200)
  })
  expect(urls).toContain(pathToFileURL(join(root, 'src/service/service.ts')).href)
  expect(urls).toContain(pathToFileURL(join(root, 'src/kms/local/open.ts')).href)
  expect(cloudPackages(urls)).toEqual([])
})

test('with vault, neither', async () => {
  const settings = ['address=http://127.0.0.1:1', 'key_name=k', 'token=t'].map((text) => `kms.vault.${text}`)
  const urls = await loadsOf(['kms.provider=vault', ...settings], async () => undefined)
  expect(urls).toContain(pathToFileURL(join(root, 'src/kms/vault/open.ts')).href)
  expect(cloudPackages(urls)).toEqual([])
})

test('with aws, that of aws and no other', async () => {
  const settings = ['endpoint=http://127.0.0.1:1', 'region=eu-west-1', 'master_key_id=k']
  const sets = ['kms.provider=aws', ...settings.map((text) => `kms.aws.${text}`)]
  const packages = cloudPackages(await loadsOf(sets, async () => undefined))
  expect(packages).toContain('@aws-sdk/client-kms')
  expect(packages.filter((name) => !/^@(aws-sdk|aws-crypto|smithy)\//.test(name))).toEqual([])
})
