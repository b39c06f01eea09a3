// The grpc-js server as we set it up, its services with bodies left as bytes, and the one private field we reach for.
import type { Http2Server } from 'node:http2'
import { Server, type ServerInterceptor, type ServiceDefinition } from '@grpc/grpc-js'
import { SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import type { GrpcReceiverOptions } from './grpc-options.ts'

/** Memory that nghttp2 may use for one connection beside the windows, MiB. */
const SESSION_MEMORY_MIB = 64

/** Full names of the collector services. */
export const SERVICES: Record<Signal, string> = {
  traces: 'opentelemetry.proto.collector.trace.v1.TraceService',
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
}
// Object.keys forgets the type of its keys.
export const SIGNALS = Object.keys(SERVICES) as Signal[]
export const SIGNAL_OF_PATH: ReadonlyMap<string, Signal> = new Map(
  SIGNALS.map((signal) => [exportPath(signal), signal]),
)

export function createGrpcServer(options: GrpcReceiverOptions, interceptor: ServerInterceptor): Server {
  const { keepalive } = options
  return new Server({
    interceptors: [interceptor],
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': options.maxRecvMsgSizeBytes,
    'grpc.max_concurrent_streams': options.maxConcurrentStreams,
    'grpc-node.max_session_memory': SESSION_MEMORY_MIB,
    'grpc.max_connection_idle_ms': options.idleTimeoutMs,
    'grpc.keepalive_time_ms': keepalive.timeMs,
    'grpc.keepalive_timeout_ms': keepalive.timeoutMs,
    ...(keepalive.maxConnectionAgeMs > 0 && {
      'grpc.max_connection_age_ms': keepalive.maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': keepalive.maxConnectionAgeGraceMs,
    }),
  })
}

export function http2ServerOf(server: Server): Http2Server {
  // Private in grpc-js's types, hence the cast; its shape is checked right here.
  const servers: unknown = (server as unknown as { http2Servers?: unknown }).http2Servers
  const first: unknown = servers instanceof Map ? [...servers.keys()][0] : undefined
  if (typeof (first as Http2Server | undefined)?.prependListener !== 'function') {
    throw new SidecarError(
      'INTERNAL',
      'this version of grpc-js hides its HTTP/2 server; memory cannot be bounded',
    )
  }
  return first as Http2Server
}

function exportPath(signal: Signal): string {
  return `/${SERVICES[signal]}/Export`
}

export function exportService(signal: Signal): ServiceDefinition {
  const identity = (bytes: Buffer): Buffer => bytes
  return {
    Export: {
      path: exportPath(signal),
      requestStream: false,
      responseStream: false,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  }
}
