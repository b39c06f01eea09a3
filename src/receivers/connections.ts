// Connections, up to a bound. One that has no request under way costs its client nothing and us a place, so when all places
// are taken, the one that has been idle longest gives its own up; a newcomer is turned away only where nobody is idle.
import type { Server, Socket } from 'node:net'

/** Sockets that may wait for their TLS handshake beyond those that are connected. */
const HANDSHAKES_SHARE = 0.25

export class Connections {
  readonly #countMax: number
  /** In the order in which they became idle. */
  readonly #idle = new Set<Socket>()
  /** By how many requests each has under way. */
  readonly #busy = new Map<Socket, number>()

  constructor(server: Server, event: 'connection' | 'secureConnection', countMax: number) {
    this.#countMax = countMax
    server.maxConnections = countMax + Math.ceil(countMax * HANDSHAKES_SHARE)
    // Ahead of whoever serves the connection: one that is turned away is destroyed by then.
    server.prependListener(event, (socket: Socket) => this.#add(socket))
  }

  get count(): number {
    return this.#idle.size + this.#busy.size
  }

  /** A request of this connection is under way. */
  begin(socket: Socket): void {
    this.#idle.delete(socket)
    this.#busy.set(socket, (this.#busy.get(socket) ?? 0) + 1)
  }

  end(socket: Socket): void {
    const count = this.#busy.get(socket)
    if (count === undefined) return
    if (count > 1) {
      this.#busy.set(socket, count - 1)
      return
    }
    this.#busy.delete(socket)
    if (!socket.destroyed) this.#idle.add(socket)
  }

  #add(socket: Socket): void {
    if (this.count >= this.#countMax) {
      const [longest] = this.#idle
      if (longest === undefined) {
        socket.destroy()
        return
      }
      this.#idle.delete(longest)
      longest.destroy()
    }
    this.#idle.add(socket)
    socket.once('close', () => {
      this.#idle.delete(socket)
      this.#busy.delete(socket)
    })
  }
}
