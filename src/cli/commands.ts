// The commands: name → module, loaded only when it runs, so that `betrace --version` loads no gRPC.

import { asSidecarError } from '../base/errors.ts'
import { VERSION } from '../base/version.ts'
import { didYouMean } from '../config/suggestion.ts'
import { errorLine } from './error-line.ts'
import { printCommandHelp, printHelp } from './help.ts'
import { type CommandIo, ExitCode, escapeControls, painter } from './terminal.ts'

/** What a command is: 0 good, 1 failed, 2 cannot tell, 3 usage. */
export type CommandFunction = (argv: string[], io: CommandIo) => Promise<number>

export interface Command {
  readonly name: string
  readonly summary: string
  /** After `betrace `. */
  readonly usage: string
  readonly options: readonly (readonly [option: string, meaning: string])[]
  /** What help says below the options. */
  readonly note?: string
  readonly load: () => Promise<CommandFunction>
}

const CONFIG_OPTIONS = [
  [
    '--config, -c FILE',
    'YAML; may be repeated, later files win. Default: the files that BETRACE_CONFIG lists, else ./collector-config.yaml',
  ],
  ['--set a.b.c=value', 'one setting over all files; may be repeated'],
  ['--properties FILE', 'application.properties with the names of earlier BeTrace versions'],
] as const

const CONFIG_USAGE = '[--config FILE]… [--set a.b.c=value]… [--properties FILE]…'

const CONFIG_NOTE =
  'A later source wins: defaults, --config files in their order, --properties files, environment variables ' +
  '(BETRACE_KMS_PROVIDER, AWS_KMS_*, KMS_CACHE_*, KMS_ROTATION_*, ADMIN_TOKEN; property names as they stand too, as in ' +
  'betrace.kms.provider), --set. Maps merge key by key; lists are replaced. --set also takes the property names, as in ' +
  '--set kms.cache.max-size=500.'

const VALIDATE_NOTE =
  'Exits 0 when the sidecar would start here: files that settings name (keys, certificates, pseudonym keys) are read ' +
  'too, and must be there; a local key file is not missed, since the first start makes it, a token file of Vault is ' +
  'only warned of, and a file to export to must be one that may be written. Nothing is made or written, and neither ' +
  'the key service nor the data folder is asked.'

export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    summary: 'start the sidecar (also when no command is given)',
    usage: `[run] ${CONFIG_USAGE}`,
    options: CONFIG_OPTIONS,
    note: CONFIG_NOTE,
    load: async () => (await import('./run.ts')).run,
  },
  {
    name: 'validate',
    summary: 'check a configuration: every problem at once, with path and line',
    usage: `validate ${CONFIG_USAGE}`,
    options: CONFIG_OPTIONS,
    note: `${VALIDATE_NOTE} ${CONFIG_NOTE}`,
    load: async () => (await import('./validate.ts')).validate,
  },
  {
    name: 'print-config',
    summary: 'print the effective configuration, secrets masked',
    usage: `print-config ${CONFIG_USAGE}`,
    options: CONFIG_OPTIONS,
    note: CONFIG_NOTE,
    load: async () => (await import('./print-config.ts')).printConfig,
  },
  {
    name: 'components',
    summary: 'list receivers, processors, exporters, detectors, key services',
    usage: 'components [--json | --yaml]',
    options: [
      ['--json', 'for machines'],
      ['--yaml', 'for machines'],
    ],
    load: async () => (await import('./components.ts')).components,
  },
  {
    name: 'verify',
    summary: 'check the signatures in exported files',
    usage: 'verify [options] FILE…',
    options: [],
    load: async () => (await import('./verify/verify.ts')).verify,
  },
  {
    name: 'reveal',
    summary: 'open sealed values, one (--token) or every one in a file',
    usage: 'reveal [options] FILE…',
    options: [],
    load: async () => (await import('./reveal/reveal.ts')).reveal,
  },
  {
    name: 'keys',
    summary: 'list, export, rotate, revoke, retire, rewrap and shred keys',
    usage: 'keys ACTION [options]',
    options: [],
    load: async () => (await import('./keys/keys.ts')).keys,
  },
  {
    name: 'store',
    summary: 'check the data folder, and go on without what is damaged',
    usage: 'store check|salvage [options]',
    options: [],
    load: async () => (await import('./store/store.ts')).store,
  },
  {
    name: 'diag',
    summary: 'collect health, metrics, status and settings, without secrets',
    usage: 'diag [options]',
    options: [],
    load: async () => (await import('./diag/diag.ts')).diag,
  },
  {
    name: 'demo',
    summary: 'see it work: three programs, sealed, signed, verified, revealed',
    usage: 'demo [--keep]',
    options: [['--keep', 'leave the sidecar running and its folder in place']],
    load: async () => (await import('./demo/demo.ts')).demo,
  },
]

/** Runs what the command line says and answers the exit code. Never rejects: an error becomes one line. */
export async function runCommand(
  argv: readonly string[],
  io: CommandIo,
  commands: readonly Command[] = COMMANDS,
): Promise<number> {
  for (const output of new Set([io.stdout, io.stderr])) output.on('error', surviveClosedPipe)
  try {
    return await dispatch(argv, io, commands)
  } catch (error) {
    return reportError(error, io)
  }
}

// `betrace help | head` closes the pipe while we write, which is no failure of ours. A full disk is.
function surviveClosedPipe(error: Error): void {
  if ('code' in error && error.code === 'EPIPE') return
  process.exit(ExitCode.FAILED)
}

async function dispatch(
  argv: readonly string[],
  io: CommandIo,
  commands: readonly Command[],
): Promise<number> {
  const [first, ...rest] = argv
  if (first === '--help' || first === '-h') return printHelp(io, commands)
  if (first === '--version' || first === '-V') {
    io.stdout.write(`betrace ${VERSION}\n`)
    return ExitCode.GOOD
  }
  const isHelp = first === 'help'
  const name = isHelp ? rest[0] : first
  if (isHelp && name === undefined) return printHelp(io, commands)
  // Options without a command belong to run.
  const isRun = name === undefined || name.startsWith('-')
  const command = commands.find((candidate) => candidate.name === (isRun ? 'run' : name))
  if (!command) return reportUnknown(name ?? 'run', io, commands)
  const args = isRun ? [...argv] : rest
  const wantsHelp = isHelp || beforeSeparator(args).some((arg) => arg === '--help' || arg === '-h')
  // A command that lists no options here explains itself.
  if (wantsHelp && command.options.length > 0) return printCommandHelp(io, command)
  return (await command.load())(wantsHelp ? ['--help'] : args, io)
}

function beforeSeparator(args: readonly string[]): readonly string[] {
  const separator = args.indexOf('--')
  return separator < 0 ? args : args.slice(0, separator)
}

function reportUnknown(name: string, io: CommandIo, commands: readonly Command[]): number {
  const names = commands.map((command) => command.name)
  const hint = didYouMean(name, names) || `; commands: ${names.join(', ')}`
  io.stderr.write(`betrace: no command is named ${escapeControls(name)}${hint}\n`)
  return ExitCode.USAGE
}

function reportError(thrown: unknown, io: CommandIo): number {
  const error = isUsageError(thrown) ? undefined : asSidecarError(thrown)
  const paint = painter(io.stderr, io.env)
  io.stderr.write(
    `${paint('red', 'betrace')}: ${error ? errorLine(error) : 'unknown or incomplete option; see --help'}\n`,
  )
  if (io.env.BETRACE_DEBUG === '1') io.stderr.write(`${stackOf(thrown)}\n`)
  return !error || error.code === 'USAGE' ? ExitCode.USAGE : ExitCode.FAILED
}

function isUsageError(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('ERR_PARSE_ARGS_')
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'thrown value is not an error'
  const own = thrown.stack ?? thrown.message
  return thrown.cause === undefined ? own : `${own}\ncaused by ${stackOf(thrown.cause)}`
}
