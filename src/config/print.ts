import { stringify } from 'yaml'
import { maskAddressCredentials, maskUrlCredentials, REDACTED, Secret } from './secret.ts'
import type { Effective } from './section.ts'

/** The effective configuration as YAML that loads again, except that secrets print as `[redacted]`. */
export function printConfig(effective: Effective): string {
  return stringify(masked(effective), { lineWidth: 0, aliasDuplicateObjects: false })
}

// A wrong setting is printed too, so these are masked also where the scheme is missing.
const ADDRESSES = new Set(['endpoint', 'address', 'vault_uri'])

function masked(value: unknown, name?: string): unknown {
  if (value instanceof Secret) return REDACTED
  if (typeof value === 'string') {
    const isAddress = name !== undefined && ADDRESSES.has(name) && !value.includes('://')
    const text = isAddress ? maskAddressCredentials(value) : maskUrlCredentials(value)
    // A dollar doubles, so that what is printed means the same when it is read back.
    return text.replaceAll('$', '$$$$')
  }
  if (Array.isArray(value)) return value.map((item) => masked(item))
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, masked(item, String(key))]))
  if (typeof value === 'object' && value !== null) {
    return new Map(Object.entries(value).map(([key, item]) => [key, masked(item, key)]))
  }
  return value
}
