// What there is to find in one value: runs the detectors and patterns of a profile over it, and stays out of the tokens
// that a sidecar before us left.

import { DecodedSearch } from '../detection/decoders/decoded.ts'
import { Matches } from '../detection/engine/matches.ts'
import { scanText } from '../detection/engine/text-scan.ts'
import { findPrefix, token, tokenEnd } from '../formats/token-bytes.ts'
import type { Outcome } from './outcome.ts'
import { Parts } from './parts.ts'
import { outcomeOf, type Profile } from './profile.ts'
import type { RuleSetHooks } from './rules.ts'
import { trustedKids } from './trusted-kids.ts'

/** What a pattern's automaton may cost per byte, against one detector pass. */
const PATTERN_WEIGHT = 30
const NOTHING = new Uint8Array(0)

/** Its results are those of the last search; there is one per redactor. */
export class ValueSearch {
  readonly matches = new Matches()
  readonly parts = new Parts()
  readonly #decoded = new DecodedSearch()
  readonly #hooks: Required<RuleSetHooks>
  #request: Uint8Array = NOTHING
  #groupStart = 0
  #groupEnd = 0
  #trusted: ReadonlySet<string> | undefined

  constructor(hooks: Required<RuleSetHooks>) {
    this.#hooks = hooks
  }

  /** Tokens are trusted for what is announced in the resource group [start, end) of `request`. */
  enterGroup(request: Uint8Array, start: number, end: number): void {
    this.#request = request
    this.#groupStart = start
    this.#groupEnd = end
    this.#trusted = undefined
  }

  release(): void {
    this.#request = NOTHING
    this.#trusted = undefined
    this.parts.release()
    this.#decoded.release()
  }

  isTooMuch(profile: Profile, size: number): boolean {
    return size * (1 + PATTERN_WEIGHT * profile.patterns.length) > this.#hooks.valueWorkMax
  }

  /** Fills `matches`; `resolve` makes `parts` of them. */
  search(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    this.matches.clear()
    this.#searchIn(profile, buf, start, end)
    if (this.matches.count > 0 && findPrefix(buf, start, end) >= 0)
      this.#searchAround(profile, buf, start, end)
  }

  #searchIn(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    scanText(buf, start, end, profile.mask, profile.stops, this.matches)
    this.#decoded.search(buf, start, end, profile.mask, profile.stops, this.matches)
    for (let i = 0; i < profile.patterns.length; i++) {
      const { pattern, source } = profile.patterns[i]
      pattern.find(buf, start, end, source, this.matches)
    }
  }

  /** Again, between the tokens that are to be trusted: what is in them is nobody's plain text. */
  #searchAround(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    let from = start
    for (let at = findPrefix(buf, start, end); at >= 0; ) {
      const stop = this.#trustedTokenEnd(buf, at, end)
      if (stop > 0) {
        if (from === start) this.matches.clear()
        this.#searchIn(profile, buf, from, at)
        from = stop
      }
      at = findPrefix(buf, stop > 0 ? stop : at + 1, end)
    }
    if (from > start) this.#searchIn(profile, buf, from, end)
  }

  isTrustedToken(start: number, end: number): boolean {
    return this.#trustedTokenEnd(this.#request, start, end) === end
  }

  /** End of the token at `at` when it is one and its key is vouched for, otherwise -1. */
  #trustedTokenEnd(buf: Uint8Array, at: number, end: number): number {
    const stop = tokenEnd(buf, at, end)
    if (stop < 0) return -1
    const hooks = this.#hooks
    if (!token.isSealed) return hooks.isTrustedPseudonymKey(token.kid) ? stop : -1
    const { kid } = token
    this.#trusted ??= trustedKids(
      this.#request,
      this.#groupStart,
      this.#groupEnd,
      hooks.isTrustedAnnouncement,
    )
    return this.#trusted.has(kid) ? stop : -1
  }

  resolve(profile: Profile): void {
    this.parts.resolve(this.matches, profile)
  }
}

/** Of several rules that found something in one number, the first decides. */
export function firstOutcome(matches: Matches, profile: Profile): Outcome {
  let first = outcomeOf(profile, matches.source(0))
  for (let i = 1; i < matches.count; i++) {
    const other = outcomeOf(profile, matches.source(i))
    if (other.rule < first.rule) first = other
  }
  return first
}
