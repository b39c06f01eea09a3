// `betrace keys`: the public records of signing keys, read from the data folder while the sidecar runs or not. Exit
// codes: 0 good, 1 a record is damaged or not there, 2 the folder cannot be read, 3 usage.
import { parseArgs } from 'node:util'
import { asSidecarError, SidecarError } from '../errors.ts'
import type { KeyRecord } from '../keys/key-record.ts'
import { publicKeyRecord } from '../keys/signing-keys.ts'
import { type StoredKeys, storedKeys } from '../keys/stored-key.ts'
import { BUILD_ABILITIES } from './build-abilities.ts'
import { loadFromArguments, reportFindings } from './config-options.ts'
import { type OpenKeyStore, openKeyStore } from './key-store-access.ts'
import { type CommandIo, ExitCode, table } from './terminal.ts'

const USAGE = `usage: betrace keys list [--tenant T] [--json] [--config FILE]
       betrace keys show KEY_ID [--json]
       betrace keys export [--tenant T]

Public keys of the tenants that sign here.
  list      one line a key
  show      everything that is known of one key
  export    JSON for verify --keys, as GET /api/tenants/{id}/public-keys answers
  --config FILE, --set a.b.c=value
            the sidecar's configuration (./collector-config.yaml)
Exit codes: 0 good, 1 a record is damaged or missing, 2 cannot read, 3 usage.
`

interface KeysArguments {
  readonly action: 'list' | 'show' | 'export'
  readonly keyId: string | undefined
  readonly tenant: string | undefined
  readonly isJson: boolean
  readonly configArgv: readonly string[]
}

/** How the command reaches the records; tests give their own. */
export type OpenRecords = (configArgv: readonly string[], io: CommandIo) => Promise<OpenKeyStore>

export async function keys(
  argv: string[],
  io: Pick<CommandIo, 'stdout' | 'stderr'> & Partial<CommandIo>,
  openRecords: OpenRecords = openConfigured,
): Promise<number> {
  if (argv.includes('--help')) {
    io.stdout.write(USAGE)
    return ExitCode.GOOD
  }
  const parsed = readArguments(argv)
  if (typeof parsed === 'string') {
    io.stderr.write(`betrace keys: ${parsed}\n\n${USAGE}`)
    return ExitCode.USAGE
  }
  const surroundings: CommandIo = { ...io, env: io.env ?? process.env, cwd: io.cwd ?? process.cwd() }
  let found: StoredKeys
  try {
    const opened = await openRecords(parsed.configArgv, surroundings)
    found = storedKeys(opened.store, 'signing', parsed.tenant)
    await opened.close()
  } catch (thrown) {
    const error = asSidecarError(thrown)
    if (error.code === 'INTERNAL' || error.code === 'USAGE') throw thrown
    io.stderr.write(`betrace keys: ${error.message}\n`)
    return ExitCode.CANNOT_TELL
  }
  for (const { record } of found.corrupt)
    io.stderr.write(`betrace keys: record ${shown(record)} is damaged\n`)
  const isFound = print(parsed, found.records, surroundings)
  return isFound && found.corrupt.length === 0 ? ExitCode.GOOD : ExitCode.FAILED
}

function print(
  { action, keyId, isJson }: KeysArguments,
  records: readonly KeyRecord[],
  io: CommandIo,
): boolean {
  if (action === 'show') {
    const record = records.find(({ id }) => id === keyId)
    if (record === undefined) {
      io.stderr.write('betrace keys: there is no such key\n')
      return false
    }
    const known = {
      tenantId: record.tenant,
      ...publicKeyRecord(record),
      provider: record.provider,
      masterKeyId: record.masterKeyId,
    }
    const rows = Object.entries(known).map(([name, value]) => [name, shown(value ?? '-')])
    io.stdout.write(isJson ? `${JSON.stringify(known)}\n` : table(rows))
    return true
  }
  if (action === 'export' || isJson)
    io.stdout.write(`${JSON.stringify(byTenant(records), undefined, action === 'export' ? 2 : 0)}\n`)
  else if (records.length === 0) io.stdout.write('no signing keys yet\n')
  else {
    const rows = records.map((record) => [
      record.id,
      record.status,
      new Date(record.createdMs).toISOString(),
      shown(record.tenant),
    ])
    io.stdout.write(table([['KEY', 'STATUS', 'CREATED', 'TENANT'], ...rows]))
  }
  return true
}

/** The shape of the public key endpoint, once per tenant. */
function byTenant(records: readonly KeyRecord[]): object[] {
  const tenants = Map.groupBy(records, ({ tenant }) => tenant)
  return [...tenants].map(([tenantId, ofTenant]) => ({ tenantId, keys: ofTenant.map(publicKeyRecord) }))
}

function readArguments(argv: readonly string[]): KeysArguments | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: {
        tenant: { type: 'string' },
        json: { type: 'boolean' },
        config: { type: 'string', short: 'c', multiple: true },
        set: { type: 'string', multiple: true },
      },
      strict: true,
      allowPositionals: true,
    })
    const [action, keyId, ...rest] = positionals
    if (action !== 'list' && action !== 'show' && action !== 'export')
      return 'the actions are list, show and export'
    if (rest.length > 0 || (action === 'show') !== (keyId !== undefined))
      return 'show takes one key id, the others none'
    const configs = (values.config ?? []).flatMap((file) => ['--config', file])
    const sets = (values.set ?? []).flatMap((set) => ['--set', set])
    return {
      action,
      keyId,
      tenant: values.tenant,
      isJson: values.json === true,
      configArgv: [...configs, ...sets],
    }
  } catch {
    return 'unknown or incomplete option'
  }
}

async function openConfigured(configArgv: readonly string[], io: CommandIo): Promise<OpenKeyStore> {
  const loaded = await loadFromArguments(configArgv, io, BUILD_ABILITIES)
  if (loaded.config === undefined) {
    reportFindings(loaded, io)
    throw new SidecarError('CONFIG', 'the configuration has problems')
  }
  return openKeyStore(loaded.config.storage.directory)
}

// A tenant's name comes from outside; its control characters stay off the terminal.
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)
}
