// What the rules say about one place, for values under one key: which detectors run, who decides about what they find,
// and whether a rule takes the whole value. There are few of these; thousands of keys share one.
import { DETECTOR_COUNT, Detector, PATTERN_SOURCE } from '../detection/detectors.ts'
import { stopTable } from '../detection/engine/text-scan.ts'
import type { UserPattern } from '../detection/engine/user-pattern.ts'
import type { Outcome } from './outcome.ts'

export interface ProfilePattern {
  readonly source: number
  readonly pattern: UserPattern
  readonly outcome: Outcome
}

export interface Profile {
  /** The first rule without detector or pattern: it takes what no earlier rule decided. */
  readonly whole: Outcome | undefined
  /** Detectors of the rules before `whole`, as bits. */
  readonly mask: number
  readonly stops: Uint8Array
  /** By detector. */
  readonly outcomes: readonly (Outcome | undefined)[]
  readonly patterns: readonly ProfilePattern[]
  /** No detector and no pattern: nothing to look for inside. */
  readonly isBlind: boolean
  /** Whether numbers are looked into: cards are the only numbers that a detector knows without punctuation. */
  readonly readsNumbers: boolean
}

/** A rule that fits the place, the tenant and the key, in order. */
export interface FittingRule {
  readonly whole: Outcome | undefined
  /** By detector; empty without. */
  readonly outcomes: readonly (Outcome | undefined)[]
  readonly patterns: readonly UserPattern[]
  readonly patternOutcome: Outcome
}

export function createProfile(rules: readonly FittingRule[]): Profile {
  const outcomes = new Array<Outcome | undefined>(DETECTOR_COUNT).fill(undefined)
  const patterns: ProfilePattern[] = []
  let whole: Outcome | undefined
  let mask = 0
  for (const rule of rules) {
    whole = rule.whole
    if (whole !== undefined) break
    for (let id = 0; id < DETECTOR_COUNT; id++) {
      if (rule.outcomes[id] === undefined || outcomes[id] !== undefined) continue
      outcomes[id] = rule.outcomes[id]
      mask |= 1 << id
    }
    for (const pattern of rule.patterns) {
      patterns.push({ source: PATTERN_SOURCE + patterns.length, pattern, outcome: rule.patternOutcome })
    }
  }
  return {
    whole,
    mask,
    stops: stopTable(mask),
    outcomes,
    patterns,
    isBlind: mask === 0 && patterns.length === 0,
    readsNumbers: (mask & (1 << Detector.PAYMENT_CARD)) !== 0 || patterns.length > 0,
  }
}

export function outcomeOf(profile: Profile, source: number): Outcome {
  // A source is only ever recorded for a detector in `mask` or a pattern of this profile.
  return source < PATTERN_SOURCE
    ? profile.outcomes[source]!
    : profile.patterns[source - PATTERN_SOURCE]!.outcome
}
