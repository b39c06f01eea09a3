// The settings of `local`, as far as they can be checked without its files.
import type { SettingProblem } from '../setting-problem.ts'

export interface LocalSettings {
  readonly tenantKeyMapping: ReadonlyMap<string, string>
}

const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const FORMS =
  'must be a name for the key’s file, 1 to 64 letters, digits, dots, dashes or underscores, such as acme-key'

export function localSettingProblems({ tenantKeyMapping }: LocalSettings): readonly SettingProblem[] {
  return [...tenantKeyMapping].flatMap(([tenant, name]) =>
    KEY_NAME.test(name) ? [] : [{ path: ['tenant_key_mapping', tenant], message: FORMS }],
  )
}
