import { readFileSync } from 'node:fs'
import { certificatesProblem } from '../base/pem.ts'
import { settingError } from './setting-problem.ts'

/** PEM of the authorities that `kms.<provider>.ca_file` names, if it does. Throws CONFIG when it is not there or damaged. */
export function readCaFile(provider: 'gcp' | 'azure', path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  const pem = read(provider, path)
  const problem = certificatesProblem(pem)
  if (problem !== undefined) throw settingError([provider, 'ca_file'], `${path} ${problem}`)
  return pem
}

function read(provider: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw settingError([provider, 'ca_file'], `${path} cannot be read`, cause)
  }
}
