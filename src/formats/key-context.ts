// The encryption context: what a wrapped key is for. Services that take one authenticate it; for those that do not, it
// is bound by key derivation (proto/sealed-value.md §1, §2). Its serialisation must be unambiguous, or two different
// contexts could stand for each other.
import { SidecarError } from '../base/errors.ts'

export type KeyPurpose = 'pii' | 'signing' | 'pseudonym' | 'secret' | 'probe'

export const KEY_PURPOSES: readonly KeyPurpose[] = ['pii', 'signing', 'pseudonym', 'secret', 'probe']

/** The same map goes into wrap and unwrap. */
export interface KmsContext {
  readonly tenantId: string
  readonly purpose: KeyPurpose
  /** Which key of this tenant and purpose, where there are several. */
  readonly keyId?: string
}

/** The entries of a context as names and values, for services that take a map. */
export function contextEntries(context: KmsContext): [name: string, value: string][] {
  const entries: [string, string][] = [
    ['tenantId', context.tenantId],
    ['purpose', context.purpose],
  ]
  if (context.keyId !== undefined) entries.push(['keyId', context.keyId])
  return entries
}

/** Bytes of a context, proto/sealed-value.md §1. Throws MALFORMED for text that has no UTF-8. */
export function serialiseContext(context: KmsContext): Uint8Array {
  return serialiseEntries(contextEntries(context))
}

/** `u32(count) ‖ lp(name) ‖ lp(value) …`, sorted by the names' bytes; order of the argument does not matter. */
export function serialiseEntries(entries: readonly (readonly [name: string, value: string])[]): Uint8Array {
  const rows = entries.map(([name, value]) => ({ name: utf8(name), value: utf8(value) }))
  rows.sort((a, b) => Buffer.compare(a.name, b.name))
  return Buffer.concat([
    u32(rows.length),
    ...rows.flatMap((row) => [lengthPrefixed(row.name), lengthPrefixed(row.value)]),
  ])
}

/** `u32(length) ‖ bytes`. */
export function lengthPrefixed(bytes: Uint8Array): Buffer {
  return Buffer.concat([u32(bytes.length), bytes])
}

export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A lone surrogate would become U+FFFD, and two different strings the same bytes. */
export function utf8(text: string): Buffer {
  if (!text.isWellFormed()) throw new SidecarError('MALFORMED', 'text is not well-formed Unicode')
  return Buffer.from(text, 'utf8')
}
