// What each answer of a next hop means, in one table. The question is always the same: does the answer speak of these
// bytes, or of the way to the next hop? Bytes that are refused once are refused always, so they are given up. A way that
// is closed opens again, by itself (`wait`) or when somebody mends it (`mend`: credentials, address, certificate,
// settings), so the request is kept and tried again. OTLP 1.11, "Failures", would give up more than that: it speaks to
// clients that hold data in memory; here it was acknowledged and is on disk. docs/decisions/next-hop-answers.md.
import { SidecarError } from '../base/errors.ts'
import type { SendOutcome } from './sender.ts'

export type Verdict =
  /** Passes by itself. */
  | 'wait'
  /** Ends when a person does something. */
  | 'mend'
  /** The same bytes will be refused again. */
  | 'refused'

/** Statuses from 300 on. What is not listed: 5xx is `wait`, all others are `mend`. */
const HTTP: ReadonlyMap<number, Verdict> = new Map([
  [400, 'refused'], // the body cannot be read
  [408, 'wait'], // the server did not wait for the body
  [409, 'refused'], // the content contradicts what the server has
  [413, 'refused'], // too large
  [422, 'refused'], // can be read, and is not acceptable
  [425, 'wait'], // sent too early on a resumed TLS session
  [429, 'wait'],
  [500, 'refused'], // failed over this request; OTLP says never to repeat it
  [501, 'mend'], // the path exists and the service behind it does not
  [505, 'mend'],
  [507, 'mend'], // its disk is full
  [510, 'mend'],
  [511, 'mend'], // a network that wants a login
])

export function httpVerdict(status: number): Verdict {
  return HTTP.get(status) ?? (status >= 500 ? 'wait' : 'mend')
}

/**
 * The verdict of an answer that did not come from an OTLP server: a web page, or an HTTP status where gRPC has its own.
 * What stands in between cannot read the body; only its size it can see.
 */
export function proxyVerdict(status: number): Verdict {
  const verdict = httpVerdict(status)
  return verdict === 'refused' && status !== 413 ? 'mend' : verdict
}

/** Names of google.rpc.Code in its order, each with its verdict; the name is the reason that logs and metrics show. */
const GRPC: readonly (readonly [name: string, Verdict])[] = [
  ['ok', 'wait'],
  ['cancelled', 'wait'],
  ['unknown', 'refused'], // OTLP says never to repeat it
  ['invalid_argument', 'refused'],
  ['deadline_exceeded', 'wait'],
  ['not_found', 'mend'], // a project, a tenant, a route
  ['already_exists', 'refused'],
  ['permission_denied', 'mend'],
  ['resource_exhausted', 'refused'], // too large, as gRPC servers say it; with a RetryInfo it is throttling
  ['failed_precondition', 'mend'], // a state of the server, not of the request
  ['aborted', 'wait'],
  ['out_of_range', 'wait'],
  ['unimplemented', 'mend'], // no such service or compression there
  ['internal', 'refused'], // a Collector's word for a permanent error
  ['unavailable', 'wait'],
  ['data_loss', 'wait'],
  ['unauthenticated', 'mend'],
]
const RESOURCE_EXHAUSTED = 8
const UNKNOWN = GRPC[2]

export function grpcVerdict(code: number, hasRetryInfo: boolean): { reason: string; verdict: Verdict } {
  const [reason, verdict] = GRPC[code] ?? UNKNOWN
  return { reason, verdict: code === RESOURCE_EXHAUSTED && hasRetryInfo ? 'wait' : verdict }
}

/** Node's and OpenSSL's words for a handshake that failed over certificates, names or protocol versions. */
const TLS_CODE = /^(ERR_(TLS|SSL|OSSL)_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO$)/

/** Our own certificate, key or list of authorities does not load. */
export const TLS_FILES_REASON = 'tls_files'

/** A connection that did not come about, or broke before an answer. Always tried again; the word says where to look. */
export function connectionVerdict(thrown: unknown): { reason: string; verdict: 'wait' | 'mend' } {
  if (thrown instanceof SidecarError && thrown.code === 'CONFIG')
    return { reason: TLS_FILES_REASON, verdict: 'mend' }
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
  if (TLS_CODE.test(code)) return { reason: 'tls_failed', verdict: 'mend' }
  if (code === 'ENOTFOUND') return { reason: 'name_not_found', verdict: 'mend' }
  if (code === 'ECONNREFUSED') return { reason: 'connection_refused', verdict: 'wait' }
  return { reason: 'connection_lost', verdict: 'wait' }
}

export function asOutcome(
  { reason, verdict }: { readonly reason: string; readonly verdict: Verdict },
  afterMs?: number,
): SendOutcome {
  if (verdict === 'refused') return { kind: 'refused', reason }
  return { kind: 'retry', afterMs, reason, ...(verdict === 'mend' && { needsMending: true }) }
}
