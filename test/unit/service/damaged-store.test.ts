// What clients, probes and metrics say when the disk under a running sidecar loses what it had.
import { closeSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { startSidecar, type TestSidecar } from './sidecar.ts'

const OTLP = 'application/x-protobuf'
// Nobody takes what is accepted, so it stays on the disk; and it is not kept in memory either.
const DOWN = [
  'exporters.otlp_http/down.endpoint=http://127.0.0.1:1',
  'service.pipelines.traces.exporters=["otlp_http/down"]',
]
const started: TestSidecar[] = []
afterEach(async () => {
  for (const sidecar of started.splice(0)) await sidecar.service.stop()
})

async function start(): Promise<TestSidecar> {
  const sidecar = await startSidecar([...DOWN, 'service.limits.shutdown_timeout=300ms'])
  started.push(sidecar)
  return sidecar
}

const send = (sidecar: TestSidecar) => sidecar.post('/v1/traces', makeTraces({ spans: 5, seed: 1 }), OTLP)

async function storeCheck(sidecar: TestSidecar): Promise<unknown> {
  const answer = await sidecar.get('/q/health/ready?exclude=kms')
  const { checks } = (await answer.json()) as { checks: { name: string; status: string; data?: unknown }[] }
  const store = checks.find(({ name }) => name === 'store')
  return { http: answer.status, status: store?.status, data: store?.data }
}

describe('the data folder of a running sidecar', () => {
  test.each([
    ['removed', (data: string) => rmSync(data, { recursive: true })],
    ['moved away', (data: string) => renameSync(data, `${data}-away`)],
  ])('%s: readiness ends before the next request, and OK is not said', async (_how, change) => {
    const sidecar = await start()
    expect((await send(sidecar)).status).toBe(200)
    expect(await storeCheck(sidecar)).toMatchObject({ http: 200, status: 'UP' })
    change(join(sidecar.folder, 'data'))
    expect(await storeCheck(sidecar)).toMatchObject({
      http: 503,
      status: 'DOWN',
      data: { error: 'the data folder was removed or replaced', error_type: 'STORE_FAILED' },
    })
    const refused = await send(sidecar)
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
    expect((await sidecar.get('/q/health/live')).status).toBe(200)
  })

  test('of another start: damage is one line with what is lost and what to do, and nothing listens', async () => {
    const first = await start()
    expect((await send(first)).status).toBe(200)
    await first.service.stop()
    started.length = 0
    const queue = join(first.folder, 'data', 'queue')
    const file = join(queue, readdirSync(queue).sort()[0]!)
    const fd = openSync(file, 'r+')
    writeSync(fd, Buffer.alloc(1_000, 1), 0, 1_000, readFileSync(file).length - 1_500)
    closeSync(fd)
    const failure = await startSidecar(DOWN, first.folder).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code: 'STORE_CORRUPT' })
    expect(String(failure)).toMatch(
      /storage\.directory: .*the data folder is damaged; betrace store check .* \(lost: queue\/0000000001: 1 record\(s\), entries not yet exported: 1 of traces with 5 items\)/,
    )
  })
})
