// OTLP 1.11 and gRPC over HTTP/2, what a server MUST and SHOULD, each line in our words, with the real grpc-js client.
import { connect, constants } from 'node:http2'
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { Client } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import type { ExportAccepted, ExportRequest } from '../../../src/pipeline/pipeline.ts'
import type { Signal } from '../../../src/wire/otlp.ts'
import { decodeExportResponse, decodeStatus } from './decode.ts'
import {
  EXPORT_PATH,
  grpcClient,
  type Harness,
  OK,
  refused,
  send,
  startReceivers,
  traceBytes,
  until,
} from './harness.ts'

const LIMIT = 1_000_000
let harness: Harness
let client: Client
let reply: (request: ExportRequest) => Promise<ExportAccepted> = async () => OK

beforeAll(async () => {
  harness = await startReceivers({
    grpc: { maxRecvMsgSizeBytes: LIMIT },
    accept: (request) => reply(request),
  })
  client = grpcClient(harness.grpcPort)
})
afterAll(async () => {
  client.close()
  await harness[Symbol.asyncDispose]()
})

function replying(next: typeof reply): Disposable {
  const before = reply
  reply = next
  return {
    [Symbol.dispose]() {
      reply = before
    },
  }
}

interface RawAnswer {
  readonly status: string | undefined
  readonly message: string | undefined
  readonly headers: Record<string, unknown>
  readonly data: Buffer
}

/** One call at the level of HTTP/2, for what a well-behaved client never sends. */
function raw(frames: readonly Uint8Array[], headers: Record<string, string> = {}): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${harness.grpcPort}`)
    session.on('error', reject)
    const stream = session.request({
      ':method': 'POST',
      ':path': EXPORT_PATH.traces,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    const seen: Record<string, unknown> = {}
    const chunks: Buffer[] = []
    stream.on('response', (head) => Object.assign(seen, head))
    stream.on('trailers', (trailers) => Object.assign(seen, trailers))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => {})
    stream.on('close', () => {
      session.destroy()
      resolve({
        status: seen['grpc-status'] as string | undefined,
        message: seen['grpc-message'] as string | undefined,
        headers: seen,
        data: Buffer.concat(chunks),
      })
    })
    for (const frame of frames) stream.write(frame)
    stream.end()
  })
}

function framed(message: Uint8Array, isCompressed = false): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = isCompressed ? 1 : 0
  prefix.writeUInt32BE(message.byteLength, 1)
  return Buffer.concat([prefix, message])
}

describe('success', () => {
  test.each(Object.entries(EXPORT_PATH))(
    '%s MUST be taken on %s, partial_success unset',
    async (signal, path) => {
      const seen = harness.seen.length
      const body = traceBytes(10)
      expect((await send(client, body, { path })).byteLength).toBe(0)
      expect(harness.seen[seen]).toMatchObject({ signal: signal as Signal })
      expect(Buffer.compare(harness.seen[seen]!.body, body)).toBe(0)
    },
  )

  test('an empty request SHOULD be a success', async () => {
    expect((await send(client, new Uint8Array(0))).byteLength).toBe(0)
  })

  test.each([
    [7, 'seven were refused'],
    [0, 'a warning only'],
  ])('partial success of %i and %j MUST be OK and be said', async (rejectedItems, message) => {
    using _ = replying(async () => ({ itemCount: 9, rejectedItems, message }))
    expect(decodeExportResponse(await send(client, traceBytes(5)))).toEqual({ rejectedItems, message })
  })

  test.each([[1], [16_384], [65_536], [300_000], [LIMIT - 20]])(
    "%i bytes arrive whole and are nobody else's",
    async (bytes) => {
      const seen = harness.seen.length
      const body = traceBytes(bytes)
      await send(client, body)
      const arrived = harness.seen[seen]!.body
      expect(Buffer.compare(arrived, body)).toBe(0)
      expect(arrived.buffer.byteLength).toBeLessThanOrEqual(body.byteLength + 5)
    },
  )

  test('a message may come byte by byte, its prefix too', async () => {
    const seen = harness.seen.length
    const whole = framed(traceBytes(40))
    const answer = await raw(Array.from(whole, (byte) => Uint8Array.of(byte)))
    expect(answer.status).toBe('0')
    expect(harness.seen[seen]!.body.byteLength).toBe(whole.byteLength - 5)
  })
})

describe('compression', () => {
  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ] as const)('%s arrives as the plain bytes', async (encoding, compress) => {
    const seen = harness.seen.length
    const body = traceBytes(50_000)
    const answer = await raw([framed(compress(body), true)], { 'grpc-encoding': encoding })
    expect(answer.status).toBe('0')
    expect(Buffer.compare(harness.seen[seen]!.body, body)).toBe(0)
  })

  test("grpc-js's own gzip is read", async () => {
    const seen = harness.seen.length
    const zipping = grpcClient(harness.grpcPort, undefined, { 'grpc.default_compression_algorithm': 2 })
    await send(zipping, traceBytes(50_000))
    zipping.close()
    expect(Buffer.compare(harness.seen[seen]!.body, traceBytes(50_000))).toBe(0)
  })

  test('a message that is not compressed is taken whatever the header says', async () => {
    expect((await raw([framed(traceBytes(5))], { 'grpc-encoding': 'snappy' })).status).toBe('0')
  })

  test('an encoding we do not read MUST be UNIMPLEMENTED and name those we do', async () => {
    const answer = await raw([framed(traceBytes(5), true)], { 'grpc-encoding': 'snappy' })
    expect(answer.status).toBe('12')
    expect(String(answer.headers['grpc-accept-encoding'])).toContain('zstd')
  })

  test.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ] as const)('%s that is cut off is INVALID_ARGUMENT', async (encoding, compress) => {
    const cut = compress(traceBytes(5_000)).subarray(0, -3)
    expect((await raw([framed(cut, true)], { 'grpc-encoding': encoding })).status).toBe('3')
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ] as const)('a %s bomb is RESOURCE_EXHAUSTED', async (encoding, compress) => {
    const bomb = compress(Buffer.alloc(16 * LIMIT))
    expect((await raw([framed(bomb, true)], { 'grpc-encoding': encoding })).status).toBe('8')
  })
})

describe('refusals', () => {
  test.each([
    ['MALFORMED', 3],
    ['TENANT_DENIED', 7],
    ['TOO_LARGE', 8],
    ['INTERNAL', 13],
  ] as const)('%s is %i without RetryInfo, so that nobody retries it', async (code, grpc) => {
    using _ = replying(() => Promise.reject(new SidecarError(code, 'because')))
    const error = await refused(send(client, traceBytes(5)))
    expect(error.code).toBe(grpc)
    expect(error.metadata.get('grpc-status-details-bin')).toEqual([])
  })

  test.each([
    ['OVERLOADED', 1_500],
    ['QUEUE_FULL', 30_000],
    ['STORE_FAILED', 1_000],
  ] as const)('%s SHOULD be UNAVAILABLE with RetryInfo of %i ms', async (code, retryAfterMs) => {
    using _ = replying(() => Promise.reject(new SidecarError(code, 'not now', { retryAfterMs })))
    const error = await refused(send(client, traceBytes(5)))
    expect([error.code, error.details]).toEqual([14, 'not now'])
    const [details] = error.metadata.get('grpc-status-details-bin')
    expect(decodeStatus(details as Buffer)).toEqual({
      code: 14,
      message: 'not now',
      retryDelayMs: retryAfterMs,
    })
  })

  test('what is thrown and not ours is INTERNAL and tells nothing', async () => {
    using _ = replying(() => Promise.reject(new Error('card 4111111111111111')))
    const error = await refused(send(client, traceBytes(5)))
    expect([error.code, error.details]).toEqual([13, 'internal error'])
  })

  test.each([
    [LIMIT, 'OK'],
    [LIMIT + 1, 8],
  ])('a message of %i bytes MUST be %s', async (bytes, expected) => {
    const sent = send(client, Buffer.alloc(bytes))
    if (expected === 'OK') expect((await sent).byteLength).toBe(0)
    else expect((await refused(sent)).code).toBe(expected)
  })

  test('a length of 4 GiB is refused from its five bytes alone', async () => {
    expect((await raw([Buffer.from([0, 0xff, 0xff, 0xff, 0xff])])).status).toBe('8')
  })

  test.each([
    ['two messages', [framed(traceBytes(5)), framed(traceBytes(5))], '3'],
    ['no message', [], '12'],
    ['half a prefix', [Buffer.from([0, 0, 0])], '12'],
    ['half a message', [framed(traceBytes(50)).subarray(0, 20)], '12'],
  ])('%s in one call never reaches the pipeline', async (_name, frames, status) => {
    const seen = harness.seen.length
    expect((await raw(frames)).status).toBe(status)
    expect(harness.seen.length).toBe(seen)
  })

  test('an unknown method is UNIMPLEMENTED, another content type is 415', async () => {
    const unknown = await refused(
      send(client, traceBytes(5), { path: '/opentelemetry.proto.collector.trace.v1.TraceService/Nope' }),
    )
    expect(unknown.code).toBe(12)
    expect((await raw([], { 'content-type': 'application/json' })).headers[':status']).toBe(415)
  })
})

describe('deadlines', () => {
  test("the client's deadline bounds the wait, ours bounds a longer one", async () => {
    const seen = harness.seen.length
    const startMs = performance.now()
    await send(client, traceBytes(5), { deadlineMs: 2_000 })
    await send(client, traceBytes(5), { deadlineMs: 60_000 })
    const [short, long] = harness.seen.slice(seen)
    expect(short!.deadlineMs - startMs).toBeLessThan(2_100)
    expect(short!.deadlineMs - startMs).toBeGreaterThan(1_000)
    expect(long!.deadlineMs - startMs).toBeLessThan(9_000)
    expect(long!.deadlineMs - startMs).toBeGreaterThan(7_500)
  })

  test.each([['99999999H'], ['99999999S']])(
    'a timeout of %s does not overflow into the past',
    async (timeout) => {
      expect((await raw([framed(traceBytes(5))], { 'grpc-timeout': timeout })).status).toBe('0')
    },
  )

  test('a client that leaves aborts the request', async () => {
    let aborted = false
    using _ = replying(
      ({ abort }) =>
        new Promise((resolve) => {
          abort.addEventListener('abort', () => {
            aborted = true
            resolve(OK)
          })
        }),
    )
    expect((await refused(send(client, traceBytes(5), { deadlineMs: 100 }))).code).toBe(4)
    await until(() => aborted && harness.admission.bytesUsed === 0)
  })
})

describe('grpc.health.v1', () => {
  const check = '/grpc.health.v1.Health/Check'
  const named = (name: string): Buffer => Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)])

  test.each([[''], ['opentelemetry.proto.collector.trace.v1.TraceService']])(
    '%j is SERVING',
    async (name) => {
      const request = name === '' ? Buffer.alloc(0) : named(name)
      expect([...(await send(client, request, { path: check }))]).toEqual([8, 1])
    },
  )

  test('an unknown service is NOT_FOUND', async () => {
    expect((await refused(send(client, named('nope'), { path: check }))).code).toBe(5)
  })
})

test('the HTTP/2 window of a stream is the one we set, so the private field is still where it was', async () => {
  const session = connect(`http://127.0.0.1:${harness.grpcPort}`)
  await until(() => session.remoteSettings?.initialWindowSize === 256 * 1024)
  expect(session.remoteSettings.maxConcurrentStreams).toBe(256)
  session.destroy()
  expect(constants.NGHTTP2_NO_ERROR).toBe(0)
})

test('no memory is held when all is answered', async () => {
  await until(() => harness.admission.bytesUsed === 0 && harness.admission.leaseCount === 0)
})
