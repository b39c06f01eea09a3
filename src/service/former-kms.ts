// The key service of an earlier configuration, which still opens what is stored: for rewrapping, by the command and by the
// running sidecar.
import { SidecarError } from '../base/errors.ts'
import type { Telemetry } from '../base/telemetry.ts'
import type { Environment } from '../config/environment.ts'
import { type LoadedKmsSettings, loadKmsSettings } from '../config/load.ts'
import { formatProblem } from '../config/tree.ts'
import type { Kms } from '../kms/kms.ts'
import { openKms } from './kms.ts'

/**
 * Files in layers as with --config, of which the `kms` section is enough, or properties by their ending. What the
 * environment sets is meant for the configuration of today, so here it only fills in `${env:…}`.
 */
export function loadFormerKms(
  paths: readonly string[],
  env: Environment,
  cwd: string,
): Promise<LoadedKmsSettings> {
  return loadKmsSettings({
    files: paths.filter((path) => !isProperties(path)),
    properties: paths.filter(isProperties),
    sets: [],
    env,
    cwd,
    isEnvironmentForReferences: true,
  })
}

/** For a running sidecar; `undefined` for no file. Rejects CONFIG after its problems were logged. */
export async function openFormerKms(
  paths: readonly string[],
  env: Environment,
  log: Telemetry['log'],
): Promise<Kms | undefined> {
  if (paths.length === 0) return undefined
  const { config, problems } = await loadFormerKms(paths, env, process.cwd())
  if (config !== undefined) return openKms(config, { ...env, NODE_ENV: undefined }, log, false)
  for (const problem of problems) log.error(`kms.rewrap_from: ${formatProblem(problem)}`)
  throw new SidecarError('CONFIG', 'kms.rewrap_from: the configuration has problems, which the log names')
}

const isProperties = (path: string): boolean => path.endsWith('.properties')
