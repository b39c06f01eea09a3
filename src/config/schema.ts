// What a configuration is once it has been checked: camelCase, milliseconds, bytes. `collector-config.yaml` documents
// every setting; each default is owned by the room that uses it.

import type { Endpoint } from '../base/endpoint.ts'
import type { PolicyOptions } from '../evidence/policy.ts'
import type { TenantOptions } from '../pipeline/tenant.ts'
import type { RedactionOptions } from '../redaction/options.ts'
import type { Signal } from '../wire/otlp.ts'
import type { Secret } from './secret.ts'

export interface SidecarConfig {
  /** By id, `type` or `type/name`. */
  readonly receivers: ReadonlyMap<string, OtlpReceiverConfig>
  readonly tenants: TenantOptions
  readonly kms: KmsConfig
  readonly processors: ReadonlyMap<string, ProcessorConfig>
  readonly storage: StorageConfig
  readonly exporters: ReadonlyMap<string, ExporterConfig>
  readonly service: ServiceConfig
}

export interface OtlpReceiverConfig {
  readonly type: 'otlp'
  /** A protocol that is absent does not listen; at least one is present. */
  readonly grpc: GrpcReceiverConfig | undefined
  readonly http: HttpReceiverConfig | undefined
}

export interface GrpcReceiverConfig {
  readonly endpoint: Endpoint
  readonly requestBytesMax: number
  readonly concurrentStreamsMax: number
  readonly tls: ServerTlsConfig | undefined
  readonly bearerToken: Secret | undefined
}

export interface HttpReceiverConfig {
  readonly endpoint: Endpoint
  readonly requestBytesMax: number
  readonly tls: ServerTlsConfig | undefined
  readonly bearerToken: Secret | undefined
}

export interface ServerTlsConfig {
  readonly certFile: string
  readonly keyFile: string
  /** Present: clients must show a certificate that this file's authorities signed. */
  readonly clientCaFile: string | undefined
}

export type KmsProviderName = 'local' | 'aws' | 'vault' | 'gcp' | 'azure'

export interface KmsConfig {
  readonly provider: KmsProviderName
  readonly local: LocalKmsConfig
  readonly aws: AwsKmsConfig
  readonly vault: VaultKmsConfig
  readonly gcp: GcpKmsConfig
  readonly azure: AzureKmsConfig
  /** Tenant → its own master key. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
  /** Master keys tried in this order when the primary fails. */
  readonly replicas: readonly string[]
  /** Wrapped pseudonym keys that replicas share, as `betrace keys share-pseudonyms` writes them. */
  readonly pseudonymKeyFile: string | undefined
  /** Files whose `kms` section still opens the stored keys, for a rewrap by the running sidecar. */
  readonly rewrapFrom: readonly string[]
  readonly request: KmsRequestConfig
  readonly cache: KmsCacheConfig
  readonly rotation: RotationConfig
  readonly breaker: BreakerConfig
}

export interface LocalKmsConfig {
  /** `undefined`: `local-kms.key` in the storage directory. */
  readonly keyFile: string | undefined
  readonly allowInProduction: boolean
}

export interface AwsKmsConfig {
  readonly masterKeyId: string
  readonly region: string
  readonly endpoint: string | undefined
  readonly useFipsEndpoint: boolean
}

export interface VaultKmsConfig {
  readonly address: string
  readonly mount: string
  readonly keyName: string
  readonly namespace: string | undefined
  readonly token: Secret | undefined
  readonly roleId: string | undefined
  readonly secretId: Secret | undefined
  readonly kubernetesRole: string | undefined
  readonly caFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly clientKeyFile: string | undefined
  /** Holds a token that somebody else renews, as Vault Agent does. */
  readonly tokenFile: string | undefined
  readonly appRoleMount: string
  readonly kubernetesMount: string
  /** `undefined`: where Kubernetes puts it. */
  readonly kubernetesTokenFile: string | undefined
  /** Mounts that wrapped keys of the past name. */
  readonly formerMounts: readonly string[]
}

export interface GcpKmsConfig {
  readonly projectId: string
  readonly location: string
  readonly keyRing: string
  readonly keyName: string
  readonly endpoint: string | undefined
  readonly caFile: string | undefined
}

export interface AzureKmsConfig {
  readonly vaultUri: string
  readonly keyName: string
  readonly tenantId: string | undefined
  readonly clientId: string | undefined
  readonly clientSecret: Secret | undefined
  readonly authorityHost: string | undefined
  readonly caFile: string | undefined
  /** Vaults that wrapped keys of the past name. */
  readonly formerVaultUris: readonly string[]
}

export interface KmsRequestConfig {
  readonly connectTimeoutMs: number
  readonly timeoutMs: number
  readonly attemptsMax: number
}

export interface KmsCacheConfig {
  readonly privateKeyTtlMs: number
  readonly publicKeyTtlMs: number
  readonly encryptionKeyTtlMs: number
  /** Entries, per kind of key. */
  readonly sizeMax: number
  readonly staleGraceMs: number
}

export interface RotationConfig {
  readonly enabled: boolean
  /** Quartz form: second minute hour day month weekday. */
  readonly checkCron: string
  readonly ageDaysMax: number
}

export interface BreakerConfig {
  readonly requestsMin: number
  readonly failurePercent: number
  readonly openMs: number
  readonly successesToClose: number
}

export type ProcessorConfig = PiiConfig | SigningConfig

export interface PiiConfig extends RedactionOptions {
  readonly type: 'pii'
  /** Ids of other sidecars' pseudonym keys, whose `tok.v1.…` stay as they are. */
  readonly trustedPseudonymKeys: readonly string[]
}

export interface SigningConfig extends Omit<PolicyOptions, 'tenantAttribute'> {
  readonly type: 'signing'
  /** Public keys of sidecars before this one, whose good signatures stay. `undefined`: only our own. */
  readonly trustedKeysFile: string | undefined
  /** 0: none. */
  readonly heartbeatIntervalMs: number
}

export interface StorageConfig {
  readonly enabled: boolean
  readonly directory: string
  readonly queueBytesMax: number
  readonly evidenceBytesMax: number
  readonly deadLetterBytesMax: number
  /** Announced data keys that the key store keeps. */
  readonly announcementsMax: number
  /** Always `exported` when storage is off. */
  readonly ack: 'durable' | 'enqueue' | 'exported'
}

export type ExporterConfig = FileExporterConfig | OtlpExporterConfig | DebugExporterConfig

export interface FileExporterConfig {
  readonly type: 'file'
  readonly path: string
  readonly rotation: {
    readonly fileBytesMax: number
    readonly backupsMax: number
    readonly ageDaysMax: number
  }
}

export interface OtlpExporterConfig {
  readonly type: 'otlp_grpc' | 'otlp_http'
  /** gRPC: `host:port`, with an `http://` or `https://` scheme allowed. HTTP: base URL; `/v1/<signal>` is appended. */
  readonly endpoint: string
  readonly compression: 'none' | 'gzip'
  readonly headers: ReadonlyMap<string, Secret>
  readonly tls: ClientTlsConfig
  readonly timeoutMs: number
  readonly retry: RetryConfig
  /** Requests in flight. */
  readonly consumerCount: number
}

export interface ClientTlsConfig {
  /** Plaintext. For `otlp_http` the scheme of the endpoint decides and this is false. */
  readonly insecure: boolean
  readonly caFile: string | undefined
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
  readonly serverNameOverride: string | undefined
}

export interface RetryConfig {
  readonly initialIntervalMs: number
  readonly intervalMsMax: number
  /** 0: for ever. */
  readonly elapsedMsMax: number
}

export interface DebugExporterConfig {
  readonly type: 'debug'
  readonly verbosity: 'basic' | 'normal' | 'detailed'
}

export interface ServiceConfig {
  readonly pipelines: ReadonlyMap<Signal, PipelineConfig>
  /** Names, `*.suffix` or `*`, beside those that are always ours. */
  readonly allowedHosts: readonly string[]
  readonly admin: AdminConfig
  readonly limits: LimitsConfig
  readonly telemetry: { readonly logs: LogsConfig }
}

/** Ids into `receivers`, `processors` and `exporters`; every one is declared. */
export interface PipelineConfig {
  readonly receivers: readonly string[]
  readonly processors: readonly string[]
  readonly exporters: readonly string[]
}

export interface AdminConfig {
  readonly endpoint: Endpoint
  /** `undefined`: every admin call is answered 401. */
  readonly token: Secret | undefined
  /** Of who may see sealed values; `undefined`: nobody by HTTP. */
  readonly revealToken: Secret | undefined
}

export interface LimitsConfig {
  readonly inFlightBytesMax: number
  readonly waitMsMax: number
  readonly shutdownMsMax: number
}

export interface LogsConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly encoding: 'console' | 'json'
}
