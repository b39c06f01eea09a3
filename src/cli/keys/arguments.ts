import { parseArgs } from 'node:util'
import { KID_CHARS } from '../../formats/sealed-value.ts'
import { CONFIG_OPTIONS, CONFIG_OPTIONS_HELP, configArgvOf } from '../config-options.ts'

export const KEYS_USAGE = `Usage: betrace keys list [--tenant T] [--json]
       betrace keys show KEY_ID [--json]
       betrace keys export [--tenant T]
       betrace keys rotate [--tenant T [--pseudonym] | --all]
       betrace keys revoke KEY_ID --tenant T
       betrace keys retire --tenant T
       betrace keys rewrap [--from OLD_CONFIG]…
       betrace keys shred --tenant T
       betrace keys {revoke|retire|shred|rewrap} … --admin URL
       betrace keys share-pseudonyms [--shared]
                    [--keep FILE [--from OLD] [--renew --tenant T]]

Reading, while the sidecar runs or not:
  list, show           signing keys and what is known of each
  export               JSON for verify --keys, as GET
                       /api/tenants/{id}/public-keys answers
  share-pseudonyms     wrapped pseudonym keys, for kms.pseudonym_key_file of
                       other sidecars; --shared adds a root for all tenants;
                       --keep: what an earlier file holds stays, and with
                       --from moves to the master key configured now;
                       --renew: but a new key for T, which ends its joins
Writing, with the sidecar stopped:
  rotate               new signing keys, endorsed by the old ones: of tenants
                       whose key is too old, of one, or --all;
                       --pseudonym: its pseudonym key too, which ends the joins
  revoke               nothing that this key signed counts any more, and no
                       key that it endorsed; it was stolen
  retire               end a tenant's key without a successor: what it signed
                       stays good, rotation passes the tenant over
  rewrap               wrap every stored key under the master key configured
                       now; --from: the configuration that still opens them,
                       its kms section at least, YAML or .properties;
                       the environment only fills in its \${env:…}
  shred                destroy the tenant's secret: what was sealed with it
                       can never be read again
Options:
  --admin URL          have the running sidecar do it, with $ADMIN_TOKEN
                       (revoke, retire, shred, rewrap; that one opens what
                       kms.rewrap_from names)
  --yes                do not ask (revoke, retire, shred, rotate --pseudonym);
                       needed where there is no terminal to ask on
${CONFIG_OPTIONS_HELP}Exit codes: 0 good, 1 failed or a record is damaged, 2 cannot tell, 3 usage.
`

export type KeysAction =
  | 'list'
  | 'show'
  | 'export'
  | 'rotate'
  | 'revoke'
  | 'retire'
  | 'rewrap'
  | 'shred'
  | 'share-pseudonyms'

export interface KeysArguments {
  readonly action: KeysAction
  readonly keyId: string | undefined
  readonly tenant: string | undefined
  readonly isJson: boolean
  readonly isAll: boolean
  readonly withPseudonym: boolean
  readonly isShared: boolean
  readonly isRenewal: boolean
  readonly isConfirmed: boolean
  /** The running sidecar that is to do it. */
  readonly adminUrl: string | undefined
  /** `--config`, `--set` and `--properties`, as they were given. */
  readonly configArgv: readonly string[]
  /** An earlier file of shared pseudonym keys. */
  readonly keepFile: string | undefined
  /** The configuration whose key service still opens the stored keys, in layers. */
  readonly fromConfigs: readonly string[]
}

type Flag = 'admin' | 'tenant' | 'json' | 'all' | 'pseudonym' | 'shared' | 'renew' | 'keep' | 'yes' | 'from'

/** What each action takes beside the options of the configuration. */
const TAKES: Readonly<Record<KeysAction, { readonly keyId: boolean; readonly flags: readonly Flag[] }>> = {
  list: { keyId: false, flags: ['tenant', 'json'] },
  show: { keyId: true, flags: ['tenant', 'json'] },
  export: { keyId: false, flags: ['tenant', 'json'] },
  rotate: { keyId: false, flags: ['tenant', 'all', 'pseudonym', 'yes'] },
  revoke: { keyId: true, flags: ['tenant', 'yes', 'admin'] },
  retire: { keyId: false, flags: ['tenant', 'yes', 'admin'] },
  rewrap: { keyId: false, flags: ['from', 'admin'] },
  shred: { keyId: false, flags: ['tenant', 'yes', 'admin'] },
  'share-pseudonyms': { keyId: false, flags: ['tenant', 'shared', 'renew', 'keep', 'from'] },
}

const FLAGS: readonly Flag[] = [
  'admin',
  'tenant',
  'json',
  'all',
  'pseudonym',
  'shared',
  'renew',
  'keep',
  'yes',
  'from',
]

/** The arguments, or one line that says what is wrong with them. */
export function readKeysArguments(argv: readonly string[]): KeysArguments | string {
  const parsed = parse(argv)
  if (parsed === undefined) return 'unknown or incomplete option'
  const { values, positionals } = parsed
  const [name, keyId, ...rest] = positionals
  const action = Object.keys(TAKES).find((known): known is KeysAction => known === name)
  if (action === undefined) return `the actions are ${Object.keys(TAKES).join(', ')}`
  const takes = TAKES[action]
  if (rest.length > 0 || takes.keyId !== (keyId !== undefined))
    return takes.keyId ? `${action} takes one key id` : `${action} takes options only`
  const misplaced = FLAGS.find((flag) => values[flag] !== undefined && !takes.flags.includes(flag))
  if (misplaced !== undefined) return `${action} does not take --${misplaced}`
  if (values.admin !== undefined && values.from !== undefined)
    return '--admin takes no --from: kms.rewrap_from of the sidecar names the files'
  const needsTenant =
    ['revoke', 'retire', 'shred'].includes(action) || values.pseudonym === true || values.renew === true
  if (needsTenant && values.tenant === undefined) return `${action} needs --tenant here`
  if (action === 'share-pseudonyms' && values.from !== undefined && values.keep === undefined)
    return '--from moves what --keep names'
  if (values.renew === true && values.keep === undefined) return '--renew changes what --keep names'
  if (values.tenant !== undefined && values.all === true) return '--tenant and --all exclude each other'
  return {
    action,
    keyId,
    tenant: values.tenant,
    isJson: values.json === true,
    isAll: values.all === true,
    withPseudonym: values.pseudonym === true,
    isShared: values.shared === true,
    isRenewal: values.renew === true,
    isConfirmed: values.yes === true,
    adminUrl: values.admin,
    configArgv: configArgvOf(values),
    keepFile: values.keep,
    fromConfigs: values.from ?? [],
  }
}

function parse(argv: readonly string[]) {
  try {
    const parsed = parseArgs({
      args: argv.filter((arg) => !looksLikeKeyId(arg)),
      options: {
        tenant: { type: 'string' },
        json: { type: 'boolean' },
        all: { type: 'boolean' },
        pseudonym: { type: 'boolean' },
        shared: { type: 'boolean' },
        renew: { type: 'boolean' },
        yes: { type: 'boolean', short: 'y' },
        admin: { type: 'string' },
        from: { type: 'string', multiple: true },
        keep: { type: 'string' },
        ...CONFIG_OPTIONS,
      },
      strict: true,
      allowPositionals: true,
    })
    return { ...parsed, positionals: [...parsed.positionals, ...argv.filter(looksLikeKeyId)] }
  } catch {
    return undefined
  }
}

/** One key id in 64 begins with a dash. Of the options only --properties is of its length. */
function looksLikeKeyId(arg: string): boolean {
  return (
    arg !== '--properties' && arg.length === KID_CHARS && arg.startsWith('-') && /^[A-Za-z0-9_-]+$/.test(arg)
  )
}
