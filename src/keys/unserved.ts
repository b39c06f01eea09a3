// Whether every tenant would be refused its keys now. A call to the key service that failed says so only while no key of
// its kind is at hand, and only until the same kind of call succeeds; who is turned away because of it sends nothing that
// would make that call, so the readiness check makes it.
import { randomBytes } from 'node:crypto'
import type { KeyPurpose } from '../formats/key-context.ts'
import type { CallHistory, FailedCall } from '../kms/call-history.ts'
import {
  openStoredKey,
  type StoredKeyKind,
  type StoredKeySettings,
  storedKeys,
} from './records/stored-key.ts'

/** The keys without which a request is refused; a hash without its key falls to a mask. */
export const NEEDED_KEYS = ['encryption', 'signing'] as const
export type NeededKey = (typeof NEEDED_KEYS)[number]

/** What the key service is called for when a key of a kind is loaded. */
const PURPOSES: Readonly<Record<NeededKey, readonly KeyPurpose[]>> = {
  encryption: ['pii', 'secret'],
  signing: ['signing'],
}

/** `isOutage`: loading would fail, and not by a refusal. Whether a cached key would serve all the same. */
export type IsServing = (key: NeededKey, isOutage: boolean) => boolean

/** The calls whose failure keeps every tenant from its keys, the newest of each kind of key. */
export function unservedCalls(history: CallHistory, isServing: IsServing): FailedCall[] {
  const calls: FailedCall[] = []
  for (const key of NEEDED_KEYS) {
    const failed = history.lastFor(PURPOSES[key])
    if (failed !== undefined && !isServing(key, failed.error.isRetryable)) calls.push(failed)
  }
  return calls
}

/**
 * Makes a failed call again, for its own tenant or, since that one alone may be denied, for another. What comes of it is
 * noted where calls are noted, and zeroed; nothing is kept.
 */
export async function repeatCall(
  parts: StoredKeySettings,
  { operation, purpose, tenant }: FailedCall,
  otherTenant: string,
  abort: AbortSignal,
): Promise<void> {
  if (purpose === undefined || tenant === undefined) return
  for (const tenantId of new Set([tenant, otherTenant])) {
    try {
      await repeatFor(parts, operation, purpose, tenantId, abort)
      return
    } catch {
      // The call itself has counted, logged and noted it.
    }
  }
}

async function repeatFor(
  parts: StoredKeySettings,
  operation: string,
  purpose: KeyPurpose,
  tenantId: string,
  abort: AbortSignal,
): Promise<void> {
  const { kms } = parts
  if (operation === 'generate_data_key') {
    const { plaintext } = await kms.generateDataKey({ tenantId, purpose }, abort)
    plaintext.fill(0)
    return
  }
  const record = operation === 'decrypt' ? activeRecord(parts, purpose, tenantId) : undefined
  if (record !== undefined) {
    ;(await openStoredKey(parts, record.kind, record.record, abort)).fill(0)
    return
  }
  const context = { tenantId, purpose, keyId: randomBytes(9).toString('base64url') }
  const { wrapped, masterKeyId } = await kms.wrap(randomBytes(32), context, abort)
  if (operation === 'decrypt') (await kms.unwrap(wrapped, masterKeyId, context, abort)).fill(0)
}

function activeRecord({ store }: StoredKeySettings, purpose: KeyPurpose, tenant: string) {
  const kind: StoredKeyKind | undefined =
    purpose === 'signing' || purpose === 'secret' || purpose === 'pseudonym' ? purpose : undefined
  if (kind === undefined) return undefined
  const record = storedKeys(store, kind, tenant).records.findLast(({ status }) => status === 'ACTIVE')
  return record && { kind, record }
}
