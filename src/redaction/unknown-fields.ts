// Fields that our table does not know: a later OTLP, or whatever a sender puts there. What the rules would find in text
// must not leave in one of them either. No place and no key is known of them, so every rule counts that needs neither,
// of whichever tenant; and nothing in them can be edited, since what would have to stay true of them is not known.
import { SidecarError } from '../base/errors.ts'
import { UNKNOWN_FIELDS_MAX } from '../base/limits.ts'
import { Matches } from '../detection/engine/matches.ts'
import { scanText } from '../detection/engine/text-scan.ts'
import { ValueType } from '../wire/otlp.ts'
import { readFixed64 } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'
import { fieldIn } from '../wire/unknown-message.ts'
import type { UnknownFieldMode } from './options.ts'
import { Effect } from './outcome.ts'
import { createProfile, type FittingRule, outcomeOf, type Profile } from './profile.ts'
import { decimalText, isLongNumber } from './value-bytes.ts'

/** Messages in messages that are looked into one by one. What is deeper was searched as bytes of what is around it. */
const DEPTH_MAX = 8
/** Numbers of a card, as they may stand in eight bytes; the bits of any usual double are a larger integer. */
const FIXED_CARD_MIN = 10n ** 12n
const FIXED_CARD_MAX = 10n ** 17n

/** What one pass over a request has searched. Its own, since passes over large requests take turns. */
export interface Searched {
  fieldCount: number
}

export class UnknownFields {
  readonly #mode: UnknownFieldMode
  readonly #profile: Profile
  readonly #valueWorkMax: number
  readonly #matches = new Matches()
  #searched: Searched = { fieldCount: 0 }

  /** `rules` are those that need neither a key nor a place. */
  constructor(mode: UnknownFieldMode, rules: readonly FittingRule[], valueWorkMax: number) {
    this.#mode = mode
    this.#profile = createProfile(rules)
    this.#valueWorkMax = valueWorkMax
  }

  /** Whether a field with payload [start, end) must go. Throws TOO_LARGE when a request holds too many to search. */
  isUnwanted(searched: Searched, wireType: number, buf: Uint8Array, start: number, end: number): boolean {
    this.#searched = searched
    if (this.#mode !== 'scan') return this.#mode === 'remove'
    return !this.#profile.isBlind && this.#holdsFinding(wireType, buf, start, end, 0)
  }

  #holdsFinding(wireType: number, buf: Uint8Array, start: number, end: number, depth: number): boolean {
    if (++this.#searched.fieldCount > UNKNOWN_FIELDS_MAX)
      throw new SidecarError('TOO_LARGE', 'too many unknown fields')
    switch (wireType) {
      case Wire.VARINT:
        return this.#isNumberFound(ValueType.INT, buf, start, end)
      case Wire.FIXED64:
        return this.#isNumberFound(ValueType.DOUBLE, buf, start, end) || this.#isCardFound(buf, start)
      case Wire.LENGTH:
        return (
          this.#isFound(buf, start, end) || (depth < DEPTH_MAX && this.#inMessage(buf, start, end, depth))
        )
      default:
        return false // four bytes hold ten digits: no card
    }
  }

  /** Whether the bytes can be read as a message, and a field of it holds something. */
  #inMessage(buf: Uint8Array, start: number, end: number, depth: number): boolean {
    for (let pos = start; pos < end; ) {
      const field = fieldIn(buf, pos, end)
      if (field === undefined) return false
      pos = field.end // before what is inside is read into the same place
      if (this.#holdsFinding(field.wireType, buf, field.start, field.end, depth + 1)) return true
    }
    return false
  }

  #isNumberFound(type: ValueType, buf: Uint8Array, start: number, end: number): boolean {
    const { patterns, readsNumbers } = this.#profile
    if (patterns.length === 0 && !(readsNumbers && isLongNumber(type, buf, start, end))) return false
    const text = decimalText(type, buf, start, end)
    return this.#isFound(text, 0, text.length)
  }

  #isCardFound(buf: Uint8Array, start: number): boolean {
    const value = readFixed64(buf, start)
    if (value < FIXED_CARD_MIN || value >= FIXED_CARD_MAX) return false
    const text = new TextEncoder().encode(value.toString())
    return this.#isFound(text, 0, text.length)
  }

  #isFound(buf: Uint8Array, start: number, end: number): boolean {
    const profile = this.#profile
    const matches = this.#matches
    const { mask, stops, patterns } = profile
    if ((end - start) * (1 + patterns.length) > this.#valueWorkMax) return true
    matches.clear()
    scanText(buf, start, end, mask, stops, matches)
    for (const { pattern, source } of patterns) pattern.find(buf, start, end, source, matches)
    for (let i = 0; i < matches.count; i++) {
      if (outcomeOf(profile, matches.source(i)).effect !== Effect.KEEP) return true
    }
    return matches.isOverflown
  }
}
