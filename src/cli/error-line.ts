import type { SidecarError } from '../base/errors.ts'

/** Codes whose message is the whole story; anything else names its code as well. */
const PLAIN_CODES: ReadonlySet<string> = new Set(['USAGE', 'CONFIG'])

/** What a person reads of an error: one line, with what the operating system called it. */
export function errorLine(error: SidecarError): string {
  const head = PLAIN_CODES.has(error.code) ? error.message : `${error.message} [${error.code}]`
  const hint = error.code === 'INTERNAL' ? '; BETRACE_DEBUG=1 shows where' : ''
  return `${oneLine(head)}${systemCause(error)}${hint}`
}

// An operating system's code says more than our phrase and holds no data: EADDRINUSE, EACCES, ENOENT.
function systemCause(error: SidecarError): string {
  const { cause } = error
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return ''
  return /^[A-Z][A-Z0-9_]{1,40}$/.test(cause.code) ? ` (${cause.code})` : ''
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ')
