// grpc.health.v1.Health by hand: a request names a service in field 1, an answer is one enum. The package for it brings
// a protobuf runtime for two bytes.
import type { ServerUnaryCall, ServerWritableStream, ServiceDefinition, sendUnaryData } from '@grpc/grpc-js'
import { GrpcCode } from '../base/errors.ts'

const SERVING = Buffer.from([0x08, 0x01])
const NOT_SERVING = Buffer.from([0x08, 0x02])
const SERVICE_UNKNOWN = Buffer.from([0x08, 0x03])
/** The NOT_FOUND of google.rpc.Code; no error of ours has it. */
const GRPC_NOT_FOUND = 5

const identity = (bytes: Buffer): Buffer => bytes

const method = (name: string, responseStream: boolean) => ({
  path: `/grpc.health.v1.Health/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
})

export const healthService: ServiceDefinition = {
  Check: method('Check', false),
  Watch: method('Watch', true),
}

/** Serving from the start until `stop`. Watchers hear of the change and are then let go, so that nothing lingers. */
export class GrpcHealth {
  readonly #services: ReadonlySet<string>
  readonly #watchersMax: number
  readonly #watchers = new Set<ServerWritableStream<Buffer, Buffer>>()
  #isServing = true

  /** `services` are the full names that have a health of their own; '' is the server. */
  constructor(services: readonly string[], watchersMax: number) {
    this.#services = new Set(['', ...services])
    this.#watchersMax = watchersMax
  }

  readonly handlers = {
    Check: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
      const name = serviceName(call.request)
      if (name !== undefined && this.#services.has(name)) callback(null, this.#status())
      else callback({ code: GRPC_NOT_FOUND, details: 'unknown service' })
    },
    Watch: (call: ServerWritableStream<Buffer, Buffer>): void => {
      if (this.#watchers.size >= this.#watchersMax) {
        call.emit('error', { code: GrpcCode.RESOURCE_EXHAUSTED, details: 'too many watchers' })
        return
      }
      const name = serviceName(call.request)
      const isKnown = name !== undefined && this.#services.has(name)
      call.write(isKnown ? this.#status() : SERVICE_UNKNOWN)
      if (!this.#isServing) return void call.end()
      this.#watchers.add(call)
      call.on('cancelled', () => this.#watchers.delete(call))
    },
  }

  stop(): void {
    this.#isServing = false
    for (const call of this.#watchers) {
      call.write(NOT_SERVING)
      call.end()
    }
    this.#watchers.clear()
  }

  #status(): Buffer {
    return this.#isServing ? SERVING : NOT_SERVING
  }
}

// HealthCheckRequest { string service = 1 }. Names are short, so a length of more than one byte is nobody we know.
function serviceName(request: Buffer): string | undefined {
  if (request.byteLength === 0) return ''
  const isOneField = request[0] === 0x0a && request[1]! < 0x80 && request.byteLength === request[1]! + 2
  return isOneField ? request.toString('utf8', 2) : undefined
}
