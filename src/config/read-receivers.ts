import { isTenantId, TENANT_ID_PHRASE } from '../formats/tenant-id.ts'
import { type TenantOptions, tenantDefaults } from '../pipeline/tenant.ts'
import { grpcReceiverDefaults } from '../receivers/grpc-options.ts'
import { httpReceiverDefaults } from '../receivers/http-options.ts'
import type { GrpcReceiverConfig, HttpReceiverConfig, OtlpReceiverConfig, ServerTlsConfig } from './schema.ts'
import type { Section } from './section.ts'
import { didYouMean } from './suggestion.ts'

const MIB = 1024 * 1024
const REQUEST_MIB_MAX = 1024
const STREAMS_MAX = 2 ** 20

const COMPONENT_ID = /^([a-z][a-z0-9_]*)(?:\/([A-Za-z0-9][A-Za-z0-9._-]{0,62}))?$/

/** The type of a component id `type` or `type/name`; reports it and answers `undefined` when it is neither or unknown. */
export function componentType<const T extends string>(
  parent: Section,
  id: string,
  types: readonly T[],
): T | undefined {
  const match = COMPONENT_ID.exec(id)
  const type = types.find((known) => known === match?.[1])
  if (type !== undefined) return type
  if (match)
    parent.problem(id, `has an unknown type; known: ${types.join(', ')}${didYouMean(match[1]!, types)}`)
  else parent.problem(id, 'must have the form type or type/name')
  return undefined
}

/** `receivers:`, by id. */
export function readReceivers(receivers: Section): ReadonlyMap<string, OtlpReceiverConfig> {
  const configs = new Map<string, OtlpReceiverConfig>()
  for (const id of receivers.keys) {
    if (componentType(receivers, id, ['otlp'])) configs.set(id, receivers.section(id, readOtlp))
    else receivers.ignore(id)
  }
  return configs
}

function readOtlp(receiver: Section): OtlpReceiverConfig {
  // An `otlp:` with nothing below it listens on both, as everybody expects who writes it so.
  if (!receiver.has('protocols')) {
    return receiver.section('protocols', (all) => ({
      type: 'otlp',
      grpc: all.section('grpc', readGrpc),
      http: all.section('http', readHttp),
    }))
  }
  return receiver.section('protocols', (protocols) => {
    if (!protocols.has('grpc') && !protocols.has('http'))
      receiver.problem('protocols', 'must name grpc, http or both')
    const grpc = protocols.optionalSection('grpc', readGrpc)
    const http = protocols.optionalSection('http', readHttp)
    return { type: 'otlp', grpc, http }
  })
}

function readGrpc(grpc: Section): GrpcReceiverConfig {
  return {
    endpoint: grpc.endpoint('endpoint', grpcReceiverDefaults.endpoint),
    requestBytesMax:
      grpc.integer(
        'max_recv_msg_size_mib',
        grpcReceiverDefaults.maxRecvMsgSizeBytes / MIB,
        1,
        REQUEST_MIB_MAX,
      ) * MIB,
    concurrentStreamsMax: grpc.integer(
      'max_concurrent_streams',
      grpcReceiverDefaults.maxConcurrentStreams,
      1,
      STREAMS_MAX,
    ),
    tls: grpc.optionalSection('tls', readServerTls),
    bearerToken: readBearerToken(grpc),
  }
}

function readHttp(http: Section): HttpReceiverConfig {
  return {
    endpoint: http.endpoint('endpoint', httpReceiverDefaults.endpoint),
    requestBytesMax:
      http.integer(
        'max_request_body_size_mib',
        httpReceiverDefaults.maxRequestBodySizeBytes / MIB,
        1,
        REQUEST_MIB_MAX,
      ) * MIB,
    tls: http.optionalSection('tls', readServerTls),
    bearerToken: readBearerToken(http),
  }
}

function readServerTls(tls: Section): ServerTlsConfig {
  const certFile = tls.text('cert_file', '')
  const keyFile = tls.text('key_file', '')
  if (certFile === '') tls.problem('cert_file', 'is needed for tls')
  if (keyFile === '') tls.problem('key_file', 'is needed for tls')
  return { certFile, keyFile, clientCaFile: tls.optionalText('client_ca_file') }
}

// An auth section with an empty token would look like protection and be none.
function readBearerToken(protocol: Section) {
  return protocol.optionalSection('auth', (auth) => {
    const token = auth.secret('bearer_token')
    if (!token) auth.problem('bearer_token', 'must not be empty; leave out auth to accept every client')
    return token
  })
}

/** `tenants:`. */
export function readTenants(tenants: Section): TenantOptions {
  const config: TenantOptions = {
    default: tenants.text('default', tenantDefaults.default),
    header: tenants.text('header', tenantDefaults.header).toLowerCase(),
    resourceAttribute: tenants.text('resource_attribute', tenantDefaults.resourceAttribute),
    allow: tenants.textList('allow', tenantDefaults.allow),
    unknown: tenants.choice('unknown', ['deny', 'default'], tenantDefaults.unknown),
    max: tenants.integer('max', tenantDefaults.max, 1, 1_000_000),
    maxPerRequest: tenants.integer('max_per_request', tenantDefaults.maxPerRequest, 1, 10_000),
    certificate: tenants.choice('certificate', ['none', 'cn', 'san'], tenantDefaults.certificate),
  }
  if (!isTenantId(config.default)) tenants.problem('default', `must be ${TENANT_ID_PHRASE}`)
  if (config.header !== '' && !/^[a-z0-9][a-z0-9._-]*$/.test(config.header)) {
    tenants.problem('header', 'must be a header name of letters, digits, dots, dashes and underscores')
  }
  if (config.header.endsWith('-bin'))
    tenants.problem('header', 'must not end in -bin, which gRPC keeps for binary metadata')
  if (!config.allow.every(isTenantId)) tenants.problem('allow', `must hold ids of ${TENANT_ID_PHRASE}`)
  return config
}
