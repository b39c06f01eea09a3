// A listener on loopback whose TLS handshake fails.
import { once } from 'node:events'
import { type AddressInfo, Server, type Socket } from 'node:net'
import { createServer as createTlsListener } from 'node:tls'
import { testCertificate } from './fault-proxy.ts'

export interface BrokenTls {
  /** `https://…`. */
  readonly url: string
  close(): Promise<void>
}

/** A listener whose TLS handshake fails: a certificate nobody trusts, an answer that is not TLS, or no answer. */
export async function startBrokenTls(how: 'untrusted' | 'plain' | 'silent'): Promise<BrokenTls> {
  const sockets = new Set<Socket>()
  const server =
    how === 'untrusted'
      ? createTlsListener(testCertificate(), (socket) =>
          socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
        )
      : new Server((socket) => {
          socket.resume()
          if (how === 'plain') socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
        })
  server.on('tlsClientError', () => {})
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // listens on TCP, so never a path
  return {
    url: `https://127.0.0.1:${port}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
