import type { FastifyInstance } from 'fastify'
import type { Clock } from '../base/clock.ts'
import { SidecarError } from '../base/errors.ts'
import { VERIFY_BYTES_MAX } from '../base/limits.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { isTenantId } from '../formats/tenant-id.ts'
import type { AdminProbes, PublicKeyView } from './options.ts'

// Anybody may ask, and each question checks signatures on the one thread that also serves requests. Whoever has more to
// check has the command, which needs nobody.
const VERIFICATIONS_MAX = 4
const VERIFICATIONS_BURST = 60
const VERIFICATIONS_PER_SECOND = 10

/**
 * What a stranger needs to check evidence: public keys, and a verdict on spans. Open to everybody, as both only say
 * what the holder of an exported span can find out alone.
 */
export function addCompliance(
  app: FastifyInstance,
  publicKeys: AdminProbes['publicKeys'],
  verifySpan: AdminProbes['verifySpan'],
  clock: Clock,
): void {
  const bodyLimit = Math.min(app.initialConfig.bodyLimit ?? VERIFY_BYTES_MAX, VERIFY_BYTES_MAX)
  const budget = new TokenBucket(clock, VERIFICATIONS_BURST, VERIFICATIONS_PER_SECOND)
  app.register(async (open) => {
    // The verifier takes the bytes as they came: a JSON parser in between would change numbers it cannot hold.
    open.removeAllContentTypeParsers()
    open.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    )

    open.get<{ Params: { id: string } }>('/api/tenants/:id/public-keys', async ({ params }) => {
      const tenantId = params.id
      const keys = isTenantId(tenantId) ? publicKeys(tenantId) : undefined
      if (!keys) throw new NotFound('this tenant has no signing keys here')
      return { tenantId, keys: keys.map(keyAnswer) }
    })

    let verificationCount = 0
    open.post('/api/compliance/verify/span', { bodyLimit }, async (request) => {
      if (!Buffer.isBuffer(request.body) || request.body.length === 0) {
        throw new SidecarError('MALFORMED', 'an otlp/json trace request is needed')
      }
      const abort = new AbortController()
      request.raw.once('close', () => {
        if (request.raw.readableAborted) abort.abort()
      })
      if (verificationCount >= VERIFICATIONS_MAX || !budget.take()) {
        throw new SidecarError('OVERLOADED', 'too many verifications', { retryAfterMs: 1_000 })
      }
      verificationCount++
      try {
        return await verifySpan(request.body, abort.signal)
      } finally {
        verificationCount--
      }
    })
  })
}

/** Has a status and no data; the server answers it as 404. */
export class NotFound extends Error {
  readonly statusCode = 404
}

function keyAnswer(key: PublicKeyView): object {
  return {
    keyId: key.keyId,
    algorithm: key.algorithm,
    publicKey: Buffer.from(key.publicKey).toString('base64'),
    createdAt: new Date(key.createdAtMs).toISOString(),
    notAfter: key.notAfterMs === undefined ? null : new Date(key.notAfterMs).toISOString(),
    status: key.status,
    endorsedBy: key.endorsedBy ?? null,
    endorsement: key.endorsement ?? null,
  }
}
