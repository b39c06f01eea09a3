// `betrace keys list | show | export`: the public records of signing keys.
import { type EndorsementVerdict, judgeEndorsements } from '../../formats/endorsement.ts'
import type { KeyRecord } from '../../keys/records/key-record.ts'
import type { KeyStore } from '../../keys/records/keystore.ts'
import { storedKeys } from '../../keys/records/stored-key.ts'
import { publicKeyRecord } from '../../keys/signing/signing-keys.ts'
import { type CommandIo, ExitCode, escapeControls, table } from '../terminal.ts'
import type { KeysArguments } from './arguments.ts'

const ENDORSEMENTS: Readonly<Record<EndorsementVerdict, string>> = {
  first: 'a first key: trust it by other means',
  endorsed: 'good, up to the first key',
  endorser_unknown: 'by a key that is not there',
  endorser_revoked: 'by a key that was revoked',
  bad: 'does not verify',
}

export function showPublicKeys(store: KeyStore, args: KeysArguments, io: CommandIo): number {
  const { records, corrupt } = storedKeys(store, 'signing', args.tenant)
  for (const { record } of corrupt)
    io.stderr.write(`betrace keys: record ${escapeControls(record)} is damaged\n`)
  const isFound = args.action === 'show' ? showOne(records, args, io) : showAll(records, args, io)
  return isFound && corrupt.length === 0 ? ExitCode.GOOD : ExitCode.FAILED
}

function showOne(records: readonly KeyRecord[], { keyId, isJson }: KeysArguments, io: CommandIo): boolean {
  const record = records.find(({ id }) => id === keyId)
  if (record === undefined) {
    io.stderr.write(
      `betrace keys: no signing key has the id ${escapeControls(keyId ?? '')}; betrace keys list shows them\n`,
    )
    return false
  }
  const ofTenant = records
    .filter(({ tenant }) => tenant === record.tenant)
    .map((each) => ({ ...each, keyId: each.id }))
  const verdict = judgeEndorsements(record.tenant, ofTenant).get(record.id)
  const known = {
    tenantId: record.tenant,
    ...publicKeyRecord(record),
    endorsementVerdict: verdict ?? 'bad',
    provider: record.provider,
    masterKeyId: record.masterKeyId,
  }
  const rows = Object.entries({ ...known, endorsementVerdict: ENDORSEMENTS[known.endorsementVerdict] })
  io.stdout.write(
    isJson
      ? `${JSON.stringify(known)}\n`
      : table(rows.map(([name, value]) => [name, escapeControls(value ?? '-')])),
  )
  return true
}

function showAll(records: readonly KeyRecord[], { action, isJson }: KeysArguments, io: CommandIo): boolean {
  if (action === 'export' || isJson) {
    io.stdout.write(`${JSON.stringify(byTenant(records), undefined, action === 'export' ? 2 : 0)}\n`)
  } else if (records.length === 0) io.stdout.write('no signing keys yet\n')
  else {
    const rows = records.map((record) => [
      record.id,
      record.status,
      new Date(record.createdMs).toISOString(),
      record.endorsedBy === '' ? '-' : record.endorsedBy,
      escapeControls(record.tenant),
    ])
    io.stdout.write(table([['KEY', 'STATUS', 'CREATED', 'ENDORSED BY', 'TENANT'], ...rows]))
  }
  return true
}

/** The shape of the public key endpoint, once per tenant. */
function byTenant(records: readonly KeyRecord[]): object[] {
  const tenants = Map.groupBy(records, ({ tenant }) => tenant)
  return [...tenants].map(([tenantId, ofTenant]) => ({ tenantId, keys: ofTenant.map(publicKeyRecord) }))
}
