// Clients that mean harm, or are merely broken. After each of them no memory may be held.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2'
import { connect, type Socket } from 'node:net'
import { zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Lease } from '../../../src/receivers/admission.ts'
import {
  EXPORT_PATH,
  grpcClient,
  type Harness,
  OK,
  PROTOBUF,
  post,
  refused,
  send,
  startReceivers,
  traceBytes,
  until,
} from './harness.ts'

const MIB = 1024 * 1024

async function isIdle(harness: Harness): Promise<void> {
  const { admission } = harness
  await until(() => admission.bytesUsed === 0 && admission.leaseCount === 0 && admission.waitingCount === 0)
}

async function holding({ admission }: Harness, bytes: number): Promise<Lease> {
  const lease = admission.open(performance.now() + 60_000, new AbortController().signal)
  await lease.grow(bytes)
  return lease
}

/** Resolves with all that came when the server closes. */
function talk(port: number, ...pieces: (string | Uint8Array)[]): { socket: Socket; closed: Promise<string> } {
  const socket = connect(port, '127.0.0.1', () => {
    for (const piece of pieces) socket.write(piece)
  })
  let seen = ''
  socket.on('data', (chunk) => {
    seen += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(seen))) }
}

const HEAD = `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${PROTOBUF}\r\n`
const TIGHT = { headersTimeoutMs: 200, bodyTimeoutMs: 200, idleTimeoutMs: 400 }

describe('slow senders', () => {
  test.each([
    ['nothing at all', ''],
    ['half a request line', 'POST /v1/tr'],
    ['headers without an end', `${HEAD}X-A: 1\r\n`],
    ['a body that stops', `${HEAD}Content-Length: 100\r\n\r\nabc`],
    ['a chunk that stops', `${HEAD}Transfer-Encoding: chunked\r\n\r\nff\r\nabc`],
  ])('over HTTP %s is cut', async (_name, text) => {
    await using harness = await startReceivers({ http: TIGHT })
    await talk(harness.httpPort, text).closed
    await isIdle(harness)
  })

  test('over HTTP a declared 64 MiB that never comes holds what came of it', async () => {
    await using harness = await startReceivers({ http: TIGHT })
    const { closed } = talk(harness.httpPort, `${HEAD}Content-Length: ${64 * MIB}\r\n\r\nabc`)
    await until(() => harness.admission.bytesUsed === 3)
    expect(await closed).toMatch(/^HTTP\/1\.1 503 [\s\S]*Connection: close/)
    await isIdle(harness)
  })

  test.each([
    ['nothing at all', new Uint8Array(0)],
    ['half a preface', Buffer.from('PRI * HTTP/2.0\r\n')],
    ['the preface and no SETTINGS', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ])('over gRPC %s is cut', async (_name, bytes) => {
    await using harness = await startReceivers({ grpc: TIGHT })
    await talk(harness.grpcPort, bytes).closed
    await isIdle(harness)
  })

  test('over gRPC a message that stops is answered and its memory comes back', async () => {
    await using harness = await startReceivers({ grpc: TIGHT })
    const { session, status } = openExport(harness.grpcPort, Buffer.from([0, 0, 1, 0, 0, 1, 2, 3]))
    expect(await status).toBe('14')
    await isIdle(harness)
    session.destroy()
  })

  test('an idle gRPC connection is sent away', async () => {
    await using harness = await startReceivers({ grpc: TIGHT })
    const session = connectHttp2(`http://127.0.0.1:${harness.grpcPort}`)
    await new Promise((resolve) => session.on('close', resolve))
  })
})

describe('clients that leave', () => {
  test('in the middle of an HTTP body', async () => {
    await using harness = await startReceivers()
    const { socket } = talk(harness.httpPort, `${HEAD}Content-Length: 100000\r\n\r\nabc`)
    await until(() => harness.admission.bytesUsed === 3)
    socket.destroy()
    await isIdle(harness)
    expect(harness.seen.length).toBe(0)
    await until(() => harness.admission.leaseCount === 0)
    expect(await harness.registry.getSingleMetricAsString('betrace_receiver_requests_total')).toContain(
      'CANCELLED',
    )
  })

  test('in the middle of a gRPC message', async () => {
    await using harness = await startReceivers()
    const { session } = openExport(harness.grpcPort, Buffer.from([0, 0, 1, 0, 0, 1, 2, 3]))
    await until(() => harness.admission.bytesUsed === 3)
    session.destroy()
    await isIdle(harness)
    expect(harness.seen.length).toBe(0)
  })

  test('while they wait for memory', async () => {
    await using harness = await startReceivers({ admission: { bytesMax: 1_000 } })
    const holder = await holding(harness, 1_000)
    const { socket } = talk(harness.httpPort, `${HEAD}Content-Length: 500\r\n\r\nabc`)
    const { session } = openExport(harness.grpcPort, Buffer.from([0, 0, 0, 1, 0, 1, 2, 3]))
    await until(() => harness.admission.waitingCount === 2)
    socket.destroy()
    session.destroy()
    await until(() => harness.admission.waitingCount === 0)
    holder.release()
    await isIdle(harness)
  })
})

describe('more than there is room for', () => {
  test('waits: 1,000 at once over both transports, in a budget of ten, all get OK', async () => {
    const body = traceBytes(900)
    let inFlightBytesMax = 0
    await using harness = await startReceivers({
      admission: { bytesMax: 10 * body.byteLength },
      http: { waitMsMax: 15_000 },
      grpc: { waitMsMax: 15_000 },
      accept: async () => {
        inFlightBytesMax = Math.max(inFlightBytesMax, harness.admission.bytesUsed)
        await new Promise((resolve) => setImmediate(resolve))
        return OK
      },
    })
    const client = grpcClient(harness.grpcPort)
    const calls = Array.from({ length: 1_000 }, (_, index) =>
      index % 2 === 0
        ? send(client, body, { deadlineMs: 18_000 }).then(() => 'OK')
        : // Every other one chunked, as the JS exporters send.
          post(harness.httpPort, {
            body: index % 4 === 1 ? [body.subarray(0, 400), body.subarray(400)] : body,
          }).then(({ status }) => (status === 200 ? 'OK' : String(status))),
    )
    const outcomes = await Promise.all(calls)
    client.close()
    expect(outcomes.filter((outcome) => outcome !== 'OK')).toEqual([])
    expect(inFlightBytesMax).toBeGreaterThan(0)
    expect(inFlightBytesMax).toBeLessThanOrEqual(10 * body.byteLength)
    await isIdle(harness)
  })

  test('is refused with a hint when the wait is over, over both transports', async () => {
    await using harness = await startReceivers({
      admission: { bytesMax: 1_000 },
      http: { waitMsMax: 100 },
      grpc: { waitMsMax: 100 },
    })
    const holder = await holding(harness, 1_000)
    const client = grpcClient(harness.grpcPort)
    const [overHttp, overGrpc] = await Promise.all([
      post(harness.httpPort, { body: traceBytes(500) }),
      refused(send(client, traceBytes(500))),
    ])
    client.close()
    expect([overHttp.status, overGrpc.code]).toEqual([503, 14])
    expect(Number(overHttp.headers['retry-after'])).toBeGreaterThan(0)
    expect(overGrpc.metadata.get('grpc-status-details-bin').length).toBe(1)
    holder.release()
    await isIdle(harness)
  })

  test('large gRPC messages are held back by flow control, not by our memory', async () => {
    const body = traceBytes(8 * MIB)
    await using harness = await startReceivers({ admission: { bytesMax: 20 * MIB } })
    const client = grpcClient(harness.grpcPort)
    let bytesUsedMax = 0
    const watch = setInterval(() => {
      bytesUsedMax = Math.max(bytesUsedMax, harness.admission.bytesUsed)
    }, 1)
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, () =>
        send(client, body).then(
          () => 'OK',
          (error: { code: number }) => error.code,
        ),
      ),
    )
    clearInterval(watch)
    client.close()
    // Six that grow into a room for two: some may be told to come back, none may fail otherwise.
    expect(outcomes.filter((outcome) => outcome !== 'OK' && outcome !== 14)).toEqual([])
    expect(outcomes.filter((outcome) => outcome === 'OK').length).toBeGreaterThanOrEqual(2)
    expect(bytesUsedMax).toBeLessThanOrEqual(20 * MIB)
    await isIdle(harness)
  })

  test('a gRPC client can send no more than the window until there is room, then all of it', async () => {
    const pieceBytes = 64 * 1024
    const pieceCount = 128
    await using harness = await startReceivers({ admission: { bytesMax: 10 * MIB } })
    const holder = await holding(harness, 10 * MIB)
    const prefix = Buffer.from([0, 0, 0x80, 0, 0])
    const { session, stream, status } = openExport(harness.grpcPort, prefix)
    let bytesTaken = 0
    for (let piece = 0; piece < pieceCount; piece++) {
      stream.write(Buffer.alloc(pieceBytes), () => {
        bytesTaken += pieceBytes
      })
    }
    stream.end()
    await until(() => harness.admission.waitingCount === 1)
    // Each ping is answered behind everything that was sent before it.
    for (let ping = 0; ping < 50; ping++) await new Promise((resolve) => session.ping(resolve))
    expect(bytesTaken).toBeLessThanOrEqual(MIB)
    holder.release()
    expect(await status).toBe('0')
    expect(harness.seen[0]!.body.byteLength).toBe(pieceBytes * pieceCount)
    session.destroy()
    await isIdle(harness)
  })

  test('of calls at once is refused retryably', async () => {
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    await using harness = await startReceivers({
      grpc: { callsMax: 2 },
      accept: async () => {
        await gate
        return OK
      },
    })
    const client = grpcClient(harness.grpcPort)
    const first = [send(client, traceBytes(5)), send(client, traceBytes(5))]
    await until(() => harness.seen.length === 2)
    expect((await refused(send(client, traceBytes(5)))).code).toBe(14)
    open()
    await Promise.all(first)
    client.close()
  })

  test('of connections takes the place of the one that has been idle longest', async () => {
    await using harness = await startReceivers({ http: { connectionsMax: 2 }, grpc: { connectionsMax: 2 } })
    for (const port of [harness.httpPort, harness.grpcPort]) {
      const idle: ReturnType<typeof talk>[] = []
      for (let at = 0; at < 3; at++) {
        idle.push(talk(port))
        await new Promise((resolve) => idle[at]!.socket.on('connect', resolve))
      }
      await idle[0]!.closed
      expect(idle.map(({ socket }) => socket.destroyed)).toEqual([true, false, false])
      for (const { socket } of idle) socket.destroy()
    }
  })

  test('of connections is dropped where each has a request under way, and those go on', async () => {
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    await using harness = await startReceivers({
      http: { connectionsMax: 2 },
      grpc: { connectionsMax: 1 },
      accept: async () => {
        await gate
        return OK
      },
    })
    const client = grpcClient(harness.grpcPort)
    const underWay = [
      send(client, traceBytes(5)),
      post(harness.httpPort, { body: traceBytes(5) }),
      post(harness.httpPort, { body: traceBytes(5) }),
    ]
    await until(() => harness.seen.length === 3)
    await Promise.all([talk(harness.httpPort, 'x').closed, talk(harness.grpcPort, 'x').closed])
    open()
    await Promise.all(underWay)
    client.close()
  })

  test('of idle connections keeps nobody out', async () => {
    await using harness = await startReceivers({ http: { connectionsMax: 20 }, grpc: { connectionsMax: 20 } })
    const idle: Socket[] = []
    for (let at = 0; at < 25; at++) {
      for (const port of [harness.httpPort, harness.grpcPort]) {
        const { socket } = talk(port, port === harness.grpcPort ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' : '')
        await new Promise((resolve) => socket.on('connect', resolve))
        idle.push(socket)
      }
    }
    const client = grpcClient(harness.grpcPort)
    await send(client, traceBytes(5))
    expect((await post(harness.httpPort, { body: traceBytes(5) })).status).toBe(200)
    client.close()
    for (const socket of idle) socket.destroy()
  })
})

describe('endless and crafted bodies', () => {
  test('an endless chunked body is answered 413 and then cut', async () => {
    await using harness = await startReceivers({ http: { maxRequestBodySizeBytes: 100_000 } })
    const { socket, closed } = talk(harness.httpPort, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`)
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')])
    const pump = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('drain', pump)
    socket.on('connect', pump)
    expect(await closed).toMatch(/^HTTP\/1\.1 413 /)
    await isIdle(harness)
  })

  test('a gRPC message in single-byte frames is refused long before it is whole', async () => {
    await using harness = await startReceivers()
    const oneByte = frame(0x0, 0, Buffer.alloc(1))
    const { socket } = talk(
      harness.grpcPort,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      frame(0x4, 0, Buffer.alloc(0), 0),
      frame(0x1, 0x4, headerBlock()),
      frame(0x0, 0, Buffer.from([0, 0, 1, 0, 0])),
      Buffer.concat(Array.from({ length: 6_000 }, () => oneByte)),
    )
    let counted = ''
    await until(() => {
      void harness.registry.getSingleMetricAsString('betrace_receiver_requests_total').then((text) => {
        counted = text
      })
      return counted.includes('code="MALFORMED"} 1')
    })
    socket.destroy()
    await isIdle(harness)
  })

  test('a bomb over HTTP is 413 and its memory comes back', async () => {
    await using harness = await startReceivers()
    const bomb = zstdCompressSync(Buffer.alloc(128 * MIB))
    expect(
      (await post(harness.httpPort, { body: bomb, headers: { 'content-encoding': 'zstd' } })).status,
    ).toBe(413)
    await isIdle(harness)
  })

  test("a length and chunks at once, the smuggler's tool, is refused by the parser", async () => {
    await using harness = await startReceivers()
    const text = `${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nabc`
    expect(await talk(harness.httpPort, text).closed).toMatch(/^HTTP\/1\.1 400 /)
    expect(harness.seen.length).toBe(0)
  })

  test('a handler that fails in an unforeseen way answers 500 / INTERNAL and goes on', async () => {
    await using harness = await startReceivers({
      accept: () => {
        throw new TypeError('undefined is not a function')
      },
    })
    const client = grpcClient(harness.grpcPort)
    expect((await post(harness.httpPort, { body: traceBytes(5) })).status).toBe(500)
    expect((await refused(send(client, traceBytes(5)))).code).toBe(13)
    client.close()
    await isIdle(harness)
  })
})

function openExport(
  port: number,
  bytes: Uint8Array,
): { session: ClientHttp2Session; stream: ClientHttp2Stream; status: Promise<string> } {
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  const stream = session.request({
    ':method': 'POST',
    ':path': EXPORT_PATH.traces,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  stream.on('error', () => {})
  // In the headers of an answer without a message, else in the trailers.
  const status = new Promise<string>((resolve) => {
    const look = (fields: IncomingHttpHeaders): void => {
      if (fields['grpc-status'] !== undefined) resolve(String(fields['grpc-status']))
    }
    stream.on('response', look)
    stream.on('trailers', look)
    stream.resume()
  })
  stream.write(bytes)
  return { session, stream, status }
}

/** One HTTP/2 frame (RFC 9113 §4.1), by hand: libraries join small writes. */
function frame(type: number, flags: number, payload: Uint8Array, streamId = 1): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.byteLength, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

/** The headers of an Export call as HPACK literals without indexing (RFC 7541 §6.2.2). */
function headerBlock(): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  const fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', EXPORT_PATH.traces],
    [':authority', 'x'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ] as const
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}
