// A look at a whole data folder: what there is, and what is lost. It changes nothing.
import { queueLosses } from './damage.ts'
import { hasStore, markPath } from './data-folder.ts'
import { SIGNALS } from './entry.ts'
import { EntryState } from './entry-index.ts'
import { surveyEvidence } from './evidence-survey.ts'
import { NO_TOTALS, plus, type Totals } from './extent.ts'
import { type JournalContent, readJournal } from './journal.ts'
import { openKeyIndex } from './key-index.ts'
import { type MarkState, readMark } from './mark.ts'
import type { Loss } from './survey.ts'
import { Taken } from './taken.ts'

export interface FolderReport {
  readonly losses: readonly Loss[]
  /** The mark is gone or damaged: then nobody knows how far the last files reached. */
  readonly isMarkLost: boolean
  /** Entries that somebody still has to take, and that can be read. */
  readonly waiting: Totals
  readonly statements: number
  readonly keyRecords: number
  /** One of the two copies is damaged, and is made anew at the next start. */
  readonly isKeyCopyDamaged: boolean
}

/** `undefined` when there has been no store. Whoever asks holds the lock. */
export function checkFolder(directory: string): FolderReport | undefined {
  const state = readMark(markPath(directory))
  if (state) return reportOf(directory, state)
  if (!hasStore(directory)) return undefined
  const nothing = { losses: [], waiting: NO_TOTALS, statements: 0, keyRecords: 0, isKeyCopyDamaged: false }
  return { ...nothing, isMarkLost: true }
}

function reportOf(directory: string, state: MarkState): FolderReport {
  const { file, extent } = state.keys
  const keys = openKeyIndex({ directory, secret: Buffer.from(state.secret, 'hex'), file }, extent)
  keys.index.close()
  const evidence = surveyEvidence(directory, state, true)
  const content = readJournal(directory, state)
  return {
    losses: [...queueLosses(content, state.evidence.source), ...evidence.losses, ...keys.losses],
    isMarkLost: false,
    waiting: waitingIn(content),
    statements: evidence.statements,
    keyRecords: keys.index.size,
    isKeyCopyDamaged: keys.isUneven,
  }
}

function waitingIn({ segments, cursors }: JournalContent): Totals {
  const taken = new Taken(cursors)
  let totals = NO_TOTALS
  for (const { lanes } of segments) {
    for (const signal of SIGNALS) {
      const entries = lanes[signal]
      for (let i = 0; i < entries.count; i++) {
        if (entries.state(i) === EntryState.LIVE && !taken.has(signal, entries.sequence(i)))
          totals = plus(totals, signal, entries.items(i))
      }
    }
  }
  return totals
}
