import { stringify } from 'yaml'
import { maskUrlCredentials, REDACTED, Secret } from './secret.ts'
import type { Effective } from './section.ts'

/** The effective configuration as YAML that loads again, except that secrets print as `[redacted]`. */
export function printConfig(effective: Effective): string {
  return stringify(masked(effective), { lineWidth: 0, aliasDuplicateObjects: false })
}

function masked(value: unknown): unknown {
  if (value instanceof Secret) return REDACTED
  // A dollar doubles, so that what is printed means the same when it is read back.
  if (typeof value === 'string') return maskUrlCredentials(value).replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(masked)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, masked(item)]))
  if (typeof value === 'object' && value !== null) {
    return new Map(Object.entries(value).map(([key, item]) => [key, masked(item)]))
  }
  return value
}
