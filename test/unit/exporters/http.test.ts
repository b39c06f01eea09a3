import type { IncomingMessage, ServerResponse } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { HttpExporter, retryAfterMs } from '../../../src/exporters/http.ts'
import type { HttpExporterOptions } from '../../../src/exporters/options.ts'
import type { SendOutcome } from '../../../src/exporters/sender.ts'
import { encodeResponse } from '../../../src/wire/reply.ts'
import { deadEndpoint, httpPeer, neverAborted, pem, tcpPeer } from './peers.ts'

async function exporter(endpoint: string, options: Partial<HttpExporterOptions> = {}): Promise<HttpExporter> {
  const made = new HttpExporter('otlp_http/test', { endpoint, ...options })
  onTestFinished(() => made.close())
  await made.start()
  return made
}

const read = async (request: IncomingMessage) => Buffer.concat(await request.toArray())
const send = async (endpoint: string, options: Partial<HttpExporterOptions> = {}) =>
  (await exporter(endpoint, options)).send('traces', Buffer.from('body'), neverAborted)

describe('what arrives', () => {
  test.each(['', '/', '/otlp', '/otlp/'])('below the path %j is the body as it was given', async (path) => {
    const seen: { url: string | undefined; body: Buffer; headers: IncomingMessage['headers'] }[] = []
    const endpoint = await httpPeer(async (request, response) => {
      seen.push({ url: request.url, body: await read(request), headers: request.headers })
      response.end()
    })
    const sender = await exporter(endpoint + path, { headers: new Map([['X-Key', { reveal: () => 'k' }]]) })
    const body = Buffer.alloc(300_000, 3)
    for (const signal of ['traces', 'logs', 'metrics'] as const)
      expect((await sender.send(signal, body, neverAborted)).kind).toBe('ok')
    const base = path.replace(/\/$/, '')
    expect(seen.map(({ url }) => url)).toEqual(
      ['traces', 'logs', 'metrics'].map((signal) => `${base}/v1/${signal}`),
    )
    expect(seen[0].body.equals(body)).toBe(true)
    expect(seen[0].headers).toMatchObject({
      'content-type': 'application/x-protobuf',
      'x-key': 'k',
      'content-length': '300000',
    })
    expect(seen[0].headers['content-encoding']).toBeUndefined()
  })

  test('is gzip when that was asked for', async () => {
    let body = Buffer.of()
    const endpoint = await httpPeer(async (request, response) => {
      expect(request.headers['content-encoding']).toBe('gzip')
      body = gunzipSync(await read(request))
      response.end()
    })
    expect((await send(endpoint, { compression: 'gzip' })).kind).toBe('ok')
    expect(body.toString()).toBe('body')
  })

  test('uses one connection again', async () => {
    const ports = new Set<number | undefined>()
    const endpoint = await httpPeer(async (request, response) => {
      ports.add(request.socket.remotePort)
      await read(request)
      response.end()
    })
    const sender = await exporter(endpoint)
    for (let i = 0; i < 5; i++) await sender.send('traces', Buffer.of(1), neverAborted)
    expect(ports.size).toBe(1)
  })
})

describe('what the peer says', () => {
  const answering = (act: (response: ServerResponse) => void) =>
    httpPeer(async (request, response) => {
      await read(request)
      act(response)
    })

  test('in a web page with status 200 is a proxy, and no delivery', async () => {
    const page = await answering((response) =>
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<p>log in</p>'),
    )
    expect(await send(page)).toEqual({
      kind: 'retry',
      afterMs: undefined,
      reason: 'not_otlp',
      needsMending: true,
    })
    const empty = await answering((response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end(),
    )
    expect((await send(empty)).kind).toBe('ok')
  })

  const OUTCOMES: readonly (readonly [status: number, json: string, webPage: string])[] = [
    [200, 'ok', 'mend'],
    [202, 'ok', 'mend'],
    [204, 'ok', 'ok'],
    [300, 'mend', 'mend'],
    [301, 'mend', 'mend'],
    [302, 'mend', 'mend'],
    [303, 'mend', 'mend'],
    [307, 'mend', 'mend'],
    [308, 'mend', 'mend'],
    [400, 'refused', 'mend'],
    [401, 'mend', 'mend'],
    [402, 'mend', 'mend'],
    [403, 'mend', 'mend'],
    [404, 'mend', 'mend'],
    [405, 'mend', 'mend'],
    [406, 'mend', 'mend'],
    [407, 'mend', 'mend'],
    [408, 'wait', 'wait'],
    [409, 'refused', 'mend'],
    [410, 'mend', 'mend'],
    [411, 'mend', 'mend'],
    [413, 'refused', 'refused'],
    [414, 'mend', 'mend'],
    [415, 'mend', 'mend'],
    [421, 'mend', 'mend'],
    [422, 'refused', 'mend'],
    [425, 'wait', 'wait'],
    [426, 'mend', 'mend'],
    [429, 'wait', 'wait'],
    [431, 'mend', 'mend'],
    [451, 'mend', 'mend'],
    [499, 'mend', 'mend'],
    [500, 'refused', 'mend'],
    [501, 'mend', 'mend'],
    [502, 'wait', 'wait'],
    [503, 'wait', 'wait'],
    [504, 'wait', 'wait'],
    [505, 'mend', 'mend'],
    [507, 'mend', 'mend'],
    [511, 'mend', 'mend'],
    [520, 'wait', 'wait'],
    [599, 'wait', 'wait'],
  ]
  const inOneWord = (outcome: SendOutcome) =>
    outcome.kind === 'retry' ? (outcome.needsMending ? 'mend' : 'wait') : outcome.kind

  test.each(OUTCOMES)('in %i means %s, and as a web page %s', async (status, json, webPage) => {
    const seen: string[] = []
    for (const type of ['application/json', 'text/html']) {
      const endpoint = await answering((response) =>
        response
          .writeHead(status, { location: 'http://127.0.0.1:1/v1/traces', 'content-type': type })
          .end('<p>no</p>'),
      )
      seen.push(inOneWord(await send(endpoint)))
    }
    expect(seen).toEqual([json, webPage])
  })

  test('in Retry-After is passed on', async () => {
    const endpoint = await answering((response) => response.writeHead(503, { 'retry-after': '2' }).end())
    expect(await send(endpoint)).toEqual({ kind: 'retry', afterMs: 2_000, reason: 'http_503' })
  })

  test.each([
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 1970 00:01:00 GMT', 50_000],
    ['Thu, 01 Jan 1970 00:00:05 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    [undefined, undefined],
  ])('as Retry-After %j means %j ms', (value, expected) => {
    expect(retryAfterMs(value, 10_000)).toBe(expected)
  })

  test('in a partial success is counted', async () => {
    const endpoint = await answering((response) => {
      response.setHeader('content-type', 'application/x-protobuf')
      response.end(encodeResponse({ rejectedItems: 4, message: 'no' }))
    })
    expect(await send(endpoint)).toEqual({ kind: 'ok', rejectedItems: 4, message: 'no' })
  })

  test.each([
    [200, { kind: 'ok', rejectedItems: 0, message: 'the answer was too large to be read' }],
    [503, { kind: 'retry', afterMs: undefined, reason: 'http_503' }],
    [400, { kind: 'refused', reason: 'http_400' }],
  ])(
    'in %i with more than 4 MiB is what the status says, also when it never ends',
    async (status, expected) => {
      for (const isEndless of [false, true]) {
        const endpoint = await answering((response) => {
          response.writeHead(status)
          if (!isEndless) return void response.end(Buffer.alloc(5_000_000))
          const pour = () => {
            while (response.writable && response.write(Buffer.alloc(1_000_000)));
          }
          response.on('drain', pour)
          response.on('error', () => undefined)
          pour()
        })
        expect(await send(endpoint, { timeoutMs: 5_000 })).toEqual(expected)
      }
    },
  )

  test('slowly, byte by byte without an end, is a timeout', async () => {
    const endpoint = await answering((response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('x'), 10)
      response.on('close', () => clearInterval(timer))
    })
    expect(await send(endpoint, { timeoutMs: 200 })).toMatchObject({ kind: 'retry', reason: 'timeout' })
  })
})

describe('trouble on the way', () => {
  test('nobody listening, silence, a reset and half an answer are retried', async () => {
    const silent = await tcpPeer(() => undefined)
    const reset = await tcpPeer((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const half = await tcpPeer((socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')),
    )
    for (const endpoint of [await deadEndpoint(), silent, reset, half]) {
      expect((await send(`http://${endpoint}`, { timeoutMs: 200 })).kind, endpoint).toBe('retry')
    }
  })

  test('an abort rejects', async () => {
    const endpoint = await tcpPeer(() => undefined)
    const controller = new AbortController()
    const sending = (await exporter(`http://${endpoint}`)).send('traces', Buffer.of(1), controller.signal)
    setTimeout(() => controller.abort(new Error('stop')), 30)
    await expect(sending).rejects.toThrow('stop')
  })
})

describe('TLS', () => {
  test('is checked against the given authority', async () => {
    const endpoint = await httpPeer(async (request, response) => {
      await read(request)
      response.end()
    }, true)
    expect((await send(endpoint, { tls: { insecure: false, caFile: pem('ca.pem') } })).kind).toBe('ok')
    const failed = { kind: 'retry', afterMs: undefined, reason: 'tls_failed', needsMending: true }
    expect(await send(endpoint)).toEqual(failed)
    expect(await send(endpoint, { tls: { insecure: false, caFile: pem('stranger-ca.pem') } })).toEqual(failed)
    expect(await send(endpoint.replace('127.0.0.1', 'localhost').replace('https', 'http'))).toMatchObject({
      kind: 'retry',
    })
  })
})

test.each(['', 'host:4318', 'ftp://host'])('the endpoint %j is refused at the start', async (endpoint) => {
  await expect(new HttpExporter('x', { endpoint }).start()).rejects.toMatchObject({ code: 'CONFIG' })
})
