import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { GrpcReceiver } from '../../../src/receivers/grpc.ts'
import { grpcReceiverDefaults } from '../../../src/receivers/grpc-options.ts'
import { HttpReceiver } from '../../../src/receivers/http.ts'
import { httpReceiverDefaults } from '../../../src/receivers/http-options.ts'
import { portHolders } from '../../../src/receivers/port-holder.ts'
import { grpcClient, OK, post, refused, send, startReceivers, traceBytes, until } from './harness.ts'

const HEALTH_CHECK = '/grpc.health.v1.Health/Check'
const WATCH = '/grpc.health.v1.Health/Watch'
const asIs = (bytes: Buffer): Buffer => bytes

describe('start', () => {
  test('port 0 gives the real port and address', async () => {
    await using harness = await startReceivers()
    expect(harness.httpPort).toBeGreaterThan(0)
    expect(harness.grpcPort).toBeGreaterThan(0)
    const again = new HttpReceiver(
      { ...httpReceiverDefaults, endpoint: { host: 'localhost', port: 0 } },
      harness.context,
    )
    const bound = await again.start()
    expect(bound.host).toBe(bound.address)
    expect(bound.host).toMatch(/^(127\.0\.0\.1|::1)$/)
    await again.close()
  })

  test('an address in use is one CONFIG line that names the setting and the address', async () => {
    await using harness = await startReceivers()
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const address = taken.address()
    const port = typeof address === 'object' ? address!.port : 0
    const endpoint = { host: '127.0.0.1', port }
    const receivers = [
      ['http', new HttpReceiver({ ...httpReceiverDefaults, endpoint }, harness.context)],
      ['grpc', new GrpcReceiver({ ...grpcReceiverDefaults, endpoint }, harness.context)],
    ] as const
    for (const [name, receiver] of receivers) {
      const message = `receivers.otlp.protocols.${name}.endpoint: cannot listen on 127.0.0.1:${port}: address is in use by this process itself`
      await expect(receiver.start()).rejects.toMatchObject({ code: 'CONFIG', message })
      await receiver.close()
    }
    taken.close()
  })

  test.runIf(process.platform === 'linux').each(['127.0.0.1', '::'])(
    'an address in use on %s by another process names it, and how to end it [needs /proc]',
    async (host) => {
      const script = `require('net').createServer().listen(0, '${host}', function () { console.log(this.address().port) })`
      const holder = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      try {
        const port = Number((await once(holder.stdout, 'data'))[0])
        await using harness = await startReceivers()
        const receiver = new HttpReceiver(
          { ...httpReceiverDefaults, endpoint: { host: '127.0.0.1', port } },
          harness.context,
        )
        await expect(receiver.start()).rejects.toThrow(
          `address is in use by process ${holder.pid}; kill ${holder.pid} ends it in order`,
        )
        expect(portHolders(port)).toEqual([holder.pid])
        await receiver.close()
      } finally {
        holder.kill('SIGKILL')
      }
    },
  )
})

describe('stop', () => {
  test('lets what is under way finish, takes nothing new, and closes when it is done', async () => {
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const harness = await startReceivers({
      accept: async () => {
        await gate
        return OK
      },
    })
    const client = grpcClient(harness.grpcPort)
    const underWay = [send(client, traceBytes(5)), post(harness.httpPort, { body: traceBytes(5) })] as const
    await until(() => harness.seen.length === 2)
    await Promise.all([harness.http.stopAccepting(), harness.grpc.stopAccepting()])
    const late = grpcClient(harness.grpcPort)
    expect((await refused(send(late, traceBytes(5), { deadlineMs: 1_000 }))).code).toBe(14)
    await expect(post(harness.httpPort, { body: traceBytes(5) })).rejects.toThrow('ECONNREFUSED')
    const closed = Promise.all([harness.http.close(5_000), harness.grpc.close(5_000)])
    open()
    expect((await underWay[0]).byteLength).toBe(0)
    const answer = await underWay[1]
    expect(answer.status).toBe(200)
    await closed
    client.close()
    late.close()
    expect(harness.seen.length).toBe(2)
  })

  test('is bounded: what hangs is cut after the grace', async () => {
    const harness = await startReceivers({ accept: () => new Promise(() => {}) })
    const client = grpcClient(harness.grpcPort)
    const hanging = [
      refused(send(client, traceBytes(5))),
      post(harness.httpPort, { body: traceBytes(5) }).catch(() => 'cut'),
    ] as const
    await until(() => harness.seen.length === 2)
    const startMs = performance.now()
    await Promise.all([harness.http.close(100), harness.grpc.close(100)])
    expect(performance.now() - startMs).toBeLessThan(3_000)
    expect([14, 1]).toContain((await hanging[0]).code)
    expect(await hanging[1]).toBe('cut')
    client.close()
  })

  test('twice, and without a start, is harmless', async () => {
    const harness = await startReceivers()
    const never = new GrpcReceiver(
      { ...grpcReceiverDefaults, endpoint: { host: '127.0.0.1', port: 0 } },
      harness.context,
    )
    await never.close()
    await Promise.all([harness.http.close(), harness.grpc.close()])
    await Promise.all([harness.http.close(), harness.grpc.close()])
  })

  test('health watchers hear SERVING, then NOT_SERVING, and are let go', async () => {
    await using harness = await startReceivers()
    const client = grpcClient(harness.grpcPort)
    const statuses: number[] = []
    const watch = client.makeServerStreamRequest(WATCH, asIs, asIs, Buffer.alloc(0))
    watch.on('data', (bytes: Buffer) => statuses.push(bytes[1]!))
    const ended = new Promise((resolve) => watch.on('end', resolve).on('error', resolve))
    await until(() => statuses.length === 1)
    await harness.grpc.stopAccepting()
    await ended
    expect(statuses).toEqual([1, 2])
    client.close()
  })

  test('a watcher that leaves is forgotten and health goes on', async () => {
    await using harness = await startReceivers()
    const client = grpcClient(harness.grpcPort)
    const watch = client.makeServerStreamRequest(WATCH, asIs, asIs, Buffer.alloc(0))
    watch.on('error', () => {})
    await new Promise((resolve) => watch.once('data', resolve))
    watch.cancel()
    expect([...(await send(client, Buffer.alloc(0), { path: HEALTH_CHECK }))]).toEqual([8, 1])
    client.close()
  })
})

describe('who may come in', () => {
  test.each([
    ['Bearer s3cret', 200, 'OK'],
    ['Bearer wrong', 401, 16],
    [undefined, 401, 16],
  ])('with authorization %s: %s, %s', async (authorization, http, grpc) => {
    const auth = { bearerToken: 's3cret' }
    await using harness = await startReceivers({ http: { auth }, grpc: { auth } })
    const metadata: Record<string, string> = authorization === undefined ? {} : { authorization }
    const answer = await post(harness.httpPort, { body: traceBytes(5), headers: metadata })
    expect(answer.status).toBe(http)
    expect(answer.headers['www-authenticate']).toBe(http === 401 ? 'Bearer' : undefined)
    const client = grpcClient(harness.grpcPort)
    const outcome = await send(client, traceBytes(5), { metadata }).then(
      () => 'OK',
      (error: { code: number }) => error.code,
    )
    expect(outcome).toBe(grpc)
    // Health is for the platform, which has no token.
    expect((await send(client, Buffer.alloc(0), { path: HEALTH_CHECK })).byteLength).toBe(2)
    client.close()
    expect(harness.seen.length).toBe(http === 200 ? 2 : 0)
  })

  test.each([
    ['acme', 200, 'OK', 'acme'],
    ['__proto__', 200, 'OK', '__proto__'],
    ['evil', 403, 7, undefined],
  ])('tenant %s: %s, %s', async (tenant, http, grpc, expected) => {
    await using harness = await startReceivers({ tenants: { allow: ['acme', '__proto__'] } })
    const metadata = { 'x-betrace-tenant': tenant }
    expect((await post(harness.httpPort, { body: traceBytes(5), headers: metadata })).status).toBe(http)
    const client = grpcClient(harness.grpcPort)
    const outcome = await send(client, traceBytes(5), { metadata }).then(
      () => 'OK',
      (error: { code: number }) => error.code,
    )
    client.close()
    expect(outcome).toBe(grpc)
    expect(harness.seen.map((request) => request.tenant)).toEqual(
      expected === undefined ? [] : [expected, expected],
    )
  })
})

test('requests are counted by transport, signal and code, items by what the pipeline says', async () => {
  await using harness = await startReceivers()
  await post(harness.httpPort, { body: traceBytes(5) })
  await post(harness.httpPort, { path: '/nope' })
  await post(harness.httpPort, {
    path: '/v1/logs',
    headers: { 'content-type': 'text/plain' },
    body: Buffer.from('x'),
  })
  const client = grpcClient(harness.grpcPort)
  await send(client, traceBytes(5))
  client.close()
  harness.context.metrics.itemsFrom('grpc')('accepted', 'traces', 3)
  harness.context.metrics.itemsFrom('http')('refused', 'metrics', 2)
  await until(() => harness.admission.leaseCount === 0)
  const text = await harness.registry.metrics()
  for (const line of [
    'betrace_receiver_requests_total{transport="http",signal="traces",code="OK"} 1',
    'betrace_receiver_requests_total{transport="http",signal="none",code="NOT_FOUND"} 1',
    'betrace_receiver_requests_total{transport="http",signal="logs",code="UNSUPPORTED_MEDIA_TYPE"} 1',
    'betrace_receiver_requests_total{transport="grpc",signal="traces",code="OK"} 1',
    'otelcol_receiver_accepted_spans{receiver="otlp",transport="grpc"} 3',
    'otelcol_receiver_refused_metric_points{receiver="otlp",transport="http"} 2',
    'betrace_receiver_in_flight_bytes 0',
    'betrace_receiver_waiting_requests 0',
  ]) {
    expect(text).toContain(line)
  }
})
