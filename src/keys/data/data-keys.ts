// A tenant's current data key: made, announced in the key store, and replaced before it is used up.
import { SidecarError } from '../../base/errors.ts'
import { CLASSES_MAX } from '../../formats/announcement.ts'
import { CLASS_PATTERN } from '../../formats/sealed-value.ts'
import type { StoredKeySettings } from '../records/stored-key.ts'
import { SealingKey } from './sealing-key.ts'
import { loadTenantSecret } from './tenant-secret.ts'

export interface DataKeyOptions {
  readonly tenant: string
  readonly dataClasses: readonly string[]
  readonly idsBound: boolean
  readonly padded: boolean
  /** Mix the tenant's secret into the key. */
  readonly tenantSecret: boolean
}

/** A new key whose announcement is durable. Rejects with `KmsError`, `KeyRecordError` or what the store says. */
export async function generateSealingKey(
  parts: StoredKeySettings,
  options: DataKeyOptions,
  abort: AbortSignal,
): Promise<SealingKey> {
  const { tenant, dataClasses, idsBound, padded } = options
  const tenantSecret = options.tenantSecret ? await loadTenantSecret(parts, tenant, abort) : undefined
  try {
    const nowMs = parts.clock.nowMs()
    const key = await SealingKey.generate(
      parts.kms,
      { tenant, dataClasses, idsBound, padded, tenantSecret, nowMs },
      abort,
    )
    await parts.store.put('announcement', tenant, key.kid, Buffer.from(key.announcement))
    return key
  } finally {
    tenantSecret?.bytes.fill(0)
  }
}

export function isUsed(key: SealingKey, usesMax: number, bytesMax: number): boolean {
  return key.usesCount >= usesMax || key.bytesSealed >= bytesMax
}

/** What an announcement cannot list is found at start, not with the first value. Throws CONFIG. */
export function checkedClasses(names: readonly string[]): readonly string[] {
  const classes = [...new Set(names)]
  if (classes.length > CLASSES_MAX || !classes.every((name) => CLASS_PATTERN.test(name))) {
    throw new SidecarError(
      'CONFIG',
      'data classes: at most 64, each 1 to 64 letters, digits, underscores or dashes',
    )
  }
  return classes
}
