// Builds the receivers: each one of the configuration on each of its protocols, all on one budget of memory.
import type { Clock } from '../base/clock.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type {
  GrpcReceiverConfig,
  HttpReceiverConfig,
  OtlpReceiverConfig,
  ServerTlsConfig,
  SidecarConfig,
} from '../config/schema.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import type { TenantResolver } from '../pipeline/tenant.ts'
import { Admission, admissionDefaults } from '../receivers/admission.ts'
import { GrpcReceiver } from '../receivers/grpc.ts'
import { grpcReceiverDefaults } from '../receivers/grpc-options.ts'
import { HttpReceiver } from '../receivers/http.ts'
import { httpReceiverDefaults } from '../receivers/http-options.ts'
import type { BoundAddress } from '../receivers/listener.ts'
import { ReceiverMetrics, type Transport } from '../receivers/metrics.ts'
import type { Receiver, ReceiverContext } from '../receivers/receiver.ts'

/** What the service holds of all receivers together. */
export interface Receiving {
  /** Where each transport listens, for logs and tests. Rejects CONFIG when a port is taken. */
  start(): Promise<ReadonlyMap<Transport, BoundAddress>>
  stopAccepting(): Promise<void>
  close(graceMs: number): Promise<void>
}

/** Those that a pipeline names; others do not start. */
export function startingReceivers({ receivers, service }: SidecarConfig): OtlpReceiverConfig[] {
  const named = new Set([...service.pipelines.values()].flatMap((pipeline) => pipeline.receivers))
  return [...receivers].flatMap(([id, receiver]) => (named.has(id) ? [receiver] : []))
}

export function createReceiving(
  config: SidecarConfig,
  pipeline: Pipeline,
  tenants: TenantResolver,
  around: Telemetry & { readonly clock: Clock },
): Receiving {
  const { clock, log, registry } = around
  const { limits } = config.service
  const admission = new Admission({ ...admissionDefaults, bytesMax: limits.inFlightBytesMax }, clock)
  const metrics = new ReceiverMetrics(registry, admission)
  const contextFor = (transport: Transport): ReceiverContext => ({
    accept: pipeline.acceptFrom(metrics.itemsFrom(transport)),
    admission,
    tenants,
    metrics,
    clock,
    log,
  })
  const receivers: (readonly [Transport, Receiver])[] = []
  for (const { grpc, http } of startingReceivers(config)) {
    if (grpc) receivers.push(['grpc', createGrpc(grpc, limits.waitMsMax, contextFor('grpc'))])
    if (http) receivers.push(['http', createHttp(http, config.service, contextFor('http'))])
  }
  return {
    async start() {
      const bound = new Map<Transport, BoundAddress>()
      for (const [transport, receiver] of receivers) bound.set(transport, await receiver.start())
      return bound
    },
    async stopAccepting() {
      await Promise.all(receivers.map(([, receiver]) => receiver.stopAccepting()))
    },
    async close(graceMs) {
      await Promise.all(receivers.map(([, receiver]) => receiver.close(graceMs)))
    },
  }
}

function createGrpc(config: GrpcReceiverConfig, waitMsMax: number, context: ReceiverContext): Receiver {
  const options = {
    ...grpcReceiverDefaults,
    endpoint: config.endpoint,
    maxRecvMsgSizeBytes: config.requestBytesMax,
    maxConcurrentStreams: config.concurrentStreamsMax,
    tls: tlsOptions(config.tls),
    auth: { bearerToken: config.bearerToken?.reveal() },
    waitMsMax,
  }
  return new GrpcReceiver(options, context)
}

function createHttp(
  config: HttpReceiverConfig,
  { limits, allowedHosts }: SidecarConfig['service'],
  context: ReceiverContext,
): Receiver {
  const options = {
    ...httpReceiverDefaults,
    endpoint: config.endpoint,
    maxRequestBodySizeBytes: config.requestBytesMax,
    tls: tlsOptions(config.tls),
    auth: { bearerToken: config.bearerToken?.reveal() },
    allowedHosts,
    waitMsMax: limits.waitMsMax,
  }
  return new HttpReceiver(options, context)
}

function tlsOptions(tls: ServerTlsConfig | undefined): typeof grpcReceiverDefaults.tls {
  return tls && { certFile: tls.certFile, keyFile: tls.keyFile, clientCaFile: tls.clientCaFile }
}
