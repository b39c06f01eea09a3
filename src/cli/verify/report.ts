// What `betrace verify` prints: for people within 80 columns, or one JSON document for machines.
import type { CoverageFacts, KeyFacts, SpanVerdict, VerifySummary } from '../../evidence/verify.ts'
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
const SHOWN_FACTS_MAX = 10
const NAME_CHARS_MAX = 60

/** What the reader has asked for, as far as the words depend on it. */
export interface Asked {
  readonly isComplete: boolean
  /** Some key is trusted. */
  readonly isTrusting: boolean
}

export function textReport(io: Pick<CommandIo, 'stdout' | 'stderr' | 'env'>, asked: Asked): Report {
  const paint = painter(io.stdout, io.env)
  const print = (line: string): void => void io.stdout.write(`${line}\n`)
  let hiddenCount = 0
  let isUnreadable = false
  let shownCount = 0
  return {
    span(verdict, position) {
      if (verdict.verdict === 'valid' || (verdict.verdict === 'unsigned' && !verdict.isMissingSignature))
        return
      if (shownCount++ < SHOWN_SPANS_MAX) for (const line of spanLines(verdict, position, paint)) print(line)
      else hiddenCount++
    },
    unreadable(message, position) {
      isUnreadable = true
      io.stderr.write(`${positionText(position)}: ${message}\n`)
    },
    end(summary, outcome) {
      if (hiddenCount > 0) print(`… and ${hiddenCount} more`)
      for (const line of summaryLines(summary, asked)) print(line)
      const [style, text] = outcomeText(summary, outcome, isUnreadable, asked)
      print(paint(style, wrap(text)))
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

/** The last line: what it comes to, and why it is not good. */
function outcomeText(
  summary: VerifySummary,
  outcome: 'good' | 'bad' | 'unknown',
  isUnreadable: boolean,
  { isComplete, isTrusting }: Asked,
): readonly [style: Style, text: string] {
  const { counts, incomplete, uncoveredCount, missingSignatureCount, openSignatureCount } = summary
  if (outcome === 'good') return ['green', 'good: every signature holds, and its key is trusted']
  const isUntrusted = summary.keys.some(({ isTrusted }) => !isTrusted)
  const reasons =
    outcome === 'bad'
      ? [
          counts.tampered + counts.bad_proof > 0 && 'what is listed above was changed',
          missingSignatureCount > 0 && 'signatures are missing',
          uncoveredCount > 0 && 'signatures cover less than was required',
          isComplete && incomplete.length > 0 && 'spans are missing',
        ]
      : [
          isUnreadable && 'something could not be read',
          summary.spanCount === 0 && 'there is no span',
          counts.unknown_key > 0 && 'a public key is not at hand, or does not count',
          isUntrusted &&
            (isTrusting ? 'no trusted key leads to a key' : 'nobody vouches for the keys (--trust)'),
          summary.coverages.some(({ mutable }) => mutable.some((glob) => /^\*+$/.test(glob))) &&
            'a signature covers no attribute',
          openSignatureCount > 0 && 'the policy for unsigned spans came after them',
        ]
  const said = reasons.filter((reason) => reason !== false)
  const rest = said.length > 0 ? said.join('; ') : 'of a span nothing can be told'
  return outcome === 'bad' ? ['red', `NOT good: ${rest}`] : ['yellow', `cannot tell: ${rest}`]
}

function summaryLines(summary: VerifySummary, { isComplete }: Asked): string[] {
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
  if (summary.openSignatureCount > 0)
    lines.push(
      `${plural(summary.openSignatureCount, 'unsigned span')} came before any policy of their tenant`,
    )
  if (summary.uncoveredCount > 0)
    lines.push(`${plural(summary.uncoveredCount, 'signature')} covering less than was required`)
  lines.push(...coverageLines(summary))
  if (batchCount > 0)
    lines.push(`${plural(batchCount, 'batch', 'batches')}, ${wholeness(batchCount, incomplete.length)}`)
  lines.push(...keyLines(summary))
  if (repeatedCount > 0) lines.push(`${plural(repeatedCount, 'span')} seen more than once`)
  for (const batch of incomplete.slice(0, SHOWN_BATCHES_MAX)) {
    const ranges = batch.missing.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    const where = `${isComplete ? 'MISSING spans' : 'missing spans in this input'}: tenant ${visible(batch.tenant)}, batch ${batch.number}`
    lines.push(wrap(`${where}, index ${ranges.join(', ')} of ${batch.leafCount}`, '    ', '  '))
  }
  if (incomplete.length > SHOWN_BATCHES_MAX)
    lines.push(`  … and ${incomplete.length - SHOWN_BATCHES_MAX} more`)
  return lines
}

/** What is covered, and what nobody checked. */
function coverageLines({ coverages }: VerifySummary): string[] {
  if (coverages.length === 0) return []
  const lines = coverages
    .slice(0, SHOWN_FACTS_MAX)
    .map((facts) => wrap(`covered, ${plural(facts.spanCount, 'span')}: ${coverageText(facts)}`, '  '))
  return [
    ...lines,
    wrap('never covered: flags, dropped counts, schema URLs, scope attributes, unknown fields', '  '),
  ]
}

function coverageText({ resourceAttributes, mutable }: CoverageFacts): string {
  const attributes = mutable.some((glob) => /^\*+$/.test(glob))
    ? 'NO attribute of spans'
    : mutable.length === 0
      ? 'all attributes of spans'
      : `all attributes of spans but ${mutable.map(visible).join(', ')}`
  const resource = resourceAttributes.length === 0 ? 'none' : resourceAttributes.map(visible).join(', ')
  return `${attributes}; of the resource ${resource}`
}

const VOUCHING: Record<KeyFacts['endorsement'], string> = {
  first: 'first of its chain',
  endorsed: 'endorsed by an earlier one',
  endorser_unknown: 'endorsed by one that is in no list',
  endorser_revoked: 'endorsed by a revoked one',
  bad: 'badly endorsed',
}

/** Who vouches for the keys that signed what is valid. */
function keyLines({ keys }: VerifySummary): string[] {
  const lines = keys.slice(0, SHOWN_FACTS_MAX).map(({ keyId, tenant, endorsement, isTrusted }) => {
    const trust = isTrusted
      ? 'trusted'
      : `NOT trusted; if you know it to be theirs: --trust ${visible(keyId)}`
    return wrap(`key ${visible(keyId)} of ${visible(tenant)}, ${VOUCHING[endorsement]}: ${trust}`, '  ')
  })
  if (keys.length > SHOWN_FACTS_MAX) lines.push(`… and ${keys.length - SHOWN_FACTS_MAX} more keys`)
  return lines
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

function wholeness(batchCount: number, incompleteCount: number): string {
  if (incompleteCount === 0) return batchCount === 1 ? 'whole' : 'all whole'
  return `${incompleteCount} not whole here`
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
