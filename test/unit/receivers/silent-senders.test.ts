// Clients that declare much and send nothing. What they declare is their own; who sends what it said is served at once.
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { type Arrival, Arrivals } from '../../../src/receivers/arrivals.ts'
import {
  EXPORT_PATH,
  grpcClient,
  type Harness,
  OK,
  PROTOBUF,
  post,
  send,
  startReceivers,
  traceBytes,
  until,
} from './harness.ts'

const MIB = 1024 * 1024
const STREAMS = 256

/** Streams of one connection that each send this and then nothing. */
async function silentConnection(
  port: number,
  streams: number,
  bytes: Uint8Array,
): Promise<ClientHttp2Session> {
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  for (let at = 0; at < streams; at++) {
    const headers = { ':method': 'POST', ':path': EXPORT_PATH.traces, 'content-type': 'application/grpc' }
    const stream = session.request(headers)
    stream.on('error', () => {})
    stream.write(bytes)
  }
  // Answered behind everything that was sent before it.
  await new Promise((resolve) => session.ping(resolve))
  return session
}

function declaring(bytes: number, sent = 1): Buffer {
  const message = Buffer.alloc(5 + sent)
  message.writeUInt32BE(bytes, 1)
  return message
}

function silentSocket(port: number): Promise<Socket> {
  const text = `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: ${64 * MIB}\r\n\r\na`
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, () => resolve(socket)))
    socket.on('error', () => {})
    socket.resume()
  })
}

/** The slowest of a few honest requests by both transports, ms. */
async function honestMs(harness: Harness): Promise<number> {
  const client = grpcClient(harness.grpcPort)
  let slowestMs = 0
  for (let at = 0; at < 5; at++) {
    const startMs = performance.now()
    await send(client, traceBytes(100_000), { deadlineMs: 3_000 })
    expect((await post(harness.httpPort, { body: traceBytes(100_000) })).status).toBe(200)
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
  }
  client.close()
  return slowestMs
}

describe('declared and never sent', () => {
  test.each([1, 4])('over gRPC, by %i connections of 256 streams of 60 MiB each', async (connections) => {
    await using harness = await startReceivers()
    const sessions: ClientHttp2Session[] = []
    for (let at = 0; at < connections; at++)
      sessions.push(await silentConnection(harness.grpcPort, STREAMS, declaring(60 * MIB)))
    await until(() => harness.admission.leaseCount >= Math.min(connections * STREAMS, 1_024))
    expect(harness.admission.bytesUsed).toBeLessThanOrEqual(connections * STREAMS)
    expect(await honestMs(harness)).toBeLessThan(1_000)
    for (const session of sessions) session.destroy()
  })

  test('over HTTP, by 500 connections of 64 MiB each', async () => {
    await using harness = await startReceivers()
    const sockets = await Promise.all(Array.from({ length: 500 }, () => silentSocket(harness.httpPort)))
    await until(() => harness.admission.leaseCount === 500)
    expect(harness.admission.bytesUsed).toBe(500)
    expect(await honestMs(harness)).toBeLessThan(1_000)
    for (const socket of sockets) socket.destroy()
  })

  test('is cut long before the time that a whole body may take', async () => {
    const patience = { bodySilenceMs: 100, bodyTimeoutMs: 60_000 }
    await using harness = await startReceivers({ http: patience, grpc: patience })
    const session = await silentConnection(harness.grpcPort, 1, declaring(100))
    const socket = await silentSocket(harness.httpPort)
    await new Promise((resolve) => socket.once('close', resolve))
    await until(() => harness.admission.leaseCount === 0)
    session.destroy()
  })
})

test('memory that silent bodies fill is free again after a second for who waits', async () => {
  await using harness = await startReceivers({ admission: { bytesMax: 8 * MIB } })
  // Fifteen of them are the share of their connection.
  const most = declaring(270_000, 200_000)
  const sessions = await Promise.all(
    Array.from({ length: 3 }, () => silentConnection(harness.grpcPort, 15, most)),
  )
  await until(() => harness.admission.bytesUsed > 7 * MIB)
  const startMs = performance.now()
  expect((await post(harness.httpPort, { body: traceBytes(2 * MIB) })).status).toBe(200)
  expect(performance.now() - startMs).toBeLessThan(4_000)
  for (const session of sessions) session.destroy()
})

test('one connection holds half of the memory at most, and its messages take turns', async () => {
  let bytesUsedMax = 0
  await using harness = await startReceivers({
    admission: { bytesMax: 16 * MIB },
    accept: async () => {
      bytesUsedMax = Math.max(bytesUsedMax, harness.admission.bytesUsed)
      await new Promise((resolve) => setTimeout(resolve, 10))
      return OK
    },
  })
  const client = grpcClient(harness.grpcPort)
  await Promise.all(Array.from({ length: 12 }, () => send(client, traceBytes(3 * MIB))))
  client.close()
  expect(harness.seen.length).toBe(12)
  expect(bytesUsedMax).toBeLessThanOrEqual(8 * MIB)
})

describe('how long a body may be silent', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  const clock: Clock = { nowMs: () => 0, nowNs: () => 0n, monotonicMs: () => performance.now() }
  const options = { bodySilenceMs: 5_000, bodyTimeoutMs: 60_000 }

  function body(): Arrival & { bytes: number; isHeld: boolean; reason: string | undefined } {
    return {
      bytes: 0,
      isHeld: false,
      reason: undefined,
      connection: {},
      bytesSeen() {
        return this.bytes
      },
      isHeldBack() {
        return this.isHeld
      },
      cut(error) {
        this.reason = error.message
      },
    }
  }

  test('five seconds, and one when somebody waits for memory', () => {
    for (const [isShort, patienceMs] of [
      [false, 5_000],
      [true, 1_000],
    ] as const) {
      const arrivals = new Arrivals(options, clock, () => isShort)
      const silent = body()
      arrivals.begin(silent)
      vi.advanceTimersByTime(patienceMs - 250)
      expect(silent.reason).toBeUndefined()
      vi.advanceTimersByTime(250)
      expect(silent.reason).toBe('request body stopped arriving')
      arrivals.end(silent)
    }
  })

  test('each byte starts the time anew, up to the time of a whole body', () => {
    const arrivals = new Arrivals(options, clock, () => false)
    const dripping = body()
    arrivals.begin(dripping)
    for (let second = 0; second < 59; second++) {
      dripping.bytes++
      vi.advanceTimersByTime(1_000)
    }
    expect(dripping.reason).toBeUndefined()
    vi.advanceTimersByTime(1_000)
    expect(dripping.reason).toBe('request body took too long to arrive')
  })

  test('one that we hold back is not silent', () => {
    const arrivals = new Arrivals(options, clock, () => true)
    const held = body()
    held.isHeld = true
    arrivals.begin(held)
    vi.advanceTimersByTime(30_000)
    expect(held.reason).toBeUndefined()
  })

  test('one that has ended is looked at no more, and then nothing runs', () => {
    const arrivals = new Arrivals(options, clock, () => true)
    const whole = body()
    arrivals.begin(whole)
    arrivals.end(whole)
    vi.advanceTimersByTime(10_000)
    expect([whole.reason, vi.getTimerCount()]).toEqual([undefined, 0])
  })

  test('the connection with the most of them makes room for one that has fewer, and for none that has as many', () => {
    const arrivals = new Arrivals(options, clock, () => false)
    const greedy = {}
    const [first, second, third] = [body(), body(), body()].map((each) => ({ ...each, connection: greedy }))
    for (const each of [first!, second!, third!]) arrivals.begin(each)
    second!.bytes = first!.bytes = 1
    vi.advanceTimersByTime(250)
    expect(arrivals.makeRoom({})).toBe(true)
    expect([first!.reason, second!.reason, third!.reason]).toEqual([
      undefined,
      undefined,
      'too many calls under way on one connection',
    ])
    expect(arrivals.makeRoom(greedy)).toBe(false)
  })
})
