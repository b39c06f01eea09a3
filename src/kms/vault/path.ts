// How Transit keys are named: `[namespace/]mount/key`, which stands in announcements as the master key id. Which version
// of the key wrapped stands in the ciphertext.

export interface TransitPath {
  readonly id: string
  readonly mount: string
  readonly name: string
}

const SEGMENT = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?$/
/** `a/b`: every part a name that Vault could have; none of them `..` or anything with a meaning in a URL. */
export function isVaultPath(text: string): boolean {
  return text.length <= 512 && text.split('/').every((segment) => SEGMENT.test(segment))
}

export function isKeyName(text: string): boolean {
  return SEGMENT.test(text)
}

export function transitPath(namespace: string | undefined, mount: string, name: string): TransitPath {
  const prefix = namespace === undefined || namespace === '' ? '' : `${namespace}/`
  return { id: `${prefix}${mount}/${name}`, mount, name }
}

/**
 * The path that a master key id names, `undefined` unless it is in this namespace and on one of these mounts. Ids arrive
 * inside telemetry: without this, one could send our token's POST to any path of the server.
 */
export function parseMasterKeyId(
  id: string,
  namespace: string | undefined,
  mounts: ReadonlySet<string>,
): TransitPath | undefined {
  const prefix = namespace === undefined || namespace === '' ? '' : `${namespace}/`
  if (!id.startsWith(prefix) || !isVaultPath(id)) return undefined
  const end = id.lastIndexOf('/')
  const mount = id.slice(prefix.length, Math.max(end, prefix.length))
  const name = id.slice(end + 1)
  return mounts.has(mount) ? transitPath(namespace, mount, name) : undefined
}

/** Request headers that name the namespace. */
export function namespaceHeader(namespace: string | undefined): Record<string, string> {
  return namespace === undefined || namespace === '' ? {} : { 'X-Vault-Namespace': namespace }
}
