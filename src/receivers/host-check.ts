// Which host a request may name. A web page whose name is made to resolve to us (DNS rebinding) could post telemetry, and
// read health and metrics, from the browser of whoever opens it; but it cannot choose another Host than its own name. So
// the names that nobody can register elsewhere are good, and others when the operator lists them.
//
// gRPC is not asked: no browser speaks HTTP/2 without TLS. Neither is a server with TLS: its certificate does not have the
// page's name.
import { isIP, isIPv4 } from 'node:net'
import { hostname } from 'node:os'

/** Whether a request with this Host header is for us. */
export type HostCheck = (header: string | undefined) => boolean

/** Names below these are of a cluster or a network, never of the public DNS. */
const PRIVATE_SUFFIXES = ['.svc', '.cluster.local', '.internal']

/**
 * `bound` is the host of the endpoint; empty or absent: every interface. `allowed` are further names, `*.suffix` or `*`.
 * On loopback only loopback's own names are good; elsewhere also addresses, names without a dot (as compose and
 * Kubernetes give them) and private ones; on both the machine's own name. Absent is good: every browser sends one.
 */
export function createHostCheck(bound: string | undefined, allowed: readonly string[]): HostCheck {
  if (allowed.includes('*')) return () => true
  const names = new Set([hostname().toLowerCase(), ...allowed.map((name) => name.toLowerCase())])
  const suffixes = [...names].filter((name) => name.startsWith('*.')).map((name) => name.slice(1))
  const isLocal = bound !== undefined && isLoopback(bound.toLowerCase())
  const judge = (header: string): boolean => {
    const host = hostOf(header)
    if (isLoopback(host) || names.has(host) || suffixes.some((suffix) => host.endsWith(suffix))) return true
    if (isLocal) return false
    return isIP(host) !== 0 || !host.includes('.') || PRIVATE_SUFFIXES.some((suffix) => host.endsWith(suffix))
  }
  // Clients repeat themselves.
  let last: string | undefined
  return (header) => {
    if (header === undefined || header === '' || header === last) return true
    if (!judge(header)) return false
    last = header
    return true
  }
}

/** Without port, brackets and the root's dot. */
function hostOf(header: string): string {
  const match = /^\s*(?:\[([^\]]*)\]|([^:]*))(?::\d*)?\s*$/.exec(header)
  return (match?.[1] ?? match?.[2] ?? header).toLowerCase().replace(/\.$/, '')
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost') || host === '::1') return true
  return isIPv4(host) && host.startsWith('127.')
}
