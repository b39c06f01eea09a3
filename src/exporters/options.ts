// What each exporter is told, with the defaults. Names follow the YAML keys, with units last.

/** A value that must not show up in a log; `config/` has the class. */
export interface SecretText {
  reveal(): string
}

export type Compression = 'none' | 'gzip'

export interface ClientTlsOptions {
  /** Plaintext. Only for gRPC, where the endpoint has no scheme that says so. */
  readonly insecure: boolean
  /** PEM files, read when the exporter starts. Without `caFile`, the system's authorities. */
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** The name the server's certificate must carry, when it is not the host of the endpoint. */
  readonly serverNameOverride?: string | undefined
}

/** Back-off between attempts. Each wait is drawn from 50 % to 150 % of an interval that grows by half each time. */
export interface RetryOptions {
  readonly initialIntervalMs: number
  readonly intervalMsMax: number
  /** From the first attempt on; 0: for ever. */
  readonly elapsedMsMax: number
}

export interface OtlpExporterOptions {
  /** gRPC: `host:port`, a scheme is allowed. HTTP: base URL, `/v1/<signal>` is appended. */
  readonly endpoint: string
  readonly compression?: Compression
  readonly headers?: ReadonlyMap<string, SecretText>
  readonly tls?: ClientTlsOptions
  /** One attempt, from connecting to the last byte of the answer, ms. */
  readonly timeoutMs?: number
  readonly retry?: RetryOptions
  /** Requests in flight. */
  readonly consumerCount?: number
}

export type GrpcExporterOptions = OtlpExporterOptions
export type HttpExporterOptions = OtlpExporterOptions

export interface FileExporterOptions {
  readonly path: string
  readonly rotation?: {
    /** A file that would grow beyond this is set aside first, bytes. */
    readonly fileBytesMax: number
    /** Files set aside that are kept; 0: all of them. */
    readonly backupsMax: number
    /** Files set aside longer ago are removed, days; 0 or absent: never. */
    readonly ageDaysMax?: number
  }
}

export interface DebugExporterOptions {
  readonly verbosity?: 'basic' | 'normal' | 'detailed'
}

export const RETRY_DEFAULTS: RetryOptions = {
  initialIntervalMs: 1_000,
  intervalMsMax: 30_000,
  elapsedMsMax: 0,
}

export const OTLP_DEFAULTS = {
  compression: 'none',
  timeoutMs: 10_000,
  consumerCount: 4,
} as const

export const FILE_ROTATION_DEFAULTS = { fileBytesMax: 100_000_000, backupsMax: 10, ageDaysMax: 0 } as const
