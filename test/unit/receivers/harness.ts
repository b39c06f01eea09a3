// Both receivers on free loopback ports, with a sink in the place of the pipeline, and the smallest real clients.
import { type Agent, type IncomingHttpHeaders, request } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { fileURLToPath } from 'node:url'
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { systemClock } from '../../../src/base/clock.ts'
import { silentTelemetry } from '../../../src/base/telemetry.ts'
import type { ExportAccepted, ExportRequest } from '../../../src/pipeline/pipeline.ts'
import { type TenantOptions, TenantResolver, tenantDefaults } from '../../../src/pipeline/tenant.ts'
import { Admission, type AdmissionOptions, admissionDefaults } from '../../../src/receivers/admission.ts'
import { GrpcReceiver } from '../../../src/receivers/grpc.ts'
import { type GrpcReceiverOptions, grpcReceiverDefaults } from '../../../src/receivers/grpc-options.ts'
import { HttpReceiver } from '../../../src/receivers/http.ts'
import { type HttpReceiverOptions, httpReceiverDefaults } from '../../../src/receivers/http-options.ts'
import { ReceiverMetrics } from '../../../src/receivers/metrics.ts'
import type { Signal } from '../../../src/wire/otlp.ts'

export interface HarnessOptions {
  readonly http?: Partial<HttpReceiverOptions>
  readonly grpc?: Partial<GrpcReceiverOptions>
  readonly admission?: Partial<AdmissionOptions>
  readonly tenants?: Partial<TenantOptions>
  readonly accept?: (request: ExportRequest) => Promise<ExportAccepted>
}

export const OK: ExportAccepted = { itemCount: 1, rejectedItems: 0, message: '' }

export async function startReceivers(options: HarnessOptions = {}) {
  const telemetry = silentTelemetry()
  const admission = new Admission({ ...admissionDefaults, ...options.admission }, systemClock)
  const seen: ExportRequest[] = []
  const context = {
    admission,
    tenants: new TenantResolver({ ...tenantDefaults, ...options.tenants }),
    metrics: new ReceiverMetrics(telemetry.registry, admission),
    clock: systemClock,
    log: telemetry.log,
    accept: async (request: ExportRequest): Promise<ExportAccepted> => {
      seen.push(request)
      return options.accept ? options.accept(request) : OK
    },
  }
  const http = new HttpReceiver(
    { ...httpReceiverDefaults, endpoint: { host: '127.0.0.1', port: 0 }, ...options.http },
    context,
  )
  const grpc = new GrpcReceiver(
    { ...grpcReceiverDefaults, endpoint: { host: '127.0.0.1', port: 0 }, ...options.grpc },
    context,
  )
  const httpBound = await http.start()
  const grpcBound = await grpc.start()
  return {
    http,
    grpc,
    httpPort: httpBound.port,
    grpcPort: grpcBound.port,
    admission,
    seen,
    registry: telemetry.registry,
    context,
    async [Symbol.asyncDispose]() {
      await Promise.all([http.close(2_000), grpc.close(2_000)])
    },
  }
}
export type Harness = Awaited<ReturnType<typeof startReceivers>>

export interface HttpAnswerSeen {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface HttpCall {
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string | string[] | number>
  /** Several pieces go chunked unless a content-length is given. */
  readonly body?: Uint8Array | readonly Uint8Array[]
  readonly agent?: Agent
  readonly tls?: { ca?: Buffer; cert?: Buffer; key?: Buffer }
}

export const PROTOBUF = 'application/x-protobuf'
export const JSON_TYPE = 'application/json'

export function post(port: number, call: HttpCall = {}): Promise<HttpAnswerSeen> {
  return new Promise((resolve, reject) => {
    const settings = {
      host: '127.0.0.1',
      port,
      path: call.path ?? '/v1/traces',
      method: call.method ?? 'POST',
      headers: { 'content-type': PROTOBUF, ...call.headers },
      ...(call.agent && { agent: call.agent }),
    }
    const sent = call.tls
      ? tlsRequest({ ...settings, ...call.tls, servername: 'localhost' })
      : request(settings)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    sent.on('error', reject)
    const body = call.body ?? new Uint8Array(0)
    if (body instanceof Uint8Array) return void sent.end(body)
    for (const piece of body) sent.write(piece)
    sent.end()
  })
}

export const EXPORT_PATH: Record<Signal, string> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
}

export function grpcClient(port: number, channelCredentials?: ChannelCredentials, options = {}): Client {
  return new Client(`127.0.0.1:${port}`, channelCredentials ?? credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    'grpc.ssl_target_name_override': 'localhost',
    ...options,
  })
}

export interface GrpcCall {
  readonly path?: string
  readonly metadata?: Record<string, string>
  readonly deadlineMs?: number
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
const asIs = (bytes: Buffer): Buffer => bytes

/** Resolves the reply or rejects grpc-js's ServiceError. */
export function send(client: Client, body: Uint8Array, call: GrpcCall = {}): Promise<Buffer> {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(call.metadata ?? {})) metadata.set(name, value)
  const options = { deadline: Date.now() + (call.deadlineMs ?? 10_000) }
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      call.path ?? EXPORT_PATH.traces,
      asBuffer,
      asIs,
      body,
      metadata,
      options,
      (error, reply) => (error ? reject(error) : resolve(reply!)),
    )
  })
}

export function refused(sent: Promise<unknown>): Promise<ServiceError> {
  return sent.then(
    () => Promise.reject(new Error('was not refused')),
    // makeUnaryRequest rejects with nothing else.
    (error: unknown) => error as ServiceError,
  )
}

/** Waits for a condition that real sockets make true; no fixed sleep. */
export async function until(condition: () => boolean, withinMs = 5_000): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > endMs) throw new Error('condition did not become true')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** One request of one span with so many bytes of name: real enough for protobuf to read. */
export function traceBytes(nameBytes: number): Uint8Array {
  const nest = (field: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(field << 3) | 2]), varint(content.byteLength), content])
  const span = nest(5, Buffer.alloc(nameBytes, 'a'))
  return nest(1, nest(2, nest(2, span)))
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128)
  return Buffer.from([...bytes, rest])
}

/** The path of a certificate or key made by `testdata/make.sh`. */
export function testdata(name: string): string {
  return fileURLToPath(new URL(`./testdata/${name}`, import.meta.url))
}
