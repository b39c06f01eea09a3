// How long a call to AWS KMS waits, for servers that fail by being slow in ways of their own.
import dns from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { openAwsKms } from '../../../../src/kms/aws/open.ts'
import type { Kms } from '../../../../src/kms/kms.ts'
import { ARN, awsOptions } from './answers.ts'

const never = new AbortController().signal
const context = { tenantId: 'acme', purpose: 'pii' } as const
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 100000\r\n'

const KEY = JSON.stringify({
  Plaintext: Buffer.alloc(32, 1).toString('base64'),
  CiphertextBlob: 'AQ==',
  KeyId: ARN,
})
const GOOD = `HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: ${KEY.length}\r\n\r\n${KEY}`

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

/** A server that answers with `first`, and then one more byte every 20 ms for ever; after `count` connections it answers
 *  as it should. */
async function startDripping(first: string, count = Number.POSITIVE_INFINITY): Promise<string> {
  let made = 0
  server = createServer((socket) => {
    const isDripping = made++ < count
    sockets.add(socket)
    let drip: NodeJS.Timeout | undefined
    socket.on('error', () => socket.destroy())
    socket.on('close', () => clearInterval(drip))
    socket.once('data', () => {
      socket.write(isDripping ? first : GOOD)
      if (isDripping) drip = setInterval(() => socket.write('x'), 20)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // listens on TCP, so never a path
}

async function outcomeAfter(
  overrides: Parameters<typeof awsOptions>[0],
  signal: AbortSignal,
): Promise<{ outcome: unknown; tookMs: number }> {
  kms = await openAwsKms(awsOptions(overrides))
  const startMs = performance.now()
  const outcome: unknown = await kms.generateDataKey(context, signal).catch((error: unknown) => error)
  return { outcome, tookMs: performance.now() - startMs }
}

test('a connection that is not made is given up after the time for connections', async () => {
  // Loopback connects at once or not at all; a name that never resolves keeps the socket connecting as long.
  vi.spyOn(dns, 'lookup').mockImplementation((() => {}) as never) // one of many overloads
  const request = { connectTimeoutMs: 150, timeoutMs: 5_000, attemptsMax: 1 }
  const { outcome, tookMs } = await outcomeAfter({ request }, never)
  expect(outcome).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No connection after 150ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('headers that never end are given up after the time for an answer, however many come', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 300, attemptsMax: 1 }
  const endpoint = await startDripping(`${HEAD}x-slow: `)
  const { outcome, tookMs } = await outcomeAfter({ endpoint, request }, never)
  expect(outcome).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 300ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('headers that never end cost one attempt, and the next one is answered', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 600, attemptsMax: 2 }
  const endpoint = await startDripping(`${HEAD}x-slow: `, 1)
  const { outcome } = await outcomeAfter({ endpoint, request }, never)
  expect(outcome).toMatchObject({ masterKeyId: ARN })
})

test('a body that never ends is given up with the attempts’ time', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 300, attemptsMax: 1 }
  const endpoint = await startDripping(`${HEAD}\r\n{"Plaintext":"`)
  const { outcome, tookMs } = await outcomeAfter({ endpoint, request }, AbortSignal.timeout(4_000))
  expect(outcome).toMatchObject({ kmsClass: 'timeout', providerMessage: 'No response after 300ms' })
  expect(tookMs).toBeLessThan(2_500)
})

test('and all of them with the caller’s patience', async () => {
  const request = { connectTimeoutMs: 1_000, timeoutMs: 5_000, attemptsMax: 3 }
  const endpoint = await startDripping(`${HEAD}\r\n{"Plaintext":"`)
  const { outcome, tookMs } = await outcomeAfter({ endpoint, request }, AbortSignal.timeout(200))
  expect(outcome).toMatchObject({ kmsClass: 'timeout', providerMessage: 'gave up waiting' })
  expect(tookMs).toBeLessThan(1_500)
})
