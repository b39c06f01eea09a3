// What an operator may set of the gRPC transport, and the defaults.
import type { Endpoint } from '../base/endpoint.ts'
import {
  BODY_SILENCE_MS,
  BODY_TIMEOUT_MS,
  CONNECTIONS_MAX,
  HEADERS_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
  REQUEST_BYTES_MAX,
  REQUEST_WAIT_MS_MAX,
  STREAMS_PER_CONNECTION_MAX,
} from '../base/limits.ts'
import { type AuthOptions, authDefaults } from './auth.ts'
import type { TlsServerOptions } from './tls.ts'

export interface GrpcReceiverOptions {
  readonly endpoint: Endpoint
  /** Before and after decompression, bytes. */
  readonly maxRecvMsgSizeBytes: number
  /** Per connection. */
  readonly maxConcurrentStreams: number
  readonly tls: TlsServerOptions | undefined
  readonly auth: AuthOptions
  readonly connectionsMax: number
  /** Export calls under way over all connections; more are refused. */
  readonly callsMax: number
  readonly streamWindowBytes: number
  /** From accept to the client's SETTINGS, and for a TLS handshake. */
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
  /** How long nothing of a body may arrive. */
  readonly bodySilenceMs: number
  readonly idleTimeoutMs: number
  readonly keepalive: GrpcKeepaliveOptions
  /** How long a request may wait for memory and keys. */
  readonly waitMsMax: number
}

export interface GrpcKeepaliveOptions {
  /** How often a quiet connection is pinged, and how long the answer may take. */
  readonly timeMs: number
  readonly timeoutMs: number
  /** Connections older than this are sent away gracefully, so that a balancer can spread them; 0: never. */
  readonly maxConnectionAgeMs: number
  readonly maxConnectionAgeGraceMs: number
}

export const grpcReceiverDefaults: GrpcReceiverOptions = {
  endpoint: { host: '127.0.0.1', port: 4317 },
  maxRecvMsgSizeBytes: REQUEST_BYTES_MAX,
  maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX,
  tls: undefined,
  auth: authDefaults,
  connectionsMax: CONNECTIONS_MAX,
  callsMax: 1_024,
  streamWindowBytes: 256 * 1024,
  headersTimeoutMs: HEADERS_TIMEOUT_MS,
  bodyTimeoutMs: BODY_TIMEOUT_MS,
  bodySilenceMs: BODY_SILENCE_MS,
  idleTimeoutMs: IDLE_TIMEOUT_MS,
  // gRPC's own server defaults: two hours would keep a half-open connection for that long.
  keepalive: { timeMs: 60_000, timeoutMs: 20_000, maxConnectionAgeMs: 0, maxConnectionAgeGraceMs: 30_000 },
  waitMsMax: REQUEST_WAIT_MS_MAX,
}
