// How long a call to AWS KMS waits, for servers that fail by being slow in ways of their own.
import dns from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import type { Kms } from '../../../src/keys/kms.ts'
import { openAwsKms } from '../../../src/keys/providers/aws.ts'
import { awsOptions } from './aws-answers.ts'

const never = new AbortController().signal
const context = { tenantId: 'acme', purpose: 'pii' } as const
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 100000\r\n'

let server: Server | undefined
let kms: Kms | undefined
const sockets = new Set<Socket>()
afterEach(async () => {
  vi.restoreAllMocks()
  await kms?.close()
  for (const socket of sockets) socket.destroy()
  server?.close()
  server = undefined
})

/** A server that answers each request with `first`, and then one more byte every 20 ms for ever. */
async function startDripping(first: string): Promise<string> {
  server = createServer((socket) => {
    sockets.add(socket)
    let drip: NodeJS.Timeout | undefined
    socket.on('error', () => socket.destroy())
    socket.on('close', () => clearInterval(drip))
    socket.once('data', () => {
      socket.write(first)
      drip = setInterval(() => socket.write('x'), 20)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // listens on TCP, so never a path
}

async function failureAfter(
  overrides: Parameters<typeof awsOptions>[0],
  signal: AbortSignal,
): Promise<{ failure: unknown; tookMs: number }> {
  kms = await openAwsKms(awsOptions(overrides))
  const startMs = performance.now()
  const failure: unknown = await kms.generateDataKey(context, signal).catch((error: unknown) => error)
  return { failure, tookMs: performance.now() - startMs }
}

test('a connection that is not made is given up after the time for connections', async () => {
  // Loopback connects at once or not at all; a name that never resolves keeps the socket connecting as long.
  vi.spyOn(dns, 'lookup').mockImplementation((() => {}) as never) // one of many overloads
  const request = { connectTimeoutMs: 150, timeoutMs: 5_000, attemptsMax: 1 }
  const { failure, tookMs } = await failureAfter({ request }, never)
  expect(failure).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No connection after 150ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('headers that never end are given up after the time for an answer, however many come', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 300, attemptsMax: 1 }
  const endpoint = await startDripping(`${HEAD}x-slow: `)
  const { failure, tookMs } = await failureAfter({ endpoint, request }, never)
  expect(failure).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 300ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('a body that never ends is given up with the attempts’ time', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 300, attemptsMax: 1 }
  const endpoint = await startDripping(`${HEAD}\r\n{"Plaintext":"`)
  const { failure, tookMs } = await failureAfter({ endpoint, request }, AbortSignal.timeout(4_000))
  expect(failure).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 300ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('and all of them with the caller’s patience', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }
  const endpoint = await startDripping(`${HEAD}\r\n{"Plaintext":"`)
  const { failure, tookMs } = await failureAfter({ endpoint, request }, AbortSignal.timeout(200))
  expect(failure).toMatchObject({ kmsClass: 'timeout', providerMessage: 'gave up waiting' })
  expect(tookMs).toBeLessThan(1_500)
})
