// What an operator may set of the HTTP transport, and the defaults.
import type { Endpoint } from '../base/endpoint.ts'
import {
  BODY_SILENCE_MS,
  BODY_TIMEOUT_MS,
  CONNECTIONS_MAX,
  HEADERS_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
  REQUEST_BYTES_MAX,
  REQUEST_WAIT_MS_MAX,
} from '../base/limits.ts'
import { type AuthOptions, authDefaults } from './auth.ts'
import type { TlsServerOptions } from './tls.ts'

export interface HttpReceiverOptions {
  readonly endpoint: Endpoint
  /** Before and after decompression, bytes. */
  readonly maxRequestBodySizeBytes: number
  readonly tls: TlsServerOptions | undefined
  readonly auth: AuthOptions
  /** Further names by which we may be asked, see `createHostCheck`. */
  readonly allowedHosts: readonly string[]
  readonly connectionsMax: number
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
  /** How long nothing of a body may arrive. */
  readonly bodySilenceMs: number
  readonly idleTimeoutMs: number
  /** How long a request may wait for memory and keys. */
  readonly waitMsMax: number
}

export const httpReceiverDefaults: HttpReceiverOptions = {
  endpoint: { host: '127.0.0.1', port: 4318 },
  maxRequestBodySizeBytes: REQUEST_BYTES_MAX,
  tls: undefined,
  auth: authDefaults,
  allowedHosts: [],
  connectionsMax: CONNECTIONS_MAX,
  headersTimeoutMs: HEADERS_TIMEOUT_MS,
  bodyTimeoutMs: BODY_TIMEOUT_MS,
  bodySilenceMs: BODY_SILENCE_MS,
  idleTimeoutMs: IDLE_TIMEOUT_MS,
  waitMsMax: REQUEST_WAIT_MS_MAX,
}
