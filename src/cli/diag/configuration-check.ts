// Whether the configuration that `diag` read can be the running sidecar's. In another shell the variables are others, and
// a bundle with two key services in it leads who helps astray.
import type { Effective } from '../../config/section.ts'

/** What the sidecar says of its key service. */
export interface RunningKms {
  readonly provider: string
  /** `undefined` when it was not told, as without a token. */
  readonly masterKey: string | undefined
}

/** Settings below `kms` that stand in a provider's master key id, each as a whole. */
const IN_KEY_ID: ReadonlyMap<string, readonly string[]> = new Map([
  ['aws', ['aws.master_key_id']],
  ['vault', ['vault.mount', 'vault.key_name']],
  ['gcp', ['gcp.project_id', 'gcp.location', 'gcp.key_ring', 'gcp.key_name']],
  ['azure', ['azure.vault_uri', 'azure.key_name']],
])

/** What is wrong, in one line, or `undefined`. */
export function disagreement(effective: Effective, running: RunningKms | undefined): string | undefined {
  if (running === undefined) return undefined
  const provider = settingOf(effective, 'provider')
  const { masterKey } = running
  const differing =
    provider !== running.provider
      ? ['provider']
      : (IN_KEY_ID.get(running.provider) ?? []).filter(
          (name) => masterKey !== undefined && !stands(settingOf(effective, name), masterKey),
        )
  if (differing.length === 0) return undefined
  const names = differing.map((name) => `kms.${name}`).join(', ')
  const verb = differing.length === 1 ? 'differs from that' : 'differ from those'
  return `${names} ${verb} of the running sidecar; give diag the --config, --set, --properties and environment that it has`
}

/** From the answers of its status, or, where a token was needed for that, of its health. */
export function runningKms(
  status: Record<string, unknown>,
  checks: readonly unknown[],
): RunningKms | undefined {
  const { provider, master_key: masterKey } = status
  if (typeof provider === 'string')
    return { provider, masterKey: typeof masterKey === 'string' ? masterKey : undefined }
  for (const check of checks) {
    const { name, data } = fieldsOf(check)
    const ofHealth = fieldsOf(data).provider
    if (name === 'kms' && typeof ofHealth === 'string') return { provider: ofHealth, masterKey: undefined }
  }
  return undefined
}

function settingOf(effective: Effective, name: string): string {
  const value = ['kms', ...name.split('.')].reduce<unknown>(
    (map, key) => (map instanceof Map ? map.get(key) : undefined),
    effective,
  )
  return typeof value === 'string' ? value : ''
}

function stands(setting: string, masterKey: string): boolean {
  // A key's id has its vault's address in one spelling; the setting may have capitals, the usual port, a last slash.
  const wanted = /^https?:/.test(setting) && URL.canParse(setting) ? `${new URL(setting).origin}/` : setting
  return wanted === '' || masterKey.includes(wanted)
}

/** The fields of something that came as JSON; none when it is no object. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
