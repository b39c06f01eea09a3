// `betrace keys shred --tenant T`: what can be destroyed here is, and shown to be; what cannot is said.
import { type ShredScope, shredScope, shredSecrets } from '../keys/shred.ts'
import type { KeysIo } from './keys.ts'
import type { WritableKeys } from './keys-access.ts'
import type { KeysArguments } from './keys-arguments.ts'
import { confirm } from './keys-confirm.ts'
import { shown } from './keys-public.ts'
import { notConfirmed, reasonOf } from './keys-rotate.ts'
import { masterKeyDeletion } from './master-key-deletion.ts'
import { ExitCode, LINE_COLUMNS, wrap } from './terminal.ts'

const SHRED_MS_MAX = 10 * 60_000

export async function shredTenant(keys: WritableKeys, args: KeysArguments, io: KeysIo): Promise<number> {
  const tenant = args.tenant ?? ''
  const scope = shredScope(keys.store, tenant)
  const ownMasterKey = keys.config.kms.tenantKeyMapping.get(tenant)
  const hadSecret = scope.secretIds.length > 0 || scope.destroyedCount > 0
  if (!hadSecret && ownMasterKey === undefined) {
    say(
      io.stderr,
      `betrace keys: ${shown(tenant)} has neither a tenant secret nor a master key of its own, so nothing that can be destroyed here would make its values unreadable. Nothing was done. For what is sealed from now on, set processors.redaction.tenant_secret: true, or give the tenant a master key under kms.tenant_key_mapping.`,
    )
    return ExitCode.FAILED
  }
  if (!(await confirmed(tenant, scope, args, io))) return notConfirmed(io)
  const isShredded = !hadSecret || (await shredAndTell(keys, tenant, scope, io))
  if (!isShredded) return ExitCode.FAILED
  if (ownMasterKey !== undefined) {
    say(
      io.stdout,
      `${shown(tenant)} has a master key of its own, ${shown(ownMasterKey)}. Once that is destroyed, nothing of the tenant's opens anywhere; its signatures stay verifiable, and it cannot sign or seal until it is given another. This happens at the provider, so it is not claimed here:`,
    )
    for (const command of masterKeyDeletion(keys.config, ownMasterKey))
      io.stdout.write(`  ${shown(command)}\n`)
    if (!hadSecret || scope.uncovered !== undefined) return ExitCode.CANNOT_TELL
  }
  return scope.uncovered === undefined ? ExitCode.GOOD : ExitCode.FAILED
}

/** Where there is nothing to destroy but a master key elsewhere, there is nothing to confirm. */
function confirmed(tenant: string, scope: ShredScope, args: KeysArguments, io: KeysIo): Promise<boolean> {
  if (scope.secretIds.length === 0) return Promise.resolve(true)
  const question = `Everything sealed under ${scope.coveredCount} data keys of ${shown(tenant)} becomes unreadable, for everybody and for good.`
  return confirm(question, tenant, args.isConfirmed, io)
}

async function shredAndTell(
  keys: WritableKeys,
  tenant: string,
  scope: ShredScope,
  io: KeysIo,
): Promise<boolean> {
  try {
    const { destroyedIds, provenCount } = await shredSecrets(keys, tenant, AbortSignal.timeout(SHRED_MS_MAX))
    say(
      io.stdout,
      destroyedIds.length === 0
        ? `The secret of ${shown(tenant)} was destroyed before; ${scope.destroyedCount} data keys need it. The data file was written anew without traces of it.`
        : `Destroyed ${destroyedIds.length} secret(s) of ${shown(tenant)}: ${destroyedIds.join(', ')}. Data keys that needed them: ${scope.coveredCount}.`,
    )
    if (provenCount > 0)
      say(io.stdout, `Proved: ${provenCount} value(s) sealed under them opened before, and none opens now.`)
    say(
      io.stdout,
      'Its signatures stay verifiable. Still readable with a copy: run this on every replica, and destroy backups and snapshots of the data folder that hold the secret.',
    )
  } catch (thrown) {
    say(
      io.stderr,
      `betrace keys: not shredded, or not to the end: ${reasonOf(thrown)}; the same command may be given again`,
    )
    return false
  }
  const { uncovered } = scope
  if (uncovered !== undefined) {
    const [first, last] = [uncovered.firstMs, uncovered.lastMs].map((ms) => new Date(ms).toISOString())
    say(
      io.stderr,
      `betrace keys: NOT shredded: what was sealed under ${uncovered.count} data keys made without a secret, ${first} to ${last}; the master key opens it.`,
    )
  }
  return true
}

function say(output: KeysIo['stdout'], text: string): void {
  output.write(
    `${text
      .split('\n')
      .map((line) => wrap(line, '', '', LINE_COLUMNS))
      .join('\n')}\n`,
  )
}
