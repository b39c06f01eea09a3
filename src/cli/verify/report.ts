// What `betrace verify` prints: for people within 80 columns, or one JSON document for machines.
import type { KeyFacts, SpanVerdict, VerifySummary } from '../../evidence/verify.ts'
import type { FilePlace } from '../exported-file/faults.ts'
import { type CommandIo, type Paint, painter, type Style, wrap } from '../terminal.ts'

/** Where in the input something stands. */
export interface Position extends FilePlace {
  readonly file: string
}

export interface Report {
  span(verdict: SpanVerdict, position: Position): void
  unreadable(message: string, position: Position): void
  end(summary: VerifySummary, outcome: 'good' | 'bad' | 'unknown'): void
}

/** Spans that are shown one by one; the rest is counted. */
const SHOWN_SPANS_MAX = 50
const SHOWN_BATCHES_MAX = 10
const NAME_CHARS_MAX = 60

const OUTCOMES: Record<'good' | 'bad' | 'unknown', readonly [style: Style, text: string]> = {
  good: ['green', 'good: every signature holds'],
  bad: ['red', 'NOT good: what is listed above was changed, or its signature is missing'],
  unknown: ['yellow', 'cannot tell: something could not be read, or a public key is not at hand'],
}

export function textReport(io: Pick<CommandIo, 'stdout' | 'stderr' | 'env'>): Report {
  const paint = painter(io.stdout, io.env)
  const print = (line: string): void => void io.stdout.write(`${line}\n`)
  let hiddenCount = 0
  let shownCount = 0
  return {
    span(verdict, position) {
      if (verdict.verdict === 'valid' || (verdict.verdict === 'unsigned' && !verdict.isMissingSignature))
        return
      if (shownCount++ < SHOWN_SPANS_MAX) for (const line of spanLines(verdict, position, paint)) print(line)
      else hiddenCount++
    },
    unreadable(message, position) {
      io.stderr.write(`${positionText(position)}: ${message}\n`)
    },
    end(summary, outcome) {
      if (hiddenCount > 0) print(`… and ${hiddenCount} more`)
      for (const line of summaryLines(summary)) print(line)
      const [style, text] = OUTCOMES[outcome]
      print(paint(style, text))
    },
  }
}

function spanLines(verdict: SpanVerdict, position: Position, paint: Paint): string[] {
  const { traceId, spanId, reason, keyId, tenant, batch, index } = verdict
  const label = verdict.isMissingSignature
    ? 'NOT SIGNED'
    : verdict.isUndecided === true
      ? 'CANNOT TELL'
      : verdict.verdict.toUpperCase().replace('_', ' ')
  const isOpen = verdict.verdict === 'unknown_key' || verdict.isUndecided === true
  const facts = [
    ...(keyId === undefined ? [] : [`key ${visible(keyId)}`]),
    ...(tenant === undefined ? [] : [`tenant ${visible(tenant)}`]),
    ...(batch === undefined ? [] : [`batch ${batch}`]),
    ...(index === undefined ? [] : [`leaf ${index}`]),
  ]
  return [
    `${paint(isOpen ? 'yellow' : 'red', label.padEnd(10))} ${visible(verdict.name)}`,
    wrap(`${reason}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`, '           '),
    `           trace ${traceId}`,
    `           span  ${spanId}  ${positionText(position)}`,
  ]
}

function summaryLines(summary: VerifySummary): string[] {
  const { counts, incomplete, repeatedCount, batchCount } = summary
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([verdict, count]) => `${count} ${verdict.replace('_', ' ')}`)
  const lines = [
    summary.spanCount === 0 ? 'no spans' : wrap(`${plural(summary.spanCount, 'span')}: ${parts.join(', ')}`),
  ]
  if (summary.missingSignatureCount > 0) {
    lines.push(`${summary.missingSignatureCount} of the unsigned should have been signed`)
  }
  if (batchCount > 0)
    lines.push(`${plural(batchCount, 'batch', 'batches')}, ${incomplete.length} not whole here`)
  lines.push(...keyLines(summary))
  if (repeatedCount > 0) lines.push(`${plural(repeatedCount, 'span')} seen more than once`)
  for (const batch of incomplete.slice(0, SHOWN_BATCHES_MAX)) {
    const ranges = batch.missing.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    const where = `missing spans in this input: tenant ${visible(batch.tenant)}, batch ${batch.number}`
    lines.push(wrap(`${where}, index ${ranges.join(', ')} of ${batch.leafCount}`, '    ', '  '))
  }
  if (incomplete.length > SHOWN_BATCHES_MAX)
    lines.push(`  … and ${incomplete.length - SHOWN_BATCHES_MAX} more`)
  return lines
}

/** Who vouches for the keys that signed what is valid. A first key is as good as the list that it was handed over in. */
function keyLines({ keys }: VerifySummary): string[] {
  if (keys.length === 0) return []
  const count = (which: KeyFacts['endorsement']): number =>
    keys.filter(({ endorsement }) => endorsement === which).length
  const facts = [
    [count('first'), 'first, as good as the way it came to you'],
    [count('endorsed'), 'endorsed by an earlier one'],
    [count('endorser_unknown'), 'endorsed by one that is not in the list'],
  ] as const
  const said = facts.filter(([many]) => many > 0).map(([many, what]) => `${many} ${what}`)
  return [wrap(`${plural(keys.length, 'key')}: ${said.join('; ')}`, '  ')]
}

/** One document: {"spans": [...], "unreadable": [...], "summary": {...}, "outcome"}; spans are written as they come. */
export function jsonReport(io: Pick<CommandIo, 'stdout'>): Report {
  const errors: (Position & { readonly message: string })[] = []
  let separator = '{"spans":[\n'
  return {
    span(verdict, position) {
      io.stdout.write(`${separator}${JSON.stringify({ ...verdict, ...position })}`)
      separator = ',\n'
    },
    unreadable(message, position) {
      errors.push({ ...position, message })
    },
    end(summary, outcome) {
      const head = separator === ',\n' ? '\n' : separator
      const rest = JSON.stringify({ unreadable: errors, summary, outcome }).slice(1)
      io.stdout.write(`${head}],${rest}\n`)
    },
  }
}

export function positionText({ file, line, request }: Position): string {
  const name = file === '-' ? 'standard input' : visible(file)
  if (request !== undefined) return `${name}: request ${request}`
  return line === undefined ? name : `${name}:${line}`
}

/** Text from a file may hold control characters that a terminal would obey. */
function visible(text: string): string {
  const safe = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '·')
  return safe.length > NAME_CHARS_MAX ? `${safe.slice(0, NAME_CHARS_MAX - 1)}…` : safe
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
