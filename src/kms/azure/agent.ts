import { Agent, type AgentOptions } from 'node:https'
import type { Duplex } from 'node:stream'

/** An agent that gives up a connection whose TLS does not stand in time; a silent handshake would hold a call up. */
export class TimedAgent extends Agent {
  readonly #connectTimeoutMs: number

  constructor(connectTimeoutMs: number, options: AgentOptions) {
    super({ keepAlive: true, ...options })
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(
    ...[options, callback]: Parameters<Agent['createConnection']>
  ): Duplex | null | undefined {
    const socket = super.createConnection(options, callback)
    if (!socket) return socket
    const timer = setTimeout(() => {
      const error = new Error(`No connection after ${this.#connectTimeoutMs}ms`)
      socket.destroy(Object.assign(error, { code: 'ETIMEDOUT' }))
    }, this.#connectTimeoutMs)
    const done = (): void => clearTimeout(timer)
    socket.once('secureConnect', done).once('close', done)
    return socket
  }
}
