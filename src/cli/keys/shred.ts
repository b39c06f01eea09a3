// `betrace keys shred --tenant T`: what can be destroyed here is, and shown to be; what cannot is said, and so is what
// neither reaches.

import { type ShredScope, shredScope, shredSecrets } from '../../keys/operations/shred.ts'
import { masterKeyOf, masterKeyScope, type OtherMasterKey } from '../../keys/records/master-key-scope.ts'
import { ExitCode, escapeControls } from '../terminal.ts'
import type { WritableKeys } from './access.ts'
import type { KeysArguments } from './arguments.ts'
import { confirm } from './confirm.ts'
import { masterKeyDeletion } from './master-key-deletion.ts'
import { type KeysIo, notConfirmed, printWrapped, reasonOf } from './output.ts'

const SHRED_MS_MAX = 10 * 60_000
const ASK_MS_MAX = 60_000

export async function shredTenant(keys: WritableKeys, args: KeysArguments, io: KeysIo): Promise<number> {
  const tenant = args.tenant ?? ''
  const scope = shredScope(keys.store, tenant)
  const ownMasterKey = keys.config.kms.tenantKeyMapping.get(tenant)
  const hadSecret = scope.secretIds.length > 0 || scope.destroyedCount > 0
  if (!hadSecret && ownMasterKey === undefined) {
    printWrapped(
      io.stderr,
      `betrace keys: ${escapeControls(tenant)} has neither a tenant secret nor a master key of its own, so nothing that can be destroyed here would make its values unreadable. Nothing was done. For what is sealed from now on, set processors.pii.tenant_secret: true, or give the tenant a master key under kms.tenant_key_mapping.`,
    )
    return ExitCode.FAILED
  }
  if (!(await confirmed(tenant, scope, args, io))) return notConfirmed(io)
  const isShredded = !hadSecret || (await shredAndTell(keys, tenant, scope, io))
  if (!isShredded) return ExitCode.FAILED
  const code = ownMasterKey === undefined ? withoutOwnKey(scope) : await withOwnKey(keys, tenant, scope, io)
  return tellOfDamage(tenant, scope, io) ? ExitCode.FAILED : code
}

/** Where there is nothing to destroy but a master key elsewhere, there is nothing to confirm. */
function confirmed(tenant: string, scope: ShredScope, args: KeysArguments, io: KeysIo): Promise<boolean> {
  if (scope.secretIds.length === 0) return Promise.resolve(true)
  const question = `Everything sealed under ${dataKeys(scope.coveredCount)} of ${escapeControls(tenant)} becomes unreadable, for everybody and for good.`
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
    printWrapped(
      io.stdout,
      destroyedIds.length === 0
        ? `The secret of ${escapeControls(tenant)} was destroyed before; ${dataKeys(scope.destroyedCount)} needed it. The data file was written anew without traces of it.`
        : `Destroyed ${destroyedIds.length} secret(s) of ${escapeControls(tenant)}: ${destroyedIds.join(', ')}. Data keys that needed them: ${scope.coveredCount}.`,
    )
    if (provenCount > 0)
      printWrapped(
        io.stdout,
        `Proved: ${provenCount} value(s) sealed under them opened before, and none opens now.`,
      )
    printWrapped(
      io.stdout,
      'Its signatures stay verifiable. Still readable with a copy: run this on every replica, and destroy backups and snapshots of the data folder that hold the secret.',
    )
  } catch (thrown) {
    printWrapped(
      io.stderr,
      `betrace keys: not shredded, or not to the end: ${reasonOf(thrown)}; the same command may be given again`,
    )
    return false
  }
  const { uncovered } = scope
  if (uncovered !== undefined)
    printWrapped(
      io.stderr,
      `betrace keys: NOT shredded: what was sealed under ${dataKeys(uncovered.count)} made without a secret, ${span(uncovered)}; the master key opens it.`,
    )
  return true
}

function withoutOwnKey({ uncovered }: ShredScope): number {
  return uncovered === undefined ? ExitCode.GOOD : ExitCode.FAILED
}

async function withOwnKey(
  keys: WritableKeys,
  tenant: string,
  { uncovered, secretIds, destroyedCount }: ShredScope,
  io: KeysIo,
): Promise<number> {
  const configured = keys.config.kms.tenantKeyMapping.get(tenant) ?? ''
  const own = await masterKeyOf(keys.kms, tenant, AbortSignal.timeout(ASK_MS_MAX))
  const scope = own && masterKeyScope(keys.store, tenant, own)
  const reach =
    scope === undefined
      ? 'It does not answer, so what its end reaches cannot be told.'
      : `Once that is destroyed, nothing that was sealed under the ${dataKeys(scope.coveredCount)} of it that this key store knows opens anywhere.`
  printWrapped(
    io.stdout,
    `${escapeControls(tenant)} has a master key of its own, ${escapeControls(configured)}. ${reach} Its signatures stay verifiable, and it cannot sign or seal until it is given another key. This happens at the provider, so it is not claimed here:`,
  )
  for (const command of masterKeyDeletion(keys.config, configured))
    io.stdout.write(`  ${escapeControls(command)}\n`)
  printWrapped(io.stdout, 'Then end its signing key, or rotation fails for this tenant for good:')
  io.stdout.write(`  betrace keys retire --tenant ${escapeControls(tenant)}\n`)
  for (const other of scope?.others ?? [])
    printWrapped(io.stderr, `betrace keys: NOT covered: ${otherWay(other)}`)
  if (scope !== undefined && scope.others.length > 0) return ExitCode.FAILED
  const hadSecret = secretIds.length > 0 || destroyedCount > 0
  return hadSecret && uncovered === undefined ? ExitCode.GOOD : ExitCode.CANNOT_TELL
}

function otherWay(other: OtherMasterKey): string {
  const { provider, masterKeyId, isOnlyExported, count } = other
  const [what, name] = [
    `what was sealed under ${dataKeys(count)}, ${span(other)}`,
    `${provider} ${escapeControls(masterKeyId)}`,
  ]
  return isOnlyExported
    ? `${what}. They were rewrapped since, but what was exported before still names ${name}, which opens it.`
    : `${what}; ${name} opens it, and goes on to.`
}

function tellOfDamage(tenant: string, { damagedCount }: ShredScope, io: KeysIo): boolean {
  const what = damagedCount === 1 ? 'announcement' : 'announcements'
  if (damagedCount > 0)
    printWrapped(
      io.stderr,
      `betrace keys: ${damagedCount} damaged ${what} of ${escapeControls(tenant)} in the key store; nothing can be told of what was sealed under ${damagedCount === 1 ? 'its key' : 'their keys'}`,
    )
  return damagedCount > 0
}

const dataKeys = (count: number): string => `${count} data ${count === 1 ? 'key' : 'keys'}`

function span({ firstMs, lastMs }: { readonly firstMs: number; readonly lastMs: number }): string {
  return `${new Date(firstMs).toISOString()} to ${new Date(lastMs).toISOString()}`
}
