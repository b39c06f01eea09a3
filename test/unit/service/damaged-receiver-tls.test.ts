// A TLS file of one receiver, damaged in each way before a start: it does not listen and readiness names it, the other
// receiver and what lies behind it work, and it listens by TLS once the file is mended. Never in plaintext meanwhile.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { deadEndpoint, pem } from '../exporters/peers.ts'
import { DAMAGES, damageFile } from './damages.ts'
import { oneSpan } from './one-span.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const WHOLE = { cert_file: 'server.pem', key_file: 'server.key', client_ca_file: 'ca.pem' } as const
type Setting = keyof typeof WHOLE
const SETTINGS = Object.keys(WHOLE) as Setting[]
type Protocol = 'grpc' | 'http'

function files(): { readonly at: (setting: Setting) => string; mend(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-receiver-tls-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const at = (setting: Setting): string => join(folder, setting)
  const mend = (): void => {
    for (const setting of SETTINGS) {
      rmSync(at(setting), { recursive: true, force: true })
      copyFileSync(pem(WHOLE[setting]), at(setting))
    }
  }
  mend()
  return { at, mend }
}

const tlsOf = (protocol: Protocol, { at }: ReturnType<typeof files>): string[] =>
  SETTINGS.map((setting) => `receivers.otlp.protocols.${protocol}.tls.${setting}=${at(setting)}`)

async function receivers(sidecar: TestSidecar): Promise<{ code: number; check: unknown }> {
  const answer = await sidecar.get('/q/health/ready')
  const { checks } = (await answer.json()) as { checks: { name: string }[] }
  return { code: answer.status, check: checks.find(({ name }) => name === 'receivers') }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function postByTls(port: number): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const sent = request(
    {
      host: '127.0.0.1',
      port,
      path: '/v1/traces',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      ca: readFileSync(pem('ca.pem')),
      cert: readFileSync(pem('client.pem')),
      key: readFileSync(pem('client.key')),
    },
    (response) => {
      response.resume()
      resolve(response.statusCode)
    },
  )
  sent.on('error', reject)
  sent.end(oneSpan('checkout'))
  return promise
}

async function start(sets: readonly string[]): Promise<TestSidecar> {
  const sidecar = await startSidecar(sets)
  onTestFinished(async () => {
    await sidecar.stop()
    sidecar.remove()
  })
  return sidecar
}

const DAMAGED = SETTINGS.flatMap((setting) =>
  DAMAGES.filter((damage) => setting !== 'client_ca_file' || damage !== 'of another').map(
    (damage) => [setting, damage] as const,
  ),
)

test.each(DAMAGED)('grpc, %s %s: http receives, and grpc does once it is mended', async (setting, damage) => {
  const tls = files()
  damageFile(tls.at(setting), damage, setting === 'key_file' ? pem('stranger.key') : pem('stranger.pem'))
  const endpoint = await deadEndpoint()
  const port = Number(endpoint.split(':')[1])
  const sidecar = await start([...tlsOf('grpc', tls), `receivers.otlp.protocols.grpc.endpoint=${endpoint}`])
  const setting1 = 'receivers.otlp.protocols.grpc.tls'
  expect(await receivers(sidecar)).toMatchObject({
    code: 503,
    check: { status: 'DOWN', data: { error: expect.stringContaining(setting1), error_type: 'CONFIG' } },
  })
  expect(sidecar.log()).toMatch(
    /"reason":"receivers.otlp.protocols.grpc.tls[^"]*","msg":"Not receiving OTLP by grpc/,
  )
  expect(await listens(port)).toBe(false)
  expect((await sidecar.post('/v1/traces', oneSpan('checkout'), 'application/json')).status).toBe(200)
  const out = join(sidecar.folder, 'out.jsonl')
  await sidecar.until('the span is exported', () => readFileSync(out).length > 0)

  tls.mend()
  await sidecar.until('it listens', () => listens(port))
  await sidecar.until('all are ready', async () => (await receivers(sidecar)).code === 200)
  expect(sidecar.log()).toContain(`Receiving OTLP by grpc on ${endpoint}`)
})

describe('http', () => {
  test('once mended it serves TLS to clients of ours, and nothing else', async () => {
    const tls = files()
    damageFile(tls.at('key_file'), 'cut', '')
    const endpoint = await deadEndpoint()
    const port = Number(endpoint.split(':')[1])
    const sidecar = await start([...tlsOf('http', tls), `receivers.otlp.protocols.http.endpoint=${endpoint}`])
    expect((await receivers(sidecar)).code).toBe(503)
    expect(await listens(port)).toBe(false)
    tls.mend()
    await sidecar.until('it listens', () => listens(port))
    expect(await postByTls(port)).toBe(200)
    await expect(fetch(`http://${endpoint}/v1/traces`, { method: 'POST' })).rejects.toThrow()
  })

  test('one file for both: nothing listens, the admin pages say why, and a stop ends the waiting', async () => {
    const tls = files()
    damageFile(tls.at('cert_file'), 'empty', '')
    const sidecar = await start([...tlsOf('http', tls), ...tlsOf('grpc', tls)])
    expect(await receivers(sidecar)).toMatchObject({
      code: 503,
      check: { data: { error: expect.stringMatching(/grpc\.tls.*http\.tls/) } },
    })
    expect(await sidecar.stop()).toBe(true)
    tls.mend()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(sidecar.log()).not.toContain('Receiving OTLP')
  })

  test('mended while its port is taken: said, and it listens when the port is free', async () => {
    const tls = files()
    damageFile(tls.at('key_file'), 'missing', '')
    const { createServer } = await import('node:net')
    const holder = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const address = holder.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const sidecar = await start([
      ...tlsOf('http', tls),
      `receivers.otlp.protocols.http.endpoint=127.0.0.1:${port}`,
    ])
    tls.mend()
    await sidecar.until('it is said', () => sidecar.log().includes('cannot listen on'))
    expect((await receivers(sidecar)).code).toBe(503)
    await new Promise((resolve) => holder.close(resolve))
    await sidecar.until('all are ready', async () => (await receivers(sidecar)).code === 200)
    expect(await postByTls(port)).toBe(200)
  })
})
