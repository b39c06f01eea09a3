// What `betrace reveal` prints. A value comes from outside, so its control characters are shown, not sent to the terminal.
import { SidecarError } from '../../base/errors.ts'
import { placeText } from '../../formats/value-place.ts'
import type { RevealedToken, RevealFailure } from '../../keys/operations/reveal.ts'
import { type KmsClass, KmsError } from '../../kms/kms.ts'
import type { FileFault } from '../exported-file/faults.ts'
import { escapeControls, LINE_COLUMNS, type Output, type Paint, wrap } from '../terminal.ts'

export interface FileReport {
  readonly file: string
  readonly tokens: readonly RevealedToken[]
  /** What of the file could not be read. */
  readonly failures: readonly FileFault[]
}

const FAILURES: Readonly<Record<RevealFailure, string>> = {
  damaged: 'damaged: it begins like a sealed value and is cut or changed',
  no_announcement: 'no announcement of its key in the input',
  does_not_open: 'does not open: it was changed, moved, or sealed under another key',
  destroyed: 'destroyed: the tenant secret that it was sealed with is gone for good',
  cannot_tell: 'cannot tell: the key service or the key store did not answer',
}

/** One value a line, then a line of totals. */
export function printText(out: Output, reports: readonly FileReport[], paint: Paint): void {
  for (const { file, tokens, failures } of reports) {
    if (tokens.length > 0 || failures.length === 0) out.write(`${paint('bold', file)}\n`)
    for (const token of tokens) out.write(`${tokenLine(token, paint)}\n`)
  }
  const all = reports.flatMap(({ tokens }) => tokens)
  const openCount = all.filter(({ outcome }) => outcome.isOpen).length
  const keyCount = new Set(all.flatMap(({ kid }) => (kid === '' ? [] : [kid]))).size
  const failed = all.length - openCount
  const totals = `${openCount} of ${all.length} sealed values opened, ${keyCount} data ${keyCount === 1 ? 'key' : 'keys'}`
  const unread = reports.flatMap(({ failures }) => failures).length
  const places = unread === 0 ? '' : `; ${unread} ${unread === 1 ? 'place' : 'places'} could not be read`
  const style = failed > 0 ? 'red' : unread > 0 ? 'yellow' : 'green'
  out.write(`${paint(style, `${totals}${failed === 0 ? '' : `, ${failed} failed`}${places}`)}\n`)
}

/** The failures alone, for standard error beside an opened document. */
export function printFailures(out: Output, reports: readonly FileReport[], paint: Paint): void {
  for (const { file, tokens } of reports) {
    for (const token of tokens)
      if (!token.outcome.isOpen) out.write(`${file}: ${tokenLine(token, paint).trim()}\n`)
  }
}

export function jsonReport(reports: readonly FileReport[]): string {
  const files = reports.map(({ file, tokens, failures }) => ({
    file,
    ...(failures.length > 0 && { unreadable: failures }),
    values: tokens.map(({ requestIndex, kid, place, outcome }) => ({
      request: requestIndex,
      attribute: placeText(place),
      kid,
      ...(outcome.isOpen
        ? { opened: true, tenant: outcome.tenant, class: outcome.dataClass, value: outcome.value }
        : { opened: false, failure: outcome.failure, ...causeOf(outcome.error) }),
    })),
  }))
  return `${JSON.stringify({ files })}\n`
}

/** A value for people: text as it is, everything else as JSON. */
export function valueText(value: object): string {
  const [only] = Object.values(value)
  const isScalar = Object.keys(value).length === 1 && typeof only !== 'object'
  return escapeControls(isScalar ? String(only) : JSON.stringify(value))
}

/** Where nobody can tell, the answers that say more than that none came. */
const MASTER_KEYS: ReadonlyMap<KmsClass, string> = new Map([
  ['key_not_found', 'its master key is not there: destroyed, or out of reach of this configuration'],
  ['key_disabled', 'its master key is disabled, or waits for its deletion'],
])

export function failureText(failure: RevealFailure, error: unknown): string {
  if (error instanceof KmsError) {
    const why = failure === 'cannot_tell' ? MASTER_KEYS.get(error.kmsClass) : undefined
    const text = why === undefined ? FAILURES[failure] : `cannot tell: ${why}`
    return `${text} (${error.kmsClass}: ${escapeControls(error.providerMessage)})`
  }
  return failure === 'cannot_tell' && error instanceof SidecarError
    ? `cannot tell: ${error.message}`
    : FAILURES[failure]
}

function tokenLine({ place, kid, outcome }: RevealedToken, paint: Paint): string {
  const name = escapeControls(placeText(place))
  if (outcome.isOpen) {
    return wrap(
      `= ${valueText(outcome.value)} ${paint('dim', `(${outcome.dataClass})`)}`,
      '      ',
      `  ${name} `,
      LINE_COLUMNS,
    )
  }
  return wrap(
    paint('red', `! ${failureText(outcome.failure, outcome.error)}${kid === '' ? '' : ` [${kid}]`}`),
    '      ',
    `  ${name} `,
    LINE_COLUMNS,
  )
}

function causeOf(error: unknown): object {
  return error instanceof KmsError ? { error: error.kmsClass, runbook: error.runbook } : {}
}
