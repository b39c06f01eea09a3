// Builds the receivers: each one of the configuration on each of its protocols, all on one budget of memory.
import type { Clock } from '../base/clock.ts'
import type { SidecarError } from '../base/errors.ts'
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
import { WayIn } from './way-in.ts'

/** What the service holds of all receivers together. */
export interface Receiving {
  /** Where each transport listens, for logs and tests. Rejects CONFIG when a port is taken; damaged TLS files are waited for. */
  start(): Promise<ReadonlyMap<Transport, BoundAddress>>
  /** What keeps a transport from listening; empty where all listen. */
  problems(): readonly SidecarError[]
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
  const waysIn: WayIn[] = []
  const add = (transport: Transport, tls: ServerTlsConfig | undefined, create: () => Receiver): void => {
    waysIn.push(new WayIn({ transport, tls, setting: tlsSetting(transport), create, log }))
  }
  for (const { grpc, http } of startingReceivers(config)) {
    if (grpc) add('grpc', grpc.tls, () => createGrpc(grpc, limits.waitMsMax, contextFor('grpc')))
    if (http) add('http', http.tls, () => createHttp(http, config.service, contextFor('http')))
  }
  return {
    async start() {
      const bound = new Map<Transport, BoundAddress>()
      for (const wayIn of waysIn) {
        const address = await wayIn.start()
        if (address) bound.set(wayIn.transport, address)
      }
      return bound
    },
    problems: () => waysIn.flatMap(({ problem }) => problem ?? []),
    async stopAccepting() {
      await Promise.all(waysIn.map((wayIn) => wayIn.stopAccepting()))
    },
    async close(graceMs) {
      await Promise.all(waysIn.map((wayIn) => wayIn.close(graceMs)))
    },
  }
}

export function tlsSetting(transport: Transport): string {
  return `receivers.otlp.protocols.${transport}.tls`
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
