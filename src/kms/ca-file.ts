import { readFileSync } from 'node:fs'
import { settingError } from './setting-problem.ts'

/** PEM of the authorities that `kms.<provider>.ca_file` names, if it does. Throws CONFIG when it cannot be read. */
export function readCaFile(provider: 'gcp' | 'azure', path: string | undefined): Buffer | undefined {
  try {
    return path === undefined ? undefined : readFileSync(path)
  } catch (cause) {
    throw settingError([provider, 'ca_file'], `${path} cannot be read`, cause)
  }
}
