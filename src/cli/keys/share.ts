// `betrace keys share-pseudonyms`: what other replicas are given, so that equal values join across all of them.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { SidecarError } from '../../base/errors.ts'
import {
  createGivenKey,
  createSharedRoot,
  formatPseudonymKeys,
  type GivenPseudonymKeys,
  givenKeyOf,
  parsePseudonymKeys,
  rewrapGivenKeys,
} from '../../keys/data/pseudonym-file.ts'
import type { KeyStore } from '../../keys/records/keystore.ts'
import { storedKeys } from '../../keys/records/stored-key.ts'
import type { Kms } from '../../kms/kms.ts'
import { ExitCode, escapeControls } from '../terminal.ts'
import { openFormerKms } from './access.ts'
import type { KeysArguments } from './arguments.ts'
import type { KeysIo } from './output.ts'

const WRAP_MS_MAX = 30_000
const REWRAP_MS_MAX = 10 * 60_000

export async function sharePseudonyms(
  { store, kms }: { readonly store: KeyStore; readonly kms: Kms },
  args: KeysArguments,
  io: KeysIo,
): Promise<number> {
  const { records, corrupt } = storedKeys(store, 'pseudonym', args.tenant)
  for (const { record } of corrupt)
    io.stderr.write(`betrace keys: record ${escapeControls(record)} is damaged\n`)
  if (corrupt.length > 0) return ExitCode.FAILED
  const kept = await keptKeys(kms, args, io)
  const tenants = new Map(kept?.tenants)
  for (const record of records) {
    // Oldest first, and the oldest active one is in force.
    if (record.status === 'ACTIVE' && !tenants.has(record.tenant))
      tenants.set(record.tenant, givenKeyOf(record))
  }
  const signal = AbortSignal.timeout(WRAP_MS_MAX)
  const { tenant } = args
  if (args.isRenewal && tenant !== undefined) tenants.set(tenant, await createGivenKey(kms, tenant, signal))
  const shared = kept?.shared ?? (args.isShared ? await createSharedRoot(kms, signal) : undefined)
  if (tenants.size === 0 && shared === undefined) {
    io.stderr.write(
      'betrace keys: no tenant has a pseudonym key yet; --shared makes a root for all of them\n',
    )
    return ExitCode.FAILED
  }
  io.stdout.write(formatPseudonymKeys({ shared, tenants }))
  return ExitCode.GOOD
}

async function keptKeys(
  kms: Kms,
  { keepFile, fromConfigs }: KeysArguments,
  io: KeysIo,
): Promise<GivenPseudonymKeys | undefined> {
  if (keepFile === undefined) return undefined
  const text = await readFile(resolve(io.cwd, keepFile), 'utf8').catch((cause: unknown) => {
    throw new SidecarError('CONFIG', '--keep: the file cannot be read', { cause })
  })
  const kept = parsePseudonymKeys(text)
  const from = await openFormerKms(fromConfigs, io)
  if (from === undefined) return kept
  try {
    return await rewrapGivenKeys(kept, from, kms, AbortSignal.timeout(REWRAP_MS_MAX))
  } finally {
    await from.close()
  }
}
