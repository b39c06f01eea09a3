// What is wrong with a setting, found without asking a key service or loading its client. `config/` reports all of them,
// each with its line; a provider that is opened throws the first. So `validate` and a start say the same.
import { SidecarError } from '../base/errors.ts'

export interface SettingProblem {
  /** Names and list positions below `kms`. */
  readonly path: readonly (string | number)[]
  /** What the value must be; never the value. */
  readonly message: string
}

/** Throws CONFIG with the first problem, in one line. */
export function refuseFirst(problems: readonly SettingProblem[]): void {
  const [first] = problems
  if (first !== undefined) throw settingError(first.path, first.message)
}

export function settingError(path: SettingProblem['path'], message: string, cause?: unknown): SidecarError {
  return new SidecarError('CONFIG', `${settingName(path)}: ${message}`, cause === undefined ? {} : { cause })
}

/** As the configuration's own problems name it: `kms.tenant_key_mapping."a b"`, `kms.replicas[0]`. */
function settingName(path: SettingProblem['path']): string {
  return path.reduce<string>((name, step) => {
    if (typeof step === 'number') return `${name}[${step}]`
    return `${name}.${/[.="[\]\s]/.test(step) || step === '' ? JSON.stringify(step) : step}`
  }, 'kms')
}
