// Transit keys: what one can do, and how a context is bound to what it wraps.
import { KmsError } from '../kms.ts'
import type { VaultCall, VaultClient } from './client.ts'
import { field, numberField, textField, unusableAnswer } from './errors.ts'
import { namespaceHeader, type TransitPath } from './path.ts'

/**
 * How a key binds a context: `derived` keys derive the real key from it, others with an AEAD cipher authenticate it as
 * associated data. What can do neither, such as RSA, does not wrap for us.
 */
export type Binding = 'derived' | 'associated_data'

export interface TransitKey {
  readonly path: TransitPath
  readonly type: string
  /** `undefined`: it cannot bind a context. */
  readonly binding: Binding | undefined
  readonly isEnabled: boolean
  readonly latestVersion: number
  /** Per version: base64 of Ed25519, PEM of others; absent for symmetric keys. */
  readonly publicKeys: ReadonlyMap<number, string>
}

const AEAD_TYPES: ReadonlySet<string> = new Set([
  'aes128-gcm96',
  'aes256-gcm96',
  'chacha20-poly1305',
  'xchacha20-poly1305',
])

/** One call on a Transit key: `<mount>/<verb>/<name>`. */
export function transitCall(
  operation: string,
  namespace: string | undefined,
  path: TransitPath,
  verb: string,
  body?: object,
): VaultCall {
  return {
    operation,
    method: body === undefined ? 'GET' : 'POST',
    path: `${path.mount}/${verb}/${path.name}`,
    headers: namespaceHeader(namespace),
    ...(body === undefined ? {} : { body }),
  }
}

/** Asks the server about a key. Rejects with `KmsError`; key_not_found covers a mount that is not there. */
export async function readTransitKey(
  client: VaultClient,
  operation: string,
  namespace: string | undefined,
  path: TransitPath,
  abort: AbortSignal,
): Promise<TransitKey> {
  const data = await client.call(transitCall(operation, namespace, path, 'keys'), abort)
  const type = textField(data, 'type')
  const latestVersion = numberField(data, 'latest_version')
  if (type === undefined || latestVersion === undefined) throw unusableAnswer(operation)
  const isEncrypting = field(data, 'supports_encryption') === true
  return {
    path,
    type,
    binding: bindingOfType(type, field(data, 'derived') === true),
    isEnabled: isEncrypting && field(data, 'soft_deleted') !== true,
    latestVersion,
    publicKeys: publicKeysOf(field(data, 'keys')),
  }
}

/** How the key binds a context. Throws bad_request when it cannot. */
export function bindingOf(key: TransitKey, operation: string): Binding {
  if (key.binding !== undefined) return key.binding
  throw new KmsError('bad_request', operation, `Transit key type ${key.type} cannot bind a context`)
}

/** What to send so that the context is bound, as Transit names it. Throws bad_request when the key cannot. */
export function boundContext(key: TransitKey, operation: string, context: Uint8Array): object {
  const base64 = Buffer.from(context.buffer, context.byteOffset, context.byteLength).toString('base64')
  return bindingOf(key, operation) === 'derived' ? { context: base64 } : { associated_data: base64 }
}

function bindingOfType(type: string, isDerived: boolean): Binding | undefined {
  if (!AEAD_TYPES.has(type)) return undefined
  return isDerived ? 'derived' : 'associated_data'
}

function publicKeysOf(versions: unknown): Map<number, string> {
  const keys = new Map<number, string>()
  if (typeof versions !== 'object' || versions === null) return keys
  for (const [version, parts] of Object.entries(versions)) {
    const text = textField(parts, 'public_key')
    if (/^\d{1,9}$/.test(version) && text !== undefined && text !== '') keys.set(Number(version), text)
  }
  return keys
}
