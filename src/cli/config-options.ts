import { access } from 'node:fs/promises'
import { delimiter, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { SidecarError } from '../base/errors.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/tree.ts'
import { type CommandIo, painter } from './terminal.ts'

/** The file that is read when no --config is given. */
export const CONFIG_FILE_DEFAULT = 'collector-config.yaml'

/** For `parseArgs` of every command that reads a configuration. */
export const CONFIG_OPTIONS = {
  config: { type: 'string', short: 'c', multiple: true },
  set: { type: 'string', multiple: true },
  properties: { type: 'string', multiple: true },
} as const

/** What the help of a command with options of its own says of these. */
export const CONFIG_OPTIONS_HELP = `  --config FILE, --set a.b.c=value, --properties FILE
                       the sidecar's configuration, as for betrace run; without
                       --config the files of $BETRACE_CONFIG, and without that
                       ./collector-config.yaml
`

export interface ConfigArguments {
  readonly files: readonly string[]
  readonly sets: readonly string[]
  readonly properties: readonly string[]
}

/** `--config FILE…`, `--set a.b=c…`, `--properties FILE…`. Throws USAGE for anything else. */
export function parseConfigArguments(argv: readonly string[]): ConfigArguments {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: CONFIG_OPTIONS,
      strict: true,
      allowPositionals: false,
    })
    return { files: values.config ?? [], sets: values.set ?? [], properties: values.properties ?? [] }
  } catch (error) {
    // parseArgs quotes the argument, which may be a secret; which options there are is what helps.
    throw new SidecarError(
      'USAGE',
      'the options are --config FILE, --set a.b.c=value and --properties FILE, any number of each',
      {
        cause: error,
      },
    )
  }
}

/** The options of `CONFIG_OPTIONS` among others, as they were given. */
export function configArgvOf(
  values: {
    readonly [option in keyof typeof CONFIG_OPTIONS]?: readonly string[] | undefined
  },
): readonly string[] {
  return (['config', 'set', 'properties'] as const).flatMap((option) =>
    (values[option] ?? []).flatMap((value) => [`--${option}`, value]),
  )
}

/**
 * Loads what the command line names; without --config the files that BETRACE_CONFIG lists, and without that
 * `collector-config.yaml` of the working directory.
 */
export async function loadFromArguments(argv: readonly string[], io: CommandIo): Promise<LoadedConfig> {
  const { files: given, sets, properties } = parseConfigArguments(argv)
  const listed = (io.env.BETRACE_CONFIG ?? '').split(delimiter).filter((file) => file !== '')
  const files = given.length > 0 ? given : listed
  if (files.length === 0 && !(await exists(resolve(io.cwd, CONFIG_FILE_DEFAULT)))) {
    throw new SidecarError(
      'USAGE',
      `no --config FILE is given, BETRACE_CONFIG lists none, and there is no ${CONFIG_FILE_DEFAULT} here`,
    )
  }
  return loadConfig({
    files: files.length === 0 ? [CONFIG_FILE_DEFAULT] : files,
    sets,
    properties,
    env: io.env,
    cwd: io.cwd,
  })
}

/** Prints problems and warnings to standard error, one a line, path first. */
export function reportFindings(loaded: Pick<LoadedConfig, 'problems' | 'warnings'>, io: CommandIo): void {
  const paint = painter(io.stderr, io.env)
  for (const problem of loaded.problems)
    io.stderr.write(`${paint('red', 'error')}: ${formatProblem(problem)}\n`)
  for (const warning of loaded.warnings)
    io.stderr.write(`${paint('yellow', 'warning')}: ${formatProblem(warning)}\n`)
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
