// What is left of the evidence. A start reads the last file, and of those before it the sizes; `betrace store check` reads
// all of them.
import { statSync } from 'node:fs'
import { logPath } from './data-folder.ts'
import { decodePairs, decodePlaced } from './data-record.ts'
import { type Extent, NO_EXTENT, reaching } from './extent.ts'
import { Kind, tagOf } from './frame.ts'
import { readHead } from './log-files.ts'
import type { MarkState } from './mark.ts'
import { nameOf } from './names.ts'
import { headLoss, type Loss, surveyFile } from './survey.ts'
import type { KeyedValue } from './table.ts'

const TIP = 1

/** Under such a key only the latest value is kept. */
export function isTip(key: Uint8Array): boolean {
  return key[0] === TIP
}

export interface EvidenceSurvey {
  readonly losses: readonly Loss[]
  /** Of the files before the last. */
  readonly olderBytes: number
  /** By name; of the last file. */
  readonly tips: ReadonlyMap<string, Uint8Array>
  /** That were read. */
  readonly statements: number
}

export function surveyEvidence(directory: string, state: MarkState, isThorough: boolean): EvidenceSurvey {
  const last = state.evidence.file
  const losses: Loss[] = []
  const tips = new Map<string, Uint8Array>()
  let [olderBytes, statements] = [0, 0]
  for (let file = 1; file <= last; file++) {
    const path = logPath(directory, 'evidence', file)
    const known = knownExtent(directory, state, file)
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (file < last) olderBytes += size
    const isHeadGood = readHead(path) !== undefined
    if (file < last && !isThorough && isHeadGood && known && size >= known.endAt) continue
    const tag = tagOf(Buffer.from(state.secret, 'hex'), 'evidence', file)
    const options = { log: 'evidence', file, path, tag, known: known ?? NO_EXTENT, isLast: !known } as const
    const survey = surveyFile(options, ({ frame, meta }) => {
      if (!meta) return
      if (frame.kind === Kind.STATEMENTS) for (const _ of pairsOf(frame.kind, meta)) statements++
      else if (file === last)
        for (const { key, value } of pairsOf(frame.kind, meta)) tips.set(nameOf(key), new Uint8Array(value))
    })
    losses.push(...survey.losses)
    if (!isHeadGood && survey.losses.length === 0) losses.push(headLoss('evidence', file))
  }
  return { losses, olderBytes, tips, statements }
}

/** How far a file reaches: the mark knows it of the last, the next one of the others, and its own head when it was written whole. */
function knownExtent(directory: string, { evidence }: MarkState, file: number): Extent | undefined {
  const whole = readHead(logPath(directory, 'evidence', file))?.whole
  if (whole) return whole
  if (file === evidence.file) return reaching(evidence.extent)
  return reaching(readHead(logPath(directory, 'evidence', file + 1))?.before)
}

export function pairsOf(kind: Kind, meta: Buffer): Iterable<KeyedValue> {
  return decodePairs(kind === Kind.STATEMENTS ? decodePlaced(meta).pairs : meta)
}
