/** What a Vault or OpenBao server answered. */
export interface VaultAnswer {
  readonly status: number
  readonly retryAfterMs: number | undefined
  /** Parsed JSON; `undefined` when there is none. Untrusted. */
  readonly body: unknown
}
