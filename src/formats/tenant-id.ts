// What can be a tenant's id, the same in configuration, headers, resource attributes, admin calls and formats.
import { TENANT_ID_BYTES_MAX } from '../base/limits.ts'

// Headers carry ASCII at best, so ids that both a header and an attribute can say are ASCII. No blank at either
// end: proxies trim those, and one tenant would become two.
const SYNTAX = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Whether a text can be a tenant's id: printable ASCII, 1 to TENANT_ID_BYTES_MAX bytes. */
export function isTenantId(id: string): boolean {
  return id.length <= TENANT_ID_BYTES_MAX && SYNTAX.test(id)
}

/** The same as a phrase, for messages: "must be …". */
export const TENANT_ID_PHRASE = `1 to ${TENANT_ID_BYTES_MAX} printable ASCII characters, without a blank at either end`
