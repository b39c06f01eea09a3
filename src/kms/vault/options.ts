import type { SidecarError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import { settingError } from '../setting-problem.ts'

/** A value that must not show up in a log; `config/` has the class. */
export interface SecretText {
  reveal(): string
}

/**
 * Vault or OpenBao Transit. Exactly one way to authenticate is taken: `token`, else `tokenFile`, else `roleId`, else
 * `kubernetesRole`.
 */
export interface VaultSettings {
  /** http or https URL; a path in it is put before `/v1`. */
  readonly address: string
  /** Where Transit is mounted, such as `transit`. */
  readonly mount: string
  /** The Transit key of tenants that have none of their own. */
  readonly keyName: string
  readonly namespace?: string | undefined
  readonly token?: SecretText | undefined
  /** Holds a token that somebody else keeps fresh, such as the sink of Vault Agent; read again when the token ends. */
  readonly tokenFile?: string | undefined
  readonly roleId?: string | undefined
  readonly secretId?: SecretText | undefined
  /** Mount of the AppRole method; `approle` when absent. */
  readonly appRoleMount?: string | undefined
  readonly kubernetesRole?: string | undefined
  /** Mount of the Kubernetes method; `kubernetes` when absent. */
  readonly kubernetesMount?: string | undefined
  /** The pod's service account token, read at each login. */
  readonly kubernetesTokenFile?: string | undefined
  /** PEM. Read again after a failed connection, so that a renewed certificate needs no restart. */
  readonly caFile?: string | undefined
  readonly clientCertFile?: string | undefined
  readonly clientKeyFile?: string | undefined
  /** Tenant → Transit key, as `name` or `mount/name`. */
  readonly tenantKeyMapping: ReadonlyMap<string, string>
  /** Mounts that wrapped keys of the past name. Only these and the mounts in use are ever asked to unwrap. */
  readonly formerMounts?: readonly string[] | undefined
}

export interface VaultKmsOptions extends VaultSettings {
  readonly request: VaultRequestOptions
  readonly log: Logger
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number
  /** For jitter only; `Math.random` when absent. */
  readonly random?: () => number
  /** Runs something later and returns what calls it off; a timer that holds no process up when absent. */
  readonly schedule?: Schedule
}

export interface VaultRequestOptions {
  /** TCP and TLS handshake. */
  readonly connectTimeoutMs: number
  /** One attempt, from its start to the last byte of the answer. */
  readonly timeoutMs: number
  readonly attemptsMax: number
}

export type Schedule = (delayMs: number, run: () => void) => () => void

/** One line for the operator: the setting under `kms.vault`, then what is wrong with it. */
export function vaultSetting(setting: string, reason: string, cause?: unknown): SidecarError {
  return settingError(['vault', setting], reason, cause)
}
