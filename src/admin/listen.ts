import type { FastifyInstance } from 'fastify'
import { SidecarError } from '../base/errors.ts'
import { type BoundAddress, listenFailure } from '../receivers/listener.ts'

/** Rejects CONFIG with one line that names the setting. */
export async function listenAdmin(
  admin: FastifyInstance,
  endpoint: { host: string; port: number },
): Promise<BoundAddress> {
  try {
    await admin.listen({ host: endpoint.host, port: endpoint.port })
  } catch (cause) {
    // Listening fails with nothing else.
    const reason = listenFailure(cause as NodeJS.ErrnoException, endpoint.port)
    throw new SidecarError(
      'CONFIG',
      `service.admin.endpoint: cannot listen on ${endpoint.host}:${endpoint.port}: ${reason}`,
      { cause },
    )
  }
  const address = admin.server.address()
  const port = address !== null && typeof address === 'object' ? address.port : endpoint.port
  return { host: endpoint.host, address: endpoint.host, port }
}
