import { type CommandIo, ExitCode, painter, table, wrap } from './terminal.ts'

/** What help knows of a command. */
export interface HelpEntry {
  readonly name: string
  readonly summary: string
  readonly usage: string
  readonly options: readonly (readonly [option: string, meaning: string])[]
  readonly note?: string
}

const EXIT_CODES = [
  ['0', 'good'],
  ['1', 'failed: a problem in the configuration, a signature that does not match, an error'],
  ['2', 'cannot tell: evidence or keys are missing'],
  ['3', 'wrong usage'],
]

const VARIABLES = [
  ['ADMIN_TOKEN', 'token of the admin calls'],
  ['BETRACE_KMS_PROVIDER', 'over kms.provider; AWS_KMS_*, KMS_CACHE_*, KMS_ROTATION_* likewise'],
  ['BETRACE_CONFIG', 'files for commands that are given no --config, a colon between two'],
  ['BETRACE_DEBUG=1', 'show where an error came from'],
  ['NO_COLOR, FORCE_COLOR', 'as everywhere'],
]

/** The overview. */
export function printHelp(io: CommandIo, commands: readonly HelpEntry[]): number {
  const paint = painter(io.stdout, io.env)
  const section = (title: string, rows: readonly (readonly string[])[]): string =>
    `\n${paint('bold', title)}\n${table(rows, '  ')}`
  io.stdout.write(
    `${wrap('BeTrace Sidecar: an OTLP endpoint that seals personal data in place and signs compliance spans.')}\n` +
      `\n${paint('bold', 'Usage')}\n  betrace [COMMAND] [options]\n` +
      section(
        'Commands',
        commands.map(({ name, summary }) => [name, summary]),
      ) +
      '\nbetrace help COMMAND explains one of them; betrace --version prints the version.\n' +
      section('Exit codes', EXIT_CODES) +
      section('Environment', VARIABLES),
  )
  return ExitCode.GOOD
}

/** Wrong usage of a command that has its own help: the reason, and where the rest is. */
export function reportUsage(io: Pick<CommandIo, 'stderr'>, command: string, reason: string): number {
  io.stderr.write(`betrace ${command}: ${reason}\nbetrace ${command} --help shows how\n`)
  return ExitCode.USAGE
}

/** One command. */
export function printCommandHelp(io: CommandIo, command: HelpEntry): number {
  const paint = painter(io.stdout, io.env)
  const summary = `${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`
  io.stdout.write(
    `${wrap(command.usage, '         ', `${paint('bold', 'Usage')}: betrace `)}\n\n${wrap(summary)}\n\n` +
      `${paint('bold', 'Options')}\n${table(command.options, '  ')}` +
      (command.note === undefined ? '' : `\n${wrap(command.note)}\n`),
  )
  return ExitCode.GOOD
}
