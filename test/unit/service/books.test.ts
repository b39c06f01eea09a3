import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, renameSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeTraces } from '../../../bench/payload.ts'
import { decodeSignedStatement, decodeStatement, Kind } from '../../../src/evidence/statement.ts'
import { statementsIn } from '../store/statements.ts'
import { expectBooksToBalance, startSidecar, type TestSidecar } from './sidecar.ts'

const SPANS = 20
const OTLP = 'application/x-protobuf'

/** A next hop whose answer the test decides. */
class NextHop {
  readonly #server: Server
  status = 200
  requestCount = 0

  constructor() {
    this.#server = createServer((request, response) => {
      request.resume().on('end', () => {
        this.requestCount++
        response.writeHead(this.status, { 'content-type': OTLP }).end()
      })
    })
  }
  async listen(): Promise<string> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }
  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

describe('accepted = exported + queued + rejected + dropped', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function start(hop: NextHop, sets: readonly string[] = [], folder?: string): Promise<TestSidecar> {
    const endpoint = await endpoints.get(hop)!
    const sidecar = await startSidecar(
      [
        `exporters.otlp_http/next.endpoint=${endpoint}`,
        'exporters.otlp_http/next.retry_on_failure.initial_interval=20ms',
        'exporters.otlp_http/next.retry_on_failure.max_interval=50ms',
        'service.pipelines.traces.exporters=[otlp_http/next]',
        'processors.signing.select=all',
        ...sets,
      ],
      folder,
    )
    cleanups.push(() => sidecar.remove())
    cleanups.push(() => sidecar.stop())
    return sidecar
  }
  const endpoints = new Map<NextHop, Promise<string>>()
  function nextHop(status = 200): NextHop {
    const hop = new NextHop()
    hop.status = status
    endpoints.set(hop, hop.listen())
    cleanups.push(() => hop.close())
    return hop
  }
  const sendTraces = (sidecar: TestSidecar, seed = 1): Promise<Response> =>
    sidecar.post('/v1/traces', makeTraces({ spans: SPANS, seed }), OTLP)

  test('after everything went well', async () => {
    const sidecar = await start(nextHop())
    for (let seed = 0; seed < 10; seed++) expect((await sendTraces(sidecar, seed)).status).toBe(200)
    await sidecar.until(
      'exported',
      async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) === 10 * SPANS,
    )
    await expectBooksToBalance(sidecar, 'traces')
    expect(await sidecar.metric('otelcol_receiver_accepted_spans')).toBe(10 * SPANS)
    expect(await sidecar.metric('otelcol_exporter_sent_spans')).toBe(10 * SPANS)
  })

  test('while the next hop is down, and after it came back', async () => {
    const hop = nextHop(503)
    const sidecar = await start(hop)
    for (let seed = 0; seed < 5; seed++) expect((await sendTraces(sidecar, seed)).status).toBe(200)
    await sidecar.until('tried', () => hop.requestCount > 5)
    expect(await sidecar.metric('betrace_items_queued', 'traces')).toBe(5 * SPANS)
    await expectBooksToBalance(sidecar, 'traces')
    hop.status = 200
    await sidecar.until(
      'exported',
      async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) === 5 * SPANS,
    )
    await expectBooksToBalance(sidecar, 'traces')
  })

  test.each([401, 403, 404, 302])(
    'while the next hop answers %i, which a person can mend: nothing is dropped, and everybody can see it',
    async (status) => {
      const hop = nextHop(status)
      const sidecar = await start(hop)
      expect((await sendTraces(sidecar)).status).toBe(200)
      await sidecar.until('tried again', () => hop.requestCount > 2)
      await expectBooksToBalance(sidecar, 'traces')
      expect(await sidecar.metric('betrace_items_dropped_total', 'traces')).toBe(0)
      expect(
        await sidecar.metric('betrace_exporter_unmended_attempts_total', `reason="http_${status}"`),
      ).toBeGreaterThan(1)
      expect(await (await sidecar.get('/q/health/ready')).text()).toContain(
        `"status":"needs_mending","error":"http_${status}"`,
      )
      expect(sidecar.log().match(/exporting fails until it is mended/g)).toHaveLength(1)
      hop.status = 200
      await sidecar.until(
        'exported',
        async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) === SPANS,
      )
      await expectBooksToBalance(sidecar, 'traces')
      expect(await (await sidecar.get('/q/health/ready')).text()).not.toContain('needs_mending')
    },
  )

  test('when the next hop refuses for good: dead letter, and a tombstone in the evidence', async () => {
    const sidecar = await start(nextHop(400))
    expect((await sendTraces(sidecar)).status).toBe(200)
    await sidecar.until(
      'dropped',
      async () => (await sidecar.metric('betrace_items_dropped_total', 'traces')) === SPANS,
    )
    await expectBooksToBalance(sidecar, 'traces')
    expect(await sidecar.metric('otelcol_exporter_send_failed_spans')).toBe(SPANS)
    expect(await sidecar.stop()).toBe(true)
    expect(
      readFileSync(join(sidecar.folder, 'data', 'dead-letter.jsonl'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(1)
    expect(await statementKinds(join(sidecar.folder, 'data'))).toEqual([
      Kind.BOOT,
      Kind.BATCH,
      Kind.TOMBSTONE,
      Kind.SHUTDOWN,
    ])
  })

  test('when the dead letters are full: nothing is dropped, readiness and then OK end, and both come back', async () => {
    const sidecar = await start(nextHop(400), [
      'storage.dead_letter_bytes_max=1MiB',
      'service.limits.shutdown_timeout=300ms',
      'storage.queue_bytes_max=1MiB',
      'service.limits.wait_max=100ms',
      'receivers.otlp.protocols.grpc.max_recv_msg_size_mib=1',
      'receivers.otlp.protocols.http.max_request_body_size_mib=1',
    ])
    const of = (name: string) => sidecar.metric(`betrace_items_${name}`, 'signal="traces"')
    const isReady = async () => (await sidecar.get('/q/health/ready?exclude=queue')).status === 200
    const isFull = async () => (await sidecar.metric('betrace_items_rejected_total', 'QUEUE_FULL')) > 0
    let okCount = 0
    for (let seed = 0; seed < 600 && !(await isFull()); seed++) {
      const { status } = await sendTraces(sidecar, seed)
      // A slow machine may refuse one for its short wait as well.
      expect([200, 503]).toContain(status)
      if (status === 200) okCount++
    }
    expect(await isFull(), 'refused in the end').toBe(true)
    await sidecar.until('not ready', async () => !(await isReady()))
    const path = join(sidecar.folder, 'data', 'dead-letter.jsonl')
    const itemsIn = (file: string) =>
      existsSync(file) ? (readFileSync(file, 'utf8').split('\n').length - 1) * SPANS : 0
    await sidecar.until('as many dropped as kept', async () => (await of('dropped_total')) === itemsIn(path))
    await expectBooksToBalance(sidecar, 'traces')
    expect(await sidecar.metric('betrace_dead_letter_waiting_items')).toBeGreaterThan(0)
    expect(await sidecar.metric('betrace_dead_letter_bytes')).toBe(statSync(path).size)
    expect(statSync(path).size).toBeLessThanOrEqual(1024 * 1024)
    // Once is not enough: what waits in the queue is more than one file holds.
    let files = 0
    while ((await of('dropped_total')) < okCount * SPANS) {
      await sidecar.until(
        'all kept, or full again',
        async () =>
          (await of('dropped_total')) === okCount * SPANS ||
          (await sidecar.metric('betrace_dead_letter_waiting_items')) > 0,
      )
      // What waited a moment ago may have found room since.
      if ((await sidecar.metric('betrace_dead_letter_waiting_items')) === 0) continue
      renameSync(path, `${path}.${++files}`)
      await sidecar.until(
        'a new file, unless nothing was left for it',
        async () => existsSync(path) || (await of('dropped_total')) === okCount * SPANS,
      )
    }
    // A file that is moved while a line is written still gets that line, so they are counted at the end.
    const moved = Array.from({ length: files }, (_, index) => itemsIn(`${path}.${index + 1}`))
    expect(moved.reduce((sum, items) => sum + items, itemsIn(path))).toBe(okCount * SPANS)
    expect(await isReady()).toBe(true)
    await expectBooksToBalance(sidecar, 'traces')
    expect((await sendTraces(sidecar)).status).toBe(200)
  })

  test('when the queue is full: refused retryably with a hint, and nothing that was said OK to is lost', async () => {
    const hop = nextHop(503)
    const sidecar = await start(hop, [
      'storage.queue_bytes_max=1MiB',
      'service.limits.wait_max=100ms',
      'receivers.otlp.protocols.grpc.max_recv_msg_size_mib=1',
      'receivers.otlp.protocols.http.max_request_body_size_mib=1',
    ])
    let okCount = 0
    let refused: Response | undefined
    for (let seed = 0; seed < 200 && !refused; seed++) {
      const response = await sendTraces(sidecar, seed)
      if (response.status === 200) okCount++
      else refused = response
    }
    expect(refused?.status).toBe(503)
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await sidecar.metric('betrace_items_rejected_total', 'QUEUE_FULL')).toBe(SPANS)
    await expectBooksToBalance(sidecar, 'traces')
    hop.status = 200
    await sidecar.until(
      'drained',
      async () => (await sidecar.metric('betrace_items_exported_total', 'traces')) === okCount * SPANS,
    )
    await expectBooksToBalance(sidecar, 'traces')
    expect((await sendTraces(sidecar)).status).toBe(200)
  })

  test('over a restart: what the last process left is recovered, exported once it can be, and the stream goes on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'betrace-test-'))
    const hop = nextHop(503)
    const first = await start(hop, ['service.limits.shutdown_timeout=300ms'], folder)
    for (let seed = 0; seed < 3; seed++) await sendTraces(first, seed)
    expect(await first.stop()).toBe(false)
    hop.status = 200
    const second = await start(hop, [], folder)
    await second.until(
      'exported',
      async () => (await second.metric('betrace_items_exported_total', 'traces')) === 3 * SPANS,
    )
    expect(await second.metric('betrace_items_recovered_total', 'traces')).toBe(3 * SPANS)
    await sendTraces(second, 9)
    await second.until(
      'exported',
      async () => (await second.metric('betrace_items_exported_total', 'traces')) === 4 * SPANS,
    )
    await expectBooksToBalance(second, 'traces')
    await second.stop()
    const kinds = await statementKinds(join(folder, 'data'))
    expect(kinds).toEqual([
      Kind.BOOT,
      Kind.BATCH,
      Kind.BATCH,
      Kind.BATCH,
      Kind.SHUTDOWN,
      Kind.BOOT,
      Kind.BATCH,
      Kind.SHUTDOWN,
    ])
  })

  test('without storage OK means that the next hop said OK, and its refusal is the answer', async () => {
    const hop = nextHop(503)
    const sidecar = await start(hop, ['storage.enabled=false', 'storage.ack=exported'])
    const refused = await sendTraces(sidecar)
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
    hop.status = 400
    expect((await sendTraces(sidecar)).status).toBe(500)
    hop.status = 200
    expect((await sendTraces(sidecar)).status).toBe(200)
    await expectBooksToBalance(sidecar, 'traces')
    expect(await sidecar.metric('betrace_items_rejected_total', 'traces')).toBe(2 * SPANS)
  })

  test('a second sidecar on the same folder is refused in one line, and the first goes on', async () => {
    const hop = nextHop()
    const sidecar = await start(hop)
    await expect(startSidecar([], sidecar.folder)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    expect((await sendTraces(sidecar)).status).toBe(200)
  })

  test('a tenant called __proto__ is a tenant like any other', async () => {
    const sidecar = await start(nextHop())
    const response = await sidecar.post('/v1/traces', makeTraces({ spans: 1, seed: 1 }), OTLP, {
      'x-betrace-tenant': '__proto__',
    })
    expect(response.status).toBe(200)
    const keys = await (await sidecar.get('/api/tenants/__proto__/public-keys')).json()
    expect(keys).toMatchObject({ tenantId: '__proto__', keys: [{ algorithm: 'Ed25519', status: 'ACTIVE' }] })
    expect((await sidecar.get('/api/tenants/constructor/public-keys')).status).toBe(404)
  })
})

/** The kinds of all statements of a closed folder, in the order of the stream. */
async function statementKinds(directory: string): Promise<number[]> {
  const statements = statementsIn(directory).map(({ value }) => {
    const { bootId, number, kind } = decodeStatement(decodeSignedStatement(value).statement)
    const boot = Buffer.from(bootId).toString('hex')
    return { id: `${boot}/${number}`, order: boot + String(number).padStart(12, '0'), kind }
  })
  const unique = new Map(statements.map((each) => [each.id, each]))
  return [...unique.values()].sort((a, b) => (a.order < b.order ? -1 : 1)).map(({ kind }) => kind)
}
