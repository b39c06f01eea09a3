import { Client, credentials, Metadata } from '@grpc/grpc-js'
import type { Signal } from '../../../src/wire/otlp.ts'

const SERVICES: Record<Signal, string> = {
  traces: 'trace.v1.TraceService',
  logs: 'logs.v1.LogsService',
  metrics: 'metrics.v1.MetricsService',
}

/** One Export over gRPC with grpc-js; resolves with the answer's bytes as text, rejects with its ServiceError. */
export async function grpcExport(
  address: string,
  signal: Signal,
  body: Uint8Array,
  deadlineMs = 10_000,
  metadata = new Metadata(),
): Promise<string> {
  const client = new Client(address, credentials.createInsecure())
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `/opentelemetry.proto.collector.${SERVICES[signal]}/Export`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from(body),
        metadata,
        { deadline: Date.now() + deadlineMs },
        (error, answer) => (error ? reject(error) : resolve(String(answer))),
      )
    })
  } finally {
    client.close()
  }
}
