// A TLS file of one next hop, damaged in each way before a start: that next hop waits and is named, its queue fills, the
// other next hop gets everything; when the file is mended everything arrives, without a restart. Never in plaintext.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { grpcPeer, httpPeer, pem, tcpPeer } from '../exporters/peers.ts'
import { DAMAGES, damageFile } from './damages.ts'
import { oneSpan } from './one-span.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'

const WHOLE = { ca_file: 'ca.pem', cert_file: 'client.pem', key_file: 'client.key' } as const
type Setting = keyof typeof WHOLE
type Transport = 'otlp_grpc' | 'otlp_http'

function files(): { readonly folder: string; readonly at: (setting: Setting) => string; mend(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'betrace-exporter-tls-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const at = (setting: Setting): string => join(folder, setting)
  const mend = (): void => {
    for (const setting of Object.keys(WHOLE) as Setting[]) {
      rmSync(at(setting), { recursive: true, force: true })
      copyFileSync(pem(WHOLE[setting]), at(setting))
    }
  }
  mend()
  return { folder, at, mend }
}

type Files = ReturnType<typeof files>

function settings(transport: Transport, endpoint: string, { at }: Files, exporters: string): string[] {
  const id = `exporters.${transport}/next`
  return [
    `${id}.endpoint=${endpoint}`,
    ...(Object.keys(WHOLE) as Setting[]).map((setting) => `${id}.tls.${setting}=${at(setting)}`),
    ...(transport === 'otlp_grpc' ? [`${id}.tls.insecure=false`] : []),
    `${id}.retry_on_failure.initial_interval=50ms`,
    `${id}.retry_on_failure.max_interval=100ms`,
    `service.pipelines.traces.exporters=[${exporters}]`,
  ]
}

async function start(sets: readonly string[]): Promise<TestSidecar> {
  const sidecar = await startSidecar(sets)
  onTestFinished(async () => {
    await sidecar.stop()
    sidecar.remove()
  })
  return sidecar
}

async function ready(sidecar: TestSidecar): Promise<{ code: number; next: unknown }> {
  const answer = await sidecar.get('/q/health/ready')
  const { checks } = (await answer.json()) as { checks: { name: string; data?: unknown }[] }
  return { code: answer.status, next: checks.find(({ name }) => name.includes('/next'))?.data }
}

async function peer(transport: Transport): Promise<{ endpoint: string; seen: Buffer[] }> {
  const seen: Buffer[] = []
  if (transport === 'otlp_grpc') {
    const { endpoint } = await grpcPeer(({ body }) => {
      seen.push(body)
      return {}
    }, 'mutual')
    return { endpoint, seen }
  }
  const endpoint = await httpPeer((request, response) => {
    request.on('data', (chunk: Buffer) => seen.push(chunk))
    request.on('end', () => response.end())
  }, true)
  return { endpoint, seen }
}

const post = async (sidecar: TestSidecar): Promise<number> =>
  (await sidecar.post('/v1/traces', oneSpan('checkout'), 'application/json')).status

describe.each(['otlp_grpc', 'otlp_http'] as const)('%s', (transport) => {
  const table = (Object.keys(WHOLE) as Setting[]).flatMap((setting) =>
    DAMAGES.filter((damage) => setting !== 'ca_file' || damage !== 'of another').map(
      (damage) => [setting, damage] as const,
    ),
  )
  test.each(table)('%s %s: it waits by name, the rest goes on, and it heals', async (setting, damage) => {
    const tls = files()
    damageFile(tls.at(setting), damage, setting === 'key_file' ? pem('stranger.key') : pem('stranger.pem'))
    const { endpoint, seen } = await peer(transport)
    const sidecar = await start(settings(transport, endpoint, tls, `${transport}/next, file/out`))

    expect(await ready(sidecar)).toMatchObject({
      code: 200,
      next: {
        status: 'needs_mending',
        error: 'tls_files',
        detail: expect.stringContaining(`exporters.${transport}/next.tls`),
      },
    })
    expect(sidecar.log()).toMatch(new RegExp(`"message":"exporters.${transport}/next.tls[^"]+"`))
    expect(await post(sidecar)).toBe(200)
    const out = join(sidecar.folder, 'out.jsonl')
    await sidecar.until('the other next hop has the span', () => readFileSync(out).length > 0)
    expect(seen).toEqual([])
    expect(await sidecar.metric('betrace_items_queued', 'signal="traces"')).toBeGreaterThan(0)

    tls.mend()
    await sidecar.until('the span arrives', () => seen.length > 0)
    await sidecar.until('it is well', async () => {
      const { next } = await ready(sidecar)
      return (next as { status?: string }).status === 'operational'
    })
    await sidecar.until(
      'the queue is empty',
      async () => (await sidecar.metric('betrace_items_queued')) === 0,
    )
    await expectBooksToBalance(sidecar, 'traces')
  })

  test('damaged before the start, nothing is even connected', async () => {
    const tls = files()
    damageFile(tls.at('ca_file'), 'garbage', '')
    let connections = 0
    const address = await tcpPeer(() => void connections++)
    const endpoint = transport === 'otlp_grpc' ? address : `https://${address}`
    const sidecar = await start([
      ...settings(transport, endpoint, tls, `${transport}/next`),
      'service.limits.shutdown_timeout=1s',
    ])
    expect(await post(sidecar)).toBe(200)
    await sidecar.until(
      'it was tried',
      async () => (await sidecar.metric('betrace_exporter_unmended_attempts_total')) > 2,
    )
    expect(connections).toBe(0)
  })

  test('damaged while running, what was loaded stays in force', async () => {
    const tls = files()
    const { endpoint, seen } = await peer(transport)
    const sidecar = await start(settings(transport, endpoint, tls, `${transport}/next`))
    writeFileSync(tls.at('key_file'), 'garbage')
    rmSync(tls.at('ca_file'))
    expect(await post(sidecar)).toBe(200)
    await sidecar.until('the span arrives', () => seen.length > 0)
    expect(await ready(sidecar)).toMatchObject({ code: 200, next: { status: 'operational' } })
  })
})

test('without a store the client hears to come again, and is served when the file is mended', async () => {
  const tls = files()
  damageFile(tls.at('cert_file'), 'cut', '')
  const { endpoint, seen } = await peer('otlp_grpc')
  const sidecar = await start([
    ...settings('otlp_grpc', endpoint, tls, 'otlp_grpc/next'),
    'storage.enabled=false',
    'storage.ack=exported',
  ])
  expect(await ready(sidecar)).toMatchObject({ code: 200, next: { error: 'tls_files' } })
  expect(await post(sidecar)).toBe(503)
  tls.mend()
  expect(await post(sidecar)).toBe(200)
  expect(seen).toHaveLength(1)
})
