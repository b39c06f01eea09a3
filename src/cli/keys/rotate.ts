// `betrace keys rotate`, with the sidecar stopped. Data keys do not need it: every start makes new ones.

import type { SidecarConfig } from '../../config/schema.ts'
import { rotatePseudonymKey } from '../../keys/data/pseudonym-keys.ts'
import { SigningAges } from '../../keys/signing/signing-ages.ts'
import { rotateSigningKey } from '../../keys/signing/signing-keys.ts'
import { readPseudonymKeys } from '../../service/key-options.ts'
import { ExitCode, escapeControls, wrap } from '../terminal.ts'
import type { WritableKeys } from './access.ts'
import type { KeysArguments } from './arguments.ts'
import { confirm } from './confirm.ts'
import { type KeysIo, notConfirmed, reasonOf } from './output.ts'

const DAY_MS = 86_400_000
const ROTATE_MS_MAX = 60_000

export async function rotateKeys(keys: WritableKeys, args: KeysArguments, io: KeysIo): Promise<number> {
  if (args.withPseudonym) {
    if (await isPseudonymKeyGiven(keys.config, args.tenant ?? '')) {
      io.stderr.write(`${wrap(SHARED_PSEUDONYM_KEY)}\n`)
      return ExitCode.FAILED
    }
    const question = 'A new pseudonym key: tokens from before and after it no longer join.'
    if (!(await confirm(question, args.tenant ?? '', args.isConfirmed, io))) return notConfirmed(io)
  }
  const { tenants, isWhole } = await tenantsToRotate(keys, args, io)
  if (tenants.length === 0 && isWhole && args.tenant === undefined) {
    io.stdout.write(args.isAll ? 'no tenant has a signing key yet\n' : 'no key needs rotation\n')
  }
  let failedCount = 0
  for (const tenant of tenants) if (!(await rotateOne(keys, tenant, args.withPseudonym, io))) failedCount++
  return failedCount === 0 && isWhole ? ExitCode.GOOD : ExitCode.FAILED
}

const SHARED_PSEUDONYM_KEY =
  'betrace keys: nothing was rotated: the pseudonym key of this tenant is given by kms.pseudonym_key_file, which all ' +
  'replicas share, and one made here would not be used. betrace keys share-pseudonyms --keep FILE --renew --tenant T ' +
  'prints that file with a new key for the tenant: give it to every replica and restart them together. Without ' +
  '--pseudonym, the signing key alone is rotated.'

/** Whether the sidecar takes the tenant's pseudonym key from the shared file and not from its key store. */
async function isPseudonymKeyGiven({ kms }: SidecarConfig, tenant: string): Promise<boolean> {
  if (kms.pseudonymKeyFile === undefined) return false
  const given = await readPseudonymKeys(kms.pseudonymKeyFile)
  return given.shared !== undefined || given.tenants.has(tenant)
}

async function tenantsToRotate(
  keys: WritableKeys,
  args: KeysArguments,
  io: KeysIo,
): Promise<{ tenants: string[]; isWhole: boolean }> {
  if (args.tenant !== undefined) return { tenants: [args.tenant], isWhole: true }
  let isWhole = true
  const ages = new SigningAges(keys.store, ({ record }) => {
    isWhole = false
    io.stderr.write(`betrace keys: record ${escapeControls(record)} is damaged\n`)
  })
  const ageMsMax = keys.config.kms.rotation.ageDaysMax * DAY_MS
  const nowMs = keys.clock.nowMs()
  const found = (await ages.survey()).filter(({ createdMs }) => args.isAll || nowMs - createdMs >= ageMsMax)
  return { tenants: found.map(({ tenant }) => tenant), isWhole }
}

async function rotateOne(
  keys: WritableKeys,
  tenant: string,
  withPseudonym: boolean,
  io: KeysIo,
): Promise<boolean> {
  const signal = AbortSignal.timeout(ROTATE_MS_MAX)
  try {
    const rotated = await rotateSigningKey(keys, tenant, signal)
    io.stdout.write(
      rotated === undefined
        ? `${escapeControls(tenant)}: has no signing key yet\n`
        : `${escapeControls(tenant)}: ${rotated.previousKeyId} is followed by ${rotated.key.keyId}\n`,
    )
    if (withPseudonym) {
      const key = await rotatePseudonymKey(keys, undefined, tenant, signal)
      io.stdout.write(
        key === undefined
          ? `${escapeControls(tenant)}: has no pseudonym key in the key store\n`
          : `${escapeControls(tenant)}: pseudonyms under ${key.kid} from now on\n`,
      )
    }
    return true
  } catch (thrown) {
    io.stderr.write(`betrace keys: ${escapeControls(tenant)} was not rotated: ${reasonOf(thrown)}\n`)
    return false
  }
}
