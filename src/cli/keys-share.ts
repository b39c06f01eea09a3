// `betrace keys share-pseudonyms`: what other replicas are given, so that equal values join across all of them.
import type { KeyStore } from '../keys/keystore.ts'
import type { Kms } from '../keys/kms.ts'
import { createSharedRoot, formatPseudonymKeys, givenKeyOf } from '../keys/pseudonym-file.ts'
import { storedKeys } from '../keys/stored-key.ts'
import type { KeysIo } from './keys.ts'
import type { KeysArguments } from './keys-arguments.ts'
import { shown } from './keys-public.ts'
import { ExitCode } from './terminal.ts'

const WRAP_MS_MAX = 30_000

export async function sharePseudonyms(
  { store, kms }: { readonly store: KeyStore; readonly kms: Kms },
  args: KeysArguments,
  io: KeysIo,
): Promise<number> {
  const { records, corrupt } = storedKeys(store, 'pseudonym', args.tenant)
  for (const { record } of corrupt) io.stderr.write(`betrace keys: record ${shown(record)} is damaged\n`)
  if (corrupt.length > 0) return ExitCode.FAILED
  const tenants = new Map<string, ReturnType<typeof givenKeyOf>>()
  for (const record of records) {
    // Oldest first, and the oldest active one is in force.
    if (record.status === 'ACTIVE' && !tenants.has(record.tenant))
      tenants.set(record.tenant, givenKeyOf(record))
  }
  if (tenants.size === 0 && !args.isShared) {
    io.stderr.write(
      'betrace keys: no tenant has a pseudonym key yet; --shared makes a root for all of them\n',
    )
    return ExitCode.FAILED
  }
  const shared = args.isShared ? await createSharedRoot(kms, AbortSignal.timeout(WRAP_MS_MAX)) : undefined
  io.stdout.write(formatPseudonymKeys({ shared, tenants }))
  return ExitCode.GOOD
}
