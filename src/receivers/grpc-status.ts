// A refusal as gRPC says it: status and message in the trailers, google.rpc.Status with RetryInfo in the binary trailer
// where the client should come back (OTLP 1.11, "OTLP/gRPC Throttling").
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import { encodeStatus } from '../wire/reply.ts'
import { ENCODINGS } from './body.ts'
import { refusalOf } from './status.ts'

/** The status object for grpc-js, which wants its details as Buffers. */
export function grpcStatusOf(thrown: unknown): StatusObject {
  const refusal = refusalOf(thrown)
  const metadata = new Metadata()
  if (refusal.retryAfterMs !== undefined) {
    const status = encodeStatus({
      code: refusal.grpcCode,
      message: refusal.message,
      retryDelayMs: refusal.retryAfterMs,
    })
    metadata.set('grpc-status-details-bin', Buffer.from(status))
  }
  // gRPC's compression page: an UNIMPLEMENTED for an encoding comes with what would have been accepted.
  if (refusal.code === 'UNSUPPORTED_ENCODING') metadata.set('grpc-accept-encoding', ENCODINGS.join(','))
  return { code: refusal.grpcCode, details: refusal.message, metadata }
}
