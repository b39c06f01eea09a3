// What both transports need to open and close a listening socket, with errors that name the setting.
import type { AddressInfo, Server, Socket } from 'node:net'
import { type Endpoint, formatEndpoint } from '../base/endpoint.ts'
import { SidecarError } from '../base/errors.ts'
import { holderHint } from './port-holder.ts'

/** Where a receiver listens, with the real port. `host` and `address` are the same address. */
export interface BoundAddress {
  readonly host: string
  readonly address: string
  readonly port: number
}

/** How long `close` waits for requests under way, ms. */
export const CLOSE_GRACE_MS = 10_000

/** Listens; rejects CONFIG when the address is in use, not ours, or not permitted. */
export function listen(server: Server, endpoint: Endpoint, setting: string): Promise<BoundAddress> {
  const { host, port } = endpoint
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      reject(
        new SidecarError(
          'CONFIG',
          `${setting}.endpoint: cannot listen on ${formatEndpoint(endpoint)}: ${listenFailure(cause, port)}`,
          { cause },
        ),
      )
    }
    server.once('error', onError)
    server.listen({ host, port }, () => {
      server.removeListener('error', onError)
      // A TCP server's address is an AddressInfo; the string form is for pipes.
      const bound = server.address() as AddressInfo
      resolve({ host: bound.address, address: bound.address, port: bound.port })
    })
  })
}

/** Why nothing can listen there, as the end of a line for an operator. */
export function listenFailure({ code }: NodeJS.ErrnoException, port: number): string {
  switch (code) {
    case 'EADDRINUSE':
      return holderHint(port)
    case 'EADDRNOTAVAIL':
      return 'address is not one of this host'
    case 'EACCES':
      return 'not permitted'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'host name does not resolve'
    default:
      return 'the system refused'
  }
}

/** Sockets that are open, so that `close` can cut the ones that stay. */
export function trackSockets(server: Server): Set<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

/** Resolves when all are closed, or after so long. */
export async function closedWithin(sockets: ReadonlySet<Socket>, withinMs: number): Promise<void> {
  if (sockets.size === 0) return
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs)
  })
  const closed = [...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
  await Promise.race([timeout, Promise.all(closed)])
  clearTimeout(timer)
}

/** Requests under way, and a promise for when there are none. */
export class UnderWay {
  #count = 0
  #waiting: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  begin(): void {
    this.#count += 1
  }

  end(): void {
    this.#count -= 1
    if (this.#count > 0) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Resolves when nothing is under way, or after so long. */
  async idle(withinMs: number): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
