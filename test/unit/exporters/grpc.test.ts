import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { describe, expect, onTestFinished, test } from 'vitest'
import { GrpcExporter } from '../../../src/exporters/grpc.ts'
import type { ClientTlsOptions, GrpcExporterOptions } from '../../../src/exporters/options.ts'
import type { SendOutcome } from '../../../src/exporters/sender.ts'
import { encodeResponse, encodeStatus } from '../../../src/wire/reply.ts'
import { clear, deadEndpoint, type GrpcCall, grpcPeer, neverAborted, pem, tcpPeer } from './peers.ts'

async function exporter(endpoint: string, options: Partial<GrpcExporterOptions> = {}): Promise<GrpcExporter> {
  const made = new GrpcExporter('otlp_grpc/test', { endpoint, tls: clear, ...options })
  onTestFinished(() => made.close())
  await made.start()
  return made
}

const inOneWord = (outcome: SendOutcome) =>
  outcome.kind === 'retry' ? (outcome.needsMending ? 'mend' : 'wait') : outcome.kind

const secret = (text: string) => ({ reveal: () => text })

/** A raw HTTP/2 peer, for what no gRPC library would do. */
async function rawPeer(onStream: (stream: http2.ServerHttp2Stream) => void): Promise<string> {
  const server = http2.createServer()
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream) => {
    stream.on('error', () => undefined)
    onStream(stream)
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  onTestFinished(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return `127.0.0.1:${await promise}`
}

describe('what arrives at a grpc-js server', () => {
  test.each([0, 1, 16_384, 65_535, 65_536, 5_000_000])(
    'is a body of %i bytes as it was given',
    async (bytes) => {
      const calls: GrpcCall[] = []
      const { endpoint } = await grpcPeer((call) => {
        calls.push(call)
        return {}
      })
      const body = Buffer.alloc(bytes, 0x5a)
      const sender = await exporter(endpoint)
      for (const signal of ['traces', 'logs', 'metrics'] as const) {
        expect(await sender.send(signal, body, neverAborted)).toEqual({
          kind: 'ok',
          rejectedItems: 0,
          message: '',
        })
      }
      expect(calls.map((call) => call.signal)).toEqual(['traces', 'logs', 'metrics'])
      for (const call of calls) expect(call.body.equals(body)).toBe(true)
    },
  )

  test('is the same with gzip, and carries headers, deadline and user agent', async () => {
    const calls: GrpcCall[] = []
    const { endpoint } = await grpcPeer((call) => {
      calls.push(call)
      return {}
    })
    const headers = new Map([['Authorization', secret('Bearer t0ken')]])
    const sender = await exporter(endpoint, { compression: 'gzip', headers, timeoutMs: 7_000 })
    const body = Buffer.alloc(100_000, 'abc')
    expect((await sender.send('traces', body, neverAborted)).kind).toBe('ok')
    expect(calls[0].body.equals(body)).toBe(true)
    expect(calls[0].metadata.get('authorization')).toEqual(['Bearer t0ken'])
    expect(calls[0].metadata.get('user-agent')[0]).toMatch(/^betrace-sidecar\/\d/)
    const leftMs = Number(calls[0].deadline) - Date.now()
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(7_000)
  })

  test('goes over one connection, many at once', async () => {
    let count = 0
    const { endpoint } = await grpcPeer(() => {
      count++
      return {}
    })
    const sender = await exporter(endpoint)
    const sends = Array.from({ length: 200 }, (_, i) =>
      sender.send('traces', Buffer.alloc(i * 100), neverAborted),
    )
    expect((await Promise.all(sends)).every(({ kind }) => kind === 'ok')).toBe(true)
    expect(count).toBe(200)
  })
})

describe('what a grpc-js server says', () => {
  const { status } = grpc
  const withDetails = (delayMs: number) => {
    const metadata = new grpc.Metadata()
    metadata.set(
      'grpc-status-details-bin',
      Buffer.from(encodeStatus({ code: 14, message: 'wait', retryDelayMs: delayMs })),
    )
    return metadata
  }

  test.each([
    ['cancelled', status.CANCELLED, 'wait'],
    ['deadline_exceeded', status.DEADLINE_EXCEEDED, 'wait'],
    ['aborted', status.ABORTED, 'wait'],
    ['out_of_range', status.OUT_OF_RANGE, 'wait'],
    ['unavailable', status.UNAVAILABLE, 'wait'],
    ['data_loss', status.DATA_LOSS, 'wait'],
    ['not_found', status.NOT_FOUND, 'mend'],
    ['permission_denied', status.PERMISSION_DENIED, 'mend'],
    ['failed_precondition', status.FAILED_PRECONDITION, 'mend'],
    ['unimplemented', status.UNIMPLEMENTED, 'mend'],
    ['unauthenticated', status.UNAUTHENTICATED, 'mend'],
    ['resource_exhausted', status.RESOURCE_EXHAUSTED, 'refused'],
    ['unknown', status.UNKNOWN, 'refused'],
    ['invalid_argument', status.INVALID_ARGUMENT, 'refused'],
    ['already_exists', status.ALREADY_EXISTS, 'refused'],
    ['internal', status.INTERNAL, 'refused'],
  ] as const)('%s (%i) means %s', async (reason, code, expected) => {
    const { endpoint } = await grpcPeer(() => ({ error: { code, details: 'a text of the peer' } }))
    const outcome = await (await exporter(endpoint)).send('traces', Buffer.of(1), neverAborted)
    expect(outcome).toMatchObject({ reason })
    expect(inOneWord(outcome)).toBe(expected)
  })

  test('every code of gRPC is in this table', () => {
    expect(Object.values(status).filter((code) => typeof code === 'number')).toHaveLength(17)
  })

  test('about when to come back is passed on, and makes RESOURCE_EXHAUSTED retryable', async () => {
    for (const code of [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]) {
      const { endpoint } = await grpcPeer(() => ({
        error: { code, details: 'later', metadata: withDetails(2_500) },
      }))
      const outcome = await (await exporter(endpoint)).send('traces', Buffer.of(1), neverAborted)
      expect(outcome).toMatchObject({ kind: 'retry', afterMs: 2_500 })
    }
  })

  test('in a partial success is counted', async () => {
    const { endpoint } = await grpcPeer(() => ({
      reply: encodeResponse({ rejectedItems: 7, message: 'too old' }),
    }))
    const outcome = await (await exporter(endpoint)).send('logs', Buffer.of(1), neverAborted)
    expect(outcome).toEqual({ kind: 'ok', rejectedItems: 7, message: 'too old' })
  })

  test('that cannot be read is still an OK', async () => {
    const { endpoint } = await grpcPeer(() => ({ reply: Buffer.of(0xff, 0xff, 0xff) }))
    const outcome = await (await exporter(endpoint)).send('logs', Buffer.of(1), neverAborted)
    expect(outcome).toEqual({ kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' })
  })

  test('in more than 4 MiB is an OK all the same: the verdict comes after it', async () => {
    const { endpoint } = await grpcPeer(() => ({ reply: Buffer.alloc(5_000_000) }))
    const outcome = await (await exporter(endpoint)).send('logs', Buffer.of(1), neverAborted)
    expect(outcome).toEqual({ kind: 'ok', rejectedItems: 0, message: 'the answer could not be read' })
  })
})

describe('trouble on the way', () => {
  test('a server that never answers is a timeout, and the same connection serves the next call', async () => {
    let isSilent = true
    const { endpoint } = await grpcPeer(() => (isSilent ? 'never' : {}))
    const sender = await exporter(endpoint, { timeoutMs: 150 })
    expect(await sender.send('traces', Buffer.of(1), neverAborted)).toMatchObject({ kind: 'retry' })
    isSilent = false
    expect((await sender.send('traces', Buffer.of(1), neverAborted)).kind).toBe('ok')
  })

  test('nobody listening, a peer that says nothing and one that hangs up are retried', async () => {
    const silent = await tcpPeer(() => undefined)
    const rude = await tcpPeer((socket) => socket.destroy())
    const babbling = await tcpPeer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    for (const endpoint of [await deadEndpoint(), silent, rude, babbling]) {
      const sender = await exporter(endpoint, { timeoutMs: 200 })
      expect((await sender.send('traces', Buffer.alloc(100_000), neverAborted)).kind).toBe('retry')
      await sender.close()
    }
  })

  test('a server that was away is found again', async () => {
    const first = await grpcPeer(() => ({}))
    const sender = await exporter(first.endpoint, { timeoutMs: 2_000 })
    expect((await sender.send('traces', Buffer.of(1), neverAborted)).kind).toBe('ok')
    first.server.forceShutdown()
    expect((await sender.send('traces', Buffer.of(1), neverAborted)).kind).toBe('retry')
    await grpcPeer(() => ({}), undefined, Number(first.endpoint.split(':')[1]))
    await expect.poll(async () => (await sender.send('traces', Buffer.of(1), neverAborted)).kind).toBe('ok')
  })

  test('trailers that come late are waited for, and trailers that never come are a timeout', async () => {
    const late = await rawPeer((stream) => {
      stream.resume().on('end', () => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.write(Buffer.alloc(5))
        setTimeout(() => stream.end(), 100)
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      })
    })
    expect((await (await exporter(late)).send('traces', Buffer.of(1), neverAborted)).kind).toBe('ok')
    const never = await rawPeer((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
      stream.write(Buffer.alloc(5))
    })
    const outcome = await (await exporter(never, { timeoutMs: 150 })).send(
      'traces',
      Buffer.of(1),
      neverAborted,
    )
    expect(outcome).toEqual({ kind: 'retry', afterMs: undefined, reason: 'timeout' })
  })

  test.each([
    [
      'a reset stream',
      (stream: http2.ServerHttp2Stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
      'retry',
      'connection_lost',
    ],
    [
      'a refused stream',
      (stream: http2.ServerHttp2Stream) => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM),
      'retry',
      'connection_lost',
    ],
    [
      'no grpc-status',
      (stream: http2.ServerHttp2Stream) => stream.respond({ ':status': 200 }, { endStream: true }),
      'retry',
      'connection_lost',
    ],
    [
      'a grpc-status that is no number',
      (stream: http2.ServerHttp2Stream) =>
        stream.respond({ ':status': 200, 'grpc-status': 'ok' }, { endStream: true }),
      'retry',
      'connection_lost',
    ],
    [
      'an unknown code',
      (stream: http2.ServerHttp2Stream) =>
        stream.respond({ ':status': 200, 'grpc-status': '99' }, { endStream: true }),
      'refused',
      'unknown',
    ],
    [
      '502 of a proxy',
      (stream: http2.ServerHttp2Stream) => stream.respond({ ':status': 502 }, { endStream: true }),
      'retry',
      'http_502',
    ],
    [
      'a lost session',
      (stream: http2.ServerHttp2Stream) => stream.session?.destroy(),
      'retry',
      'connection_lost',
    ],
  ] as const)('%s has its outcome', async (_name, act, kind, reason) => {
    const sender = await exporter(await rawPeer(act))
    expect(await sender.send('traces', Buffer.of(1), neverAborted)).toMatchObject({ kind, reason })
  })

  test.each([
    [300, 'mend'],
    [302, 'mend'],
    [400, 'mend'],
    [401, 'mend'],
    [403, 'mend'],
    [404, 'mend'],
    [407, 'mend'],
    [408, 'wait'],
    [413, 'refused'],
    [415, 'mend'],
    [421, 'mend'],
    [422, 'mend'],
    [429, 'wait'],
    [500, 'mend'],
    [501, 'mend'],
    [502, 'wait'],
    [503, 'wait'],
    [504, 'wait'],
    [511, 'mend'],
  ])('HTTP %i without a grpc-status is a proxy, and means %s', async (httpStatus, expected) => {
    const sender = await exporter(
      await rawPeer((stream) => stream.respond({ ':status': httpStatus }, { endStream: true })),
    )
    const outcome = await sender.send('traces', Buffer.of(1), neverAborted)
    expect(outcome).toMatchObject({ reason: `http_${httpStatus}` })
    expect(inOneWord(outcome)).toBe(expected)
  })

  test('an abort rejects, before and during the call', async () => {
    const { endpoint } = await grpcPeer(() => 'never')
    const sender = await exporter(endpoint)
    const controller = new AbortController()
    const sending = sender.send('traces', Buffer.of(1), controller.signal)
    setTimeout(() => controller.abort(new Error('stop')), 50)
    await expect(sending).rejects.toThrow('stop')
    await expect(sender.send('traces', Buffer.of(1), controller.signal)).rejects.toThrow('stop')
  })

  test('closing twice, and before a start, is safe', async () => {
    const sender = new GrpcExporter('x', { endpoint: '127.0.0.1:1', tls: clear })
    await sender.close()
    await sender.start()
    await sender.close()
    await sender.close()
    expect((await sender.send('traces', Buffer.of(1), neverAborted)).kind).toBe('retry')
  })
})

describe('TLS', () => {
  const ca = { insecure: false, caFile: pem('ca.pem') }

  test('is checked against the given authority', async () => {
    const { endpoint } = await grpcPeer(() => ({}), 'server')
    const send = async (tls: ClientTlsOptions) =>
      (await exporter(endpoint, { tls, timeoutMs: 2_000 })).send('traces', Buffer.of(1), neverAborted)
    expect((await send(ca)).kind).toBe('ok')
    expect(await send({ insecure: false })).toMatchObject({ kind: 'retry', reason: 'tls_failed' })
    expect(await send({ ...ca, caFile: pem('stranger-ca.pem') })).toMatchObject({
      kind: 'retry',
      reason: 'tls_failed',
    })
    expect((await send({ ...ca, serverNameOverride: 'localhost' })).kind).toBe('ok')
    expect((await send({ ...ca, serverNameOverride: 'elsewhere' })).kind).toBe('retry')
  })

  test('is mutual when a certificate is given', async () => {
    const { endpoint } = await grpcPeer(() => ({}), 'mutual')
    const send = async (tls: ClientTlsOptions) =>
      (await exporter(endpoint, { tls, timeoutMs: 2_000 })).send('traces', Buffer.of(1), neverAborted)
    expect((await send({ ...ca, certFile: pem('client.pem'), keyFile: pem('client.key') })).kind).toBe('ok')
    expect((await send(ca)).kind).toBe('retry')
  })

  test.each([
    ['ca_file', { insecure: false, caFile: '/nonexistent' }],
    ['cert_file', { insecure: false, certFile: '/nonexistent' }],
  ])('with a %s that cannot be read waits for it', async (setting, tls) => {
    const sender = new GrpcExporter('x', { endpoint: '127.0.0.1:1', tls })
    await sender.start()
    expect(sender.problem()).toEqual({
      reason: 'tls_files',
      message: `exporters.x.tls.${setting}: cannot be read`,
    })
    expect(await sender.send('traces', Buffer.of(1), neverAborted)).toEqual({
      kind: 'retry',
      afterMs: undefined,
      reason: 'tls_files',
      needsMending: true,
    })
  })
})

test.each(['', 'host', 'host:', ':4317', 'host:99999x', 'a b:1:2'])(
  'the endpoint %j is refused at the start',
  async (endpoint) => {
    await expect(new GrpcExporter('x', { endpoint, tls: clear }).start()).rejects.toMatchObject({
      code: 'CONFIG',
    })
  },
)
