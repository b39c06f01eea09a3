import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type ConfigSources, type LoadedConfig, loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/tree.ts'
import { SidecarError } from '../errors.ts'
import { type CommandIo, painter } from './terminal.ts'

/** The file that is read when no --config is given. */
export const CONFIG_FILE_DEFAULT = 'collector-config.yaml'

/** What a build can do, as far as configuration must know it. */
export type BuildAbilities = Pick<ConfigSources, 'kmsProviders' | 'checkCron' | 'checkRules' | 'packs'>

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
      options: {
        config: { type: 'string', short: 'c', multiple: true },
        set: { type: 'string', multiple: true },
        properties: { type: 'string', multiple: true },
      },
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

/** Loads what the command line names; without --config, `collector-config.yaml` of the working directory. */
export async function loadFromArguments(
  argv: readonly string[],
  io: CommandIo,
  abilities: BuildAbilities,
): Promise<LoadedConfig> {
  const { files, sets, properties } = parseConfigArguments(argv)
  if (files.length === 0 && !(await exists(resolve(io.cwd, CONFIG_FILE_DEFAULT)))) {
    throw new SidecarError('USAGE', `no --config FILE is given, and there is no ${CONFIG_FILE_DEFAULT} here`)
  }
  return loadConfig({
    files: files.length === 0 ? [CONFIG_FILE_DEFAULT] : files,
    sets,
    properties,
    env: io.env,
    cwd: io.cwd,
    ...abilities,
  })
}

/** Prints problems and warnings to standard error, one a line, path first. */
export function reportFindings(loaded: LoadedConfig, io: CommandIo): void {
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
