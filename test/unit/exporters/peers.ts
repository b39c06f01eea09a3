// Next hops for the tests: real servers on free loopback ports, gone when the test ends.
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { onTestFinished } from 'vitest'
import type { Signal } from '../../../src/wire/otlp.ts'

export const neverAborted = new AbortController().signal
export const clear = { insecure: true }

/** Certificates for 127.0.0.1, made for the tests of TLS; they protect nothing. */
export const pem = (name: string) => fileURLToPath(new URL(`../receivers/testdata/${name}`, import.meta.url))

const METHODS: readonly (readonly [Signal, string])[] = [
  ['traces', '/opentelemetry.proto.collector.trace.v1.TraceService/Export'],
  ['logs', '/opentelemetry.proto.collector.logs.v1.LogsService/Export'],
  ['metrics', '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'],
]

export interface GrpcCall {
  readonly signal: Signal
  readonly body: Buffer
  readonly metadata: grpc.Metadata
  readonly deadline: grpc.Deadline
}
type GrpcAnswer = { readonly reply?: Uint8Array; readonly error?: Partial<grpc.StatusObject> } | 'never'

/** A real grpc-js server for the three signals. Returns `host:port`. */
export async function grpcPeer(
  answer: (call: GrpcCall) => GrpcAnswer,
  tls?: 'server' | 'mutual',
  port = 0,
): Promise<{ endpoint: string; server: grpc.Server }> {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 })
  for (const [signal, path] of METHODS) {
    const method = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: (b: Buffer) => b,
      requestDeserialize: (b: Buffer) => b,
      responseSerialize: (b: Uint8Array) => Buffer.from(b),
      responseDeserialize: (b: Buffer) => b,
    }
    const handler: grpc.handleUnaryCall<Buffer, Uint8Array> = (call, callback) => {
      const found = answer({
        signal,
        body: call.request,
        metadata: call.metadata,
        deadline: call.getDeadline(),
      })
      if (found !== 'never') callback(found.error ?? null, found.reply ?? Buffer.of())
    }
    server.addService({ Export: method }, { Export: handler })
  }
  const credentials = tls
    ? grpc.ServerCredentials.createSsl(
        readFileSync(pem('ca.pem')),
        [{ cert_chain: readFileSync(pem('server.pem')), private_key: readFileSync(pem('server.key')) }],
        tls === 'mutual',
      )
    : grpc.ServerCredentials.createInsecure()
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.bindAsync(`127.0.0.1:${port}`, credentials, (failure, bound) =>
    failure ? reject(failure) : resolve(bound),
  )
  onTestFinished(() => server.forceShutdown())
  return { endpoint: `127.0.0.1:${await promise}`, server }
}

export async function httpPeer(listener: RequestListener, tls = false): Promise<string> {
  const server: Server = tls
    ? createSecureServer(
        { cert: readFileSync(pem('server.pem')), key: readFileSync(pem('server.key')) },
        listener,
      )
    : createServer(listener)
  const port = await listen(server)
  onTestFinished(() => server.closeAllConnections())
  return `${tls ? 'https' : 'http'}://127.0.0.1:${port}`
}

/** Speaks no protocol: does with each connection what it is told. */
export async function tcpPeer(connected: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    connected(socket)
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  return `127.0.0.1:${await listen(server)}`
}

/** A port of this machine on which nobody listens. */
export async function deadEndpoint(): Promise<string> {
  const server = createTcpServer()
  const { promise, resolve } = Promise.withResolvers<number>()
  server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  const port = await promise
  await new Promise((closed) => server.close(closed))
  return `127.0.0.1:${port}`
}

async function listen(server: TcpServer): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  // An address of a TCP server is never a string.
  server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  onTestFinished(() => void server.close())
  return promise
}
