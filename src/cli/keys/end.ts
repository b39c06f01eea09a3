// `betrace keys revoke | retire`: the two ends of a signing key. Revoked, nothing that it signed counts; retired, everything
// does, and no key follows it. Neither needs the key service, with the sidecar stopped.
import { KeyRecordError } from '../../keys/records/key-record.ts'
import { storedKeys } from '../../keys/records/stored-key.ts'
import { retireSigningKey, revokeSigningKey } from '../../keys/signing/signing-keys.ts'
import { ExitCode, escapeControls } from '../terminal.ts'
import type { WritableRecords } from './access.ts'
import type { KeysArguments } from './arguments.ts'
import { confirm } from './confirm.ts'
import { type KeysIo, notConfirmed, printWrapped } from './output.ts'

export async function revokeKey(keys: WritableRecords, args: KeysArguments, io: KeysIo): Promise<number> {
  const [keyId, tenant] = [args.keyId ?? '', args.tenant ?? '']
  const question = `Revoke ${escapeControls(keyId)} of ${escapeControls(tenant)}: nothing that it signed will count any more, and no key that it endorsed.`
  if (!(await confirm(question, keyId, args.isConfirmed, io))) return notConfirmed(io)
  try {
    const { isNew, endedKeyIds } = await revokeSigningKey(keys, tenant, keyId)
    printWrapped(io.stdout, isNew ? `revoked ${keyId}` : `${keyId} was revoked before`)
    if (endedKeyIds.length > 0)
      printWrapped(
        io.stdout,
        `ended ${endedKeyIds.join(', ')}: nobody but the revoked key vouched for it, so what it signed cannot be told to be good either`,
      )
    printWrapped(io.stdout, nextKey(keys, tenant))
    return ExitCode.GOOD
  } catch (thrown) {
    if (!(thrown instanceof KeyRecordError)) throw thrown
    return setAside(keys, tenant, keyId, io)
  }
}

export async function retireKey(keys: WritableRecords, args: KeysArguments, io: KeysIo): Promise<number> {
  const tenant = args.tenant ?? ''
  const question = `End the signing key of ${escapeControls(tenant)} without a successor: what it signed stays good, and the chain of its keys ends.`
  if (!(await confirm(question, tenant, args.isConfirmed, io))) return notConfirmed(io)
  const ended = await retireSigningKey(keys, tenant)
  const { corrupt } = storedKeys(keys.store, 'signing', tenant)
  for (const { record } of corrupt)
    io.stderr.write(`betrace keys: record ${escapeControls(record)} is damaged\n`)
  if (ended.length === 0) {
    io.stderr.write(`betrace keys: ${escapeControls(tenant)} has no signing key in use\n`)
    return ExitCode.FAILED
  }
  printWrapped(
    io.stdout,
    `retired ${ended.join(', ')} of ${escapeControls(tenant)}: what it signed stays verifiable, and rotation passes the tenant over. Should the tenant sign again, that makes a first key.`,
  )
  return corrupt.length === 0 ? ExitCode.GOOD : ExitCode.FAILED
}

/** A damaged key can neither sign nor be shown to anybody; it only keeps its tenant from getting another one. */
async function setAside(keys: WritableRecords, tenant: string, keyId: string, io: KeysIo): Promise<number> {
  const bytes = keys.store.get('signing', tenant, keyId)
  if (bytes === undefined) {
    io.stderr.write(
      `betrace keys: ${escapeControls(tenant)} has no signing key ${escapeControls(keyId)}; betrace keys list shows its keys\n`,
    )
    return ExitCode.FAILED
  }
  await keys.store.remove('signing', tenant, keyId)
  printWrapped(io.stdout, `the record of ${escapeControls(keyId)} was damaged and is removed`)
  printWrapped(io.stdout, nextKey(keys, tenant))
  io.stdout.write(
    'Its public key is only where it was exported before. The record, in base64:\n' +
      `${Buffer.from(bytes).toString('base64')}\n`,
  )
  return ExitCode.GOOD
}

function nextKey({ store }: WritableRecords, tenant: string): string {
  const inUse = storedKeys(store, 'signing', tenant).records.findLast(({ status }) => status === 'ACTIVE')
  return inUse === undefined
    ? 'the tenant’s next signature makes a first key: hand it to your verifiers'
    : `the tenant goes on signing with ${inUse.id}`
}
