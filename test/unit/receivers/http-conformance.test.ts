// OTLP 1.11, what a server MUST and SHOULD over HTTP, each line in our words, against a real socket.
import { connect } from 'node:net'
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SidecarError } from '../../../src/base/errors.ts'
import type { ExportAccepted, ExportRequest } from '../../../src/pipeline/pipeline.ts'
import { decodeExportResponse, decodeStatus, RETRY_INFO } from './decode.ts'
import { type Harness, JSON_TYPE, OK, PROTOBUF, post, startReceivers, traceBytes } from './harness.ts'

const LIMIT = 10_000
let harness: Harness
let reply: (request: ExportRequest) => Promise<ExportAccepted> = async () => OK

beforeAll(async () => {
  harness = await startReceivers({
    http: { maxRequestBodySizeBytes: LIMIT },
    accept: (request) => reply(request),
  })
})
afterAll(async () => {
  await harness[Symbol.asyncDispose]()
})

const JSON_HEADERS = { 'content-type': JSON_TYPE }
const EMPTY_JSON = Buffer.from('{}')

function replying(next: typeof reply): Disposable {
  const before = reply
  reply = next
  return {
    [Symbol.dispose]() {
      reply = before
    },
  }
}

describe('request', () => {
  test.each([
    ['/v1/traces', 'traces'],
    ['/v1/logs', 'logs'],
    ['/v1/metrics', 'metrics'],
    ['/v1/traces?x=1', 'traces'],
  ])('MUST be taken by POST on the default path %s', async (path, signal) => {
    const seen = harness.seen.length
    const answer = await post(harness.httpPort, { path, body: traceBytes(10) })
    expect(answer.status).toBe(200)
    expect(harness.seen[seen]).toMatchObject({ signal })
  })

  test.each([['GET'], ['PUT'], ['DELETE'], ['OPTIONS'], ['PATCH']])(
    '%s is 405 and names POST',
    async (method) => {
      const answer = await post(harness.httpPort, { method })
      expect(answer.status).toBe(405)
      expect(answer.headers.allow).toBe('POST')
    },
  )

  test.each([
    ['/'],
    ['/v1/traces/'],
    ['/v1/profiles'],
    ['/v1/Traces'],
    ['/V1/traces'],
    ['//v1/traces'],
    ['/__proto__'],
  ])('path %s is 404 with a Status', async (path) => {
    const answer = await post(harness.httpPort, { path, headers: JSON_HEADERS, body: EMPTY_JSON })
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 5 })
  })

  test.each([
    ['application/x-protobuf', PROTOBUF],
    ['application/x-protobuf; charset=utf-8', PROTOBUF],
    ['Application/X-Protobuf', PROTOBUF],
    ['application/json', JSON_TYPE],
    ['application/json;charset=UTF-8', JSON_TYPE],
    ['APPLICATION/JSON ; a="b;c"', JSON_TYPE],
  ])('MUST take content type %s and answer with the same type', async (type, expected) => {
    const body = expected === JSON_TYPE ? EMPTY_JSON : traceBytes(1)
    const answer = await post(harness.httpPort, { headers: { 'content-type': type }, body })
    expect([answer.status, answer.headers['content-type']]).toEqual([200, expected])
  })

  test.each([['text/plain'], ['application/protobuf'], ['application/jsonx'], ['application/grpc'], ['']])(
    'content type %j is 415 and names both that are taken',
    async (type) => {
      const answer = await post(harness.httpPort, {
        headers: { 'content-type': type },
        body: Buffer.from('x'),
      })
      expect(answer.status).toBe(415)
      expect(answer.body.toString()).toContain('application/x-protobuf or application/json')
    },
  )

  test.each([
    ['identity', (bytes: Uint8Array) => bytes],
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ] as const)('MAY be compressed: %s arrives as the plain bytes', async (coding, compress) => {
    const seen = harness.seen.length
    const body = traceBytes(5_000)
    const answer = await post(harness.httpPort, {
      headers: { 'content-encoding': coding },
      body: compress(body),
    })
    expect(answer.status).toBe(200)
    expect(Buffer.compare(harness.seen[seen]!.body, body)).toBe(0)
  })

  test('another content encoding is 415 and says which are taken', async () => {
    const answer = await post(harness.httpPort, {
      headers: { 'content-encoding': 'snappy' },
      body: traceBytes(5),
    })
    expect([answer.status, answer.headers['accept-encoding']]).toEqual([415, 'identity, gzip, deflate, zstd'])
  })

  test('a chunked body without a length arrives whole', async () => {
    const seen = harness.seen.length
    const body = traceBytes(5_000)
    const pieces = [body.subarray(0, 1), body.subarray(1, 2_000), body.subarray(2_000)]
    expect((await post(harness.httpPort, { body: pieces })).status).toBe(200)
    expect(Buffer.compare(harness.seen[seen]!.body, body)).toBe(0)
  })
})

describe('success', () => {
  test('MUST be 200 with a response message, partial_success unset', async () => {
    const answer = await post(harness.httpPort, { body: traceBytes(5) })
    expect([answer.status, answer.body.byteLength]).toEqual([200, 0])
    const json = await post(harness.httpPort, { headers: JSON_HEADERS, body: EMPTY_JSON })
    expect(json.body.toString()).toBe('{}')
  })

  test('an empty request SHOULD be a success', async () => {
    expect((await post(harness.httpPort)).status).toBe(200)
    expect((await post(harness.httpPort, { headers: JSON_HEADERS, body: EMPTY_JSON })).status).toBe(200)
  })

  test.each([
    [7, 'seven were refused'],
    [0, 'a warning only'],
    [3_000_000_000, ''],
  ])('partial success of %i and %j MUST be 200 and be said', async (rejectedItems, message) => {
    using _ = replying(async () => ({ itemCount: 9, rejectedItems, message }))
    const answer = await post(harness.httpPort, { path: '/v1/logs', body: traceBytes(5) })
    expect(answer.status).toBe(200)
    expect(decodeExportResponse(answer.body)).toEqual({ rejectedItems, message })
    const json = await post(harness.httpPort, { path: '/v1/logs', headers: JSON_HEADERS, body: EMPTY_JSON })
    const said = JSON.parse(json.body.toString()).partialSuccess
    expect([said.rejectedLogRecords ?? '0', said.errorMessage ?? '']).toEqual([
      String(rejectedItems),
      message,
    ])
  })
})

describe('failure', () => {
  test.each([
    ['MALFORMED', 400, 3],
    ['TENANT_DENIED', 403, 7],
    ['TOO_LARGE', 413, 8],
    ['INTERNAL', 500, 13],
  ] as const)(
    '%s MUST NOT look retryable: %i with a Status and no Retry-After',
    async (code, status, grpc) => {
      using _ = replying(() => Promise.reject(new SidecarError(code, 'because')))
      const answer = await post(harness.httpPort, { body: traceBytes(5) })
      expect([answer.status, answer.headers['retry-after']]).toEqual([status, undefined])
      expect(decodeStatus(answer.body)).toMatchObject({ code: grpc, retryDelayMs: undefined })
    },
  )

  test.each([
    ['OVERLOADED', 1_001, '2'],
    ['QUEUE_FULL', 5_000, '5'],
    ['KEY_UNAVAILABLE', undefined, '1'],
  ] as const)(
    '%s MUST be 503 and SHOULD carry Retry-After, in whole seconds rounded up',
    async (code, retryAfterMs, seconds) => {
      const options = retryAfterMs === undefined ? {} : { retryAfterMs }
      using _ = replying(() => Promise.reject(new SidecarError(code, 'not now', options)))
      const answer = await post(harness.httpPort, { body: traceBytes(5) })
      expect([answer.status, answer.headers['retry-after']]).toEqual([503, seconds])
      expect(decodeStatus(answer.body)).toEqual({
        code: 14,
        message: 'not now',
        retryDelayMs: retryAfterMs ?? 1_000,
      })
      const json = await post(harness.httpPort, { headers: JSON_HEADERS, body: EMPTY_JSON })
      expect(json.headers['content-type']).toBe(JSON_TYPE)
      const delay = `${(retryAfterMs ?? 1_000) / 1_000}s`
      expect(JSON.parse(json.body.toString()).details).toEqual([{ '@type': RETRY_INFO, retryDelay: delay }])
    },
  )

  test.each([
    ['protobuf', PROTOBUF, {}],
    ['JSON', JSON_TYPE, {}],
  ])('malformed %s MUST be 400 with a Status in the same encoding', async (_name, type) => {
    using _ = replying(() => Promise.reject(new SidecarError('MALFORMED', 'frame overruns its parent')))
    const answer = await post(harness.httpPort, {
      headers: { 'content-type': type },
      body: Buffer.from('{"x'),
    })
    expect([answer.status, answer.headers['content-type']]).toEqual([400, type])
    const code = type === JSON_TYPE ? JSON.parse(answer.body.toString()).code : decodeStatus(answer.body).code
    expect(code).toBe(3)
  })

  test('what is thrown and not ours is 500 and tells nothing', async () => {
    using _ = replying(() => Promise.reject(new Error('card 4111111111111111')))
    const answer = await post(harness.httpPort, { body: traceBytes(5) })
    expect(answer.status).toBe(500)
    expect(decodeStatus(answer.body)).toEqual({
      code: 13,
      message: 'internal error',
      retryDelayMs: undefined,
    })
  })
})

describe('size: MUST be 413, before and after decompression', () => {
  test.each([
    [LIMIT, 200],
    [LIMIT + 1, 413],
  ])('%i bytes: %i, declared, chunked, compressed', async (bytes, status) => {
    const body = Buffer.alloc(bytes)
    expect((await post(harness.httpPort, { body })).status).toBe(status)
    expect((await post(harness.httpPort, { body: [body.subarray(0, 100), body.subarray(100)] })).status).toBe(
      status,
    )
    const headers = { 'content-encoding': 'gzip' }
    expect((await post(harness.httpPort, { body: gzipSync(body), headers })).status).toBe(status)
  })

  test('a declared size is refused before a byte of the body is sent', async () => {
    const answer = await raw(
      `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: ${LIMIT + 1}\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
  })
})

describe('Expect: 100-continue', () => {
  const head = (length: number): string =>
    `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`

  test('is answered 100, then 200', async () => {
    const body = traceBytes(10)
    const answer = await raw(head(body.byteLength), (text) =>
      text.includes('100 Continue') ? body : undefined,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  })

  test('is answered 413 and nothing else when the body is too large', async () => {
    const answer = await raw(head(LIMIT + 1))
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer.toLowerCase()).toContain('connection: close')
  })
})

test('a connection is kept: one socket carries answers and refusals one after the other', async () => {
  const request = (type: string, body: string): string =>
    `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const answer = await raw(
    request('text/plain', 'hello') + request(PROTOBUF, '') + request(JSON_TYPE, '{}'),
    () => undefined,
    (text) => text.split('HTTP/1.1').length === 4,
  )
  expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1])).toEqual(['415', '200', '200'])
})

test('no memory is held when all is answered', () => {
  expect(harness.admission.bytesUsed).toBe(0)
  expect(harness.admission.leaseCount).toBe(0)
})

/** Raw bytes over TCP until a final answer is complete. */
function raw(
  text: string,
  next: (seen: string) => Uint8Array | undefined = () => undefined,
  isDone: (seen: string) => boolean = (seen) => /HTTP\/1\.1 [2-5]\d\d [\s\S]*\r\n\r\n/.test(seen),
): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = ''
    const socket = connect(harness.httpPort, '127.0.0.1', () => socket.write(text))
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1')
      const more = next(seen)
      if (more) socket.write(more)
      if (isDone(seen)) {
        socket.destroy()
        resolve(seen)
      }
    })
    socket.on('close', () => resolve(seen))
  })
}
