// What cannot be read, in numbers: for the log, the metrics, the commands, and whoever decides whether to go on without it.
import { SidecarError } from '../base/errors.ts'
import type { Signal } from '../wire/otlp.ts'
import { SIGNALS } from './entry.ts'
import { EntryState } from './entry-index.ts'
import { type Count, NO_TOTALS, plus, type Totals } from './extent.ts'
import type { JournalContent } from './journal.ts'
import type { Place } from './mark.ts'
import type { Segment } from './segment.ts'
import type { Loss } from './survey.ts'
import { Taken } from './taken.ts'

/** Of the queue, what is really gone: not what everybody had and whose statements are filed. */
export function queueLosses({ losses, segments, cursors, sequence }: JournalContent, filed: Place): Loss[] {
  const taken = new Taken(cursors)
  const gaps = losses.flatMap((loss) => {
    const totals = withoutTaken(loss, taken, sequence)
    const isFiled = loss.file < filed.file || (loss.file === filed.file && loss.last <= filed.number)
    return isFiled && loss.records > 0 && isEmpty(totals) ? [] : [{ ...loss, totals }]
  })
  return [...gaps, ...segments.flatMap((segment) => unreadable(segment, taken))]
}

function withoutTaken({ totals, sequences }: Loss, taken: Taken, sequence: number): Totals {
  const upTo = Math.min(sequences[1] - 1, sequence)
  const keep = (signal: Signal): Count =>
    taken.hasAllUpTo(signal, upTo) ? NO_TOTALS[signal] : totals[signal]
  return { traces: keep('traces'), logs: keep('logs'), metrics: keep('metrics') }
}

/** Entries whose record is whole but for the body. */
function unreadable(segment: Segment, taken: Taken): Loss[] {
  const losses: Loss[] = []
  for (const signal of SIGNALS) {
    const entries = segment.lanes[signal]
    for (let i = 0; i < entries.count; i++) {
      const sequence = entries.sequence(i)
      if (entries.state(i) !== EntryState.UNREADABLE || taken.has(signal, sequence)) continue
      const totals = plus(NO_TOTALS, signal, entries.items(i))
      losses.push({
        log: 'queue',
        file: segment.file,
        records: 1,
        last: 0,
        totals,
        sequences: [sequence - 1, sequence + 1],
      })
    }
  }
  return losses
}

function isEmpty(totals: Totals): boolean {
  return SIGNALS.every((signal) => totals[signal].entries === 0)
}

/** One line a loss. */
export function describeLoss({ log, file, records, totals }: Loss): string {
  const where = `${log}/${String(file).padStart(10, '0')}`
  if (records === 0) return `${where}: the head of the file`
  const entries = SIGNALS.filter((signal) => totals[signal].entries > 0).map(
    (signal) => `${totals[signal].entries} of ${signal} with ${totals[signal].items} items`,
  )
  const queued = log === 'queue' ? `, entries not yet exported: ${entries.join(', ') || 'none'}` : ''
  return `${where}: ${records} record(s)${queued}`
}

const DESCRIBED_MAX = 3

/** The error of a start: what is lost, and what to do. The cause names it. */
export function damageError(losses: readonly Loss[]): SidecarError {
  const named = losses.slice(0, DESCRIBED_MAX).map(describeLoss)
  const more = losses.length > DESCRIBED_MAX ? [`and ${losses.length - DESCRIBED_MAX} more`] : []
  return new SidecarError(
    'STORE_CORRUPT',
    'the data folder is damaged; betrace store check says what is lost, betrace store salvage goes on with the rest',
    { cause: new Error([...named, ...more].join('; ')) },
  )
}
