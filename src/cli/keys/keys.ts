// `betrace keys`: what there is of keys, and what an operator does to them. Reading goes on beside a running sidecar;
// writing needs it stopped, since its caches would not notice. Exit codes: 0 good, 1 failed or a record is damaged or not
// there, 2 cannot tell or cannot read, 3 usage.
import { asSidecarError } from '../../base/errors.ts'
import { reportUsage } from '../help.ts'
import { type OpenKeyStore, openKeyStore } from '../key-store-access.ts'
import { type CommandIo, ExitCode } from '../terminal.ts'
import {
  loadKeysConfig,
  openReadableKeys,
  openWritableKeys,
  openWritableRecords,
  type WritableKeys,
  type WritableRecords,
} from './access.ts'
import { callAdmin } from './admin-call.ts'
import { KEYS_USAGE, type KeysAction, type KeysArguments, readKeysArguments } from './arguments.ts'
import { retireKey, revokeKey } from './end.ts'
import type { KeysIo } from './output.ts'
import { showPublicKeys } from './public.ts'
import { rewrapKeys } from './rewrap.ts'
import { rotateKeys } from './rotate.ts'
import { sharePseudonyms } from './share.ts'
import { shredTenant } from './shred.ts'

/** How the command reaches records for reading; tests give their own. */
export type OpenRecords = (configArgv: readonly string[], io: CommandIo) => Promise<OpenKeyStore>

type Action<K> = (keys: K, args: KeysArguments, io: KeysIo) => Promise<number>

const WRITING: Readonly<Partial<Record<KeysAction, Action<WritableKeys>>>> = {
  rotate: rotateKeys,
  rewrap: rewrapKeys,
  shred: shredTenant,
}

/** These work when the key service, or the tenant's master key, is gone. */
const ENDING: Readonly<Partial<Record<KeysAction, Action<WritableRecords>>>> = {
  revoke: revokeKey,
  retire: retireKey,
}

export async function keys(
  argv: string[],
  io: Pick<CommandIo, 'stdout' | 'stderr'> & Partial<KeysIo>,
  openRecords: OpenRecords = openConfigured,
): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(KEYS_USAGE)
    return ExitCode.GOOD
  }
  const args = readKeysArguments(argv)
  if (typeof args === 'string') {
    return reportUsage(io, 'keys', args)
  }
  const surroundings: KeysIo = { ...io, env: io.env ?? process.env, cwd: io.cwd ?? process.cwd() }
  const [writing, ending] = [WRITING[args.action], ENDING[args.action]]
  try {
    if (args.adminUrl !== undefined) return await callAdmin(args, surroundings)
    if (writing !== undefined) return await write(writing, args, surroundings)
    if (ending !== undefined) return await end(ending, args, surroundings)
    if (args.action === 'share-pseudonyms') return await share(args, surroundings)
    const opened = await openRecords(args.configArgv, surroundings)
    try {
      return showPublicKeys(opened.store, args, surroundings)
    } finally {
      await opened.close()
    }
  } catch (thrown) {
    const error = asSidecarError(thrown)
    if (error.code === 'INTERNAL' || error.code === 'USAGE') throw thrown
    if (error.code === 'STORE_LOCKED') {
      io.stderr.write(`betrace keys: ${lockedText(args.action)}\n`)
      return ExitCode.FAILED
    }
    io.stderr.write(`betrace keys: ${error.message}\n`)
    return writing === undefined && ending === undefined ? ExitCode.CANNOT_TELL : ExitCode.FAILED
  }
}

async function write(action: Action<WritableKeys>, args: KeysArguments, io: KeysIo): Promise<number> {
  // Of the actions, only a move to a new master key may make one.
  const opened = await openWritableKeys(args.configArgv, io, args.action === 'rewrap')
  try {
    return await action(opened, args, io)
  } finally {
    await opened.close()
  }
}

async function end(action: Action<WritableRecords>, args: KeysArguments, io: KeysIo): Promise<number> {
  const opened = await openWritableRecords(args.configArgv, io)
  try {
    return await action(opened, args, io)
  } finally {
    await opened.close()
  }
}

async function share(args: KeysArguments, io: KeysIo): Promise<number> {
  const opened = await openReadableKeys(args.configArgv, io)
  try {
    return await sharePseudonyms(opened, args, io)
  } finally {
    await opened.close()
  }
}

function lockedText(action: KeysAction): string {
  const way =
    action === 'rotate'
      ? 'stop it first, or have it rotate by itself: POST /api/admin/kms/rotate-all-keys'
      : action === 'share-pseudonyms'
        ? 'stop it first'
        : 'stop it first, or have it do this by itself: --admin URL'
  return `a running sidecar holds the storage directory; ${way}`
}

async function openConfigured(configArgv: readonly string[], io: CommandIo): Promise<OpenKeyStore> {
  const config = await loadKeysConfig(configArgv, io)
  return openKeyStore(config.storage.directory)
}
