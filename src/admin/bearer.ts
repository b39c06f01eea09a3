import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { SidecarError } from '../base/errors.ts'

export type AdminToken = { reveal(): string } | undefined

/** A hook that lets only the bearer of `token` pass. Without a configured token nobody passes. */
export function requireBearer(token: AdminToken) {
  const expected = token && token.reveal() !== '' ? digest(token.reveal()) : undefined
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const match = /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')
    // Digests have one length, so the comparison tells nothing of the token's.
    if (expected && match && timingSafeEqual(digest(match[1]!), expected)) return
    const problem = match ? ', error="invalid_token"' : ''
    reply.header('www-authenticate', `Bearer realm="betrace-admin"${problem}`)
    throw new SidecarError(
      'UNAUTHENTICATED',
      expected ? 'a valid bearer token is needed' : 'no token is configured for this call',
    )
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
