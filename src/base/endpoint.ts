/** A host and a port. An IPv6 host is without its brackets. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

const ENDPOINT = /^(?:\[([0-9A-Fa-f:.%]{2,64})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/

/** `host:port` or `[ipv6]:port`; `undefined` when it is neither. Port 0 lets the system choose when listening. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = ENDPOINT.exec(text)
  if (!match) return undefined
  const port = Number(match[3])
  return port <= 65_535 ? { host: match[1] ?? match[2]!, port } : undefined
}

/** As `parseEndpoint` reads it. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
