// Names of keys: `https://<vault>/keys/<name>` and the same with `/<version>`.

export interface AzureKeyId {
  /** Scheme and authority, no slash at its end. */
  readonly vaultUrl: string
  readonly name: string
  /** `undefined`: the current one. */
  readonly version: string | undefined
}

const NAME = /^[0-9A-Za-z-]{1,127}$/
const VERSION = /^[0-9A-Za-z]{1,64}$/

/** Scheme and authority of a vault's address; `undefined` when it is not https, or more than that. */
export function parseVaultUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') return undefined
  return url.pathname === '/' && url.search === '' && url.hash === '' ? url.origin : undefined
}

/** `undefined` when the text is no key's id. */
export function parseKeyId(text: string): AzureKeyId | undefined {
  const parts = /^(https:\/\/[^/?#\\]+)\/keys\/([^/]+)(?:\/([^/]+))?$/.exec(text)
  const vaultUrl = parts === null ? undefined : parseVaultUrl(parts[1]!)
  const [, , name, version] = parts ?? []
  if (vaultUrl === undefined || name === undefined || !NAME.test(name)) return undefined
  if (version !== undefined && !VERSION.test(version)) return undefined
  return { vaultUrl, name, version }
}

/** A name in `vaultUrl`, or the id of a key in any vault. */
export function parseKeyReference(text: string, vaultUrl: string): AzureKeyId | undefined {
  return NAME.test(text) ? { vaultUrl, name: text, version: undefined } : parseKeyId(text)
}

export function formatKeyId({ vaultUrl, name, version }: AzureKeyId): string {
  return `${vaultUrl}/keys/${name}${version === undefined ? '' : `/${version}`}`
}
