// The visitor of the one scan: asks the rules about every key and value, and hands what they decide to the editor.
// One instance serves request after request; between requests it holds none of their bytes.
import { strict as assert } from 'node:assert'
import { Frame, Place, type Signal, ValueType } from '../wire/otlp.ts'
import type { Visitor } from '../wire/scan.ts'
import { messageField, stringAttribute } from '../wire/write.ts'
import { scanText } from './detectors/text-scan.ts'
import { Editor } from './editor.ts'
import { type KeyEntry, Reserved } from './key-cache.ts'
import { KeyPath } from './key-path.ts'
import { Matches } from './matches.ts'
import { Effect, type Outcome } from './outcome.ts'
import { Parts } from './parts.ts'
import { outcomeOf, type Profile } from './profile.ts'
import type { RuleSet, RuleView } from './rules.ts'
import { isTraceState } from './surfaces.ts'
import type { TenantKeys } from './tenant-keys.ts'
import { announcedKid, announcementText, findPrefix, token, tokenEnd, trustedKids } from './tokens.ts'
import { member, memberAt } from './trace-state.ts'
import { decimalText, isLongNumber, isScalar } from './value-bytes.ts'

/** What a pattern's automaton may cost per byte, against one detector pass. */
const PATTERN_WEIGHT = 30
const NO_MARK = -1
const RESOURCE_FIELD = 1
const RESOURCE_ATTRIBUTES_FIELD = 1
const NOTHING = new Uint8Array(0)

export class Redactor implements Visitor {
  readonly editor: Editor
  itemCount = 0
  forged = 0
  overBudget = 0
  itemsByGroup: number[] = []
  #buf: Uint8Array = NOTHING
  #view!: RuleView // set when the first group is entered, before anything is asked
  #tenants: readonly TenantKeys[] = []
  #group = -1
  #groupStart = 0
  #groupEnd = 0
  #resourceMark = NO_MARK
  #trusted: ReadonlySet<string> | undefined
  /** The attribute that the scan is in, at the depth of `#path`. */
  #fieldStart = 0
  #fieldEnd = 0
  #valueStart = 0
  readonly #ruleSet: RuleSet
  readonly #path = new KeyPath(NOTHING)
  readonly #matches = new Matches()
  readonly #parts = new Parts()

  constructor(ruleSet: RuleSet) {
    this.#ruleSet = ruleSet
    this.editor = new Editor(ruleSet.ruleNames.length)
  }

  begin(buf: Uint8Array, signal: Signal, tenants: readonly TenantKeys[]): void {
    this.editor.reset(buf, signal)
    this.#buf = buf
    this.#tenants = tenants
    this.#group = -1
    this.itemCount = 0
    this.forged = 0
    this.overBudget = 0
    this.itemsByGroup = []
    this.#path.reset(buf)
  }

  /** Lets go of the request, also after the scan threw. */
  end(): void {
    this.#buf = NOTHING
    this.#tenants = []
    this.#path.reset(NOTHING)
    this.#parts.release()
    this.editor.reset(NOTHING, 'traces')
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.ITEM) {
      this.itemCount++
      this.itemsByGroup[this.#group]++
    } else if (frame === Frame.RESOURCE_GROUP) this.#enterGroup(start, end)
  }

  #enterGroup(start: number, end: number): void {
    const tenant = this.#tenants[++this.#group]
    assert(tenant !== undefined, 'every resource group has a tenant')
    this.#view = this.#ruleSet.viewOf(tenant.tenant)
    this.editor.enterGroup(tenant)
    this.itemsByGroup.push(0)
    this.#groupStart = start
    this.#groupEnd = end
    this.#resourceMark = NO_MARK
    this.#trusted = undefined
  }

  leave(frame: Frame, _start: number, end: number): void {
    // What is sealed may stand after the resource, so a place is kept there, and filled when the group ends.
    if (frame === Frame.RESOURCE) this.#resourceMark = this.editor.edits.reserve(end, end)
    else if (frame === Frame.RESOURCE_GROUP && this.editor.isGroupSealed) this.#announce(end)
  }

  #announce(groupEnd: number): void {
    const { announcementKey, announcement } = this.editor.sealer
    const attribute = stringAttribute(RESOURCE_ATTRIBUTES_FIELD, announcementKey, announcement)
    if (this.#resourceMark !== NO_MARK) this.editor.edits.fill(this.#resourceMark, attribute)
    else this.editor.edits.insert(groupEnd, messageField(RESOURCE_FIELD, attribute))
  }

  attribute(
    place: Place,
    depth: number,
    fieldStart: number,
    end: number,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const path = this.#path
    path.push(depth, keyStart, keyEnd)
    this.#fieldStart = fieldStart
    this.#fieldEnd = end
    this.#valueStart = valueStart
    let entry: KeyEntry
    if (depth === 0) entry = this.#view.entry(place, this.#buf, keyStart, keyEnd, undefined)
    else entry = this.#view.entry(place, path.joined, 0, path.join(place), path.entryAt(depth - 1))
    path.setEntry(entry)
    if (entry.reserved !== Reserved.NO && depth === 0 && place !== Place.LOG_BODY) {
      return this.#reserved(entry, place, keyStart, keyEnd, valueEnd)
    }
    if (entry.isKeyPersonal && this.#personalKey(entry.profile, fieldStart, end, keyStart, keyEnd))
      return true
    const { whole } = entry.profile
    const isOneScalar = isScalar(this.#buf, valueStart, valueEnd)
    if (whole === undefined) return entry.profile.isBlind && isOneScalar
    // A text or a number may still be an earlier rule's, or a token: `scalar` asks.
    if (isOneScalar) return false
    const at = { place, valueStart, valueEnd, text: NOTHING, fieldStart, fieldEnd: end }
    this.editor.value(whole, at, path)
    return true
  }

  attributeEnd(depth: number): void {
    this.#path.depth = depth - 1
    this.#fieldEnd = 0
  }

  scalar(
    place: Place,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    const entry = this.#path.entryAt(this.#path.depth)
    const isBodyText = place === Place.LOG_BODY && this.#path.depth < 1
    const profile = isBodyText || entry === undefined ? this.#view.texts[place] : entry.profile
    const isText = type === ValueType.STRING || type === ValueType.BYTES
    if (isText) this.#textValue(place, profile, type, start, end, valueStart, valueEnd)
    else this.#number(place, profile, type, start, end, valueStart, valueEnd)
  }

  #textValue(
    place: Place,
    profile: Profile,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    const { whole } = profile
    let decided = whole
    if (!profile.isBlind) {
      if (this.#isTooMuch(profile, end - start)) decided ??= this.#countOverBudget()
      else {
        this.#search(profile, this.#buf, start, end)
        if (this.#matches.count > 0) {
          this.#parts.resolve(this.#matches, profile)
          if (this.#matches.isOverflown) decided ??= this.#countOverBudget()
          else if (this.#parts.cover(start, end))
            decided = this.#parts.count === 1 ? this.#parts.outcome(0) : undefined
          if (decided === undefined) {
            this.#applyParts(place, type)
            return
          }
        }
      }
    }
    if (decided === undefined) return
    if (decided.effect !== Effect.DROP && this.#isTrustedToken(start, end)) return
    this.#whole(place, decided, valueStart, valueEnd, this.#buf.subarray(start, end))
  }

  #number(
    place: Place,
    profile: Profile,
    type: ValueType,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    let decided = profile.whole
    let text: Uint8Array = NOTHING
    if (type !== ValueType.BOOL && type !== ValueType.EMPTY) {
      const isSearched =
        profile.patterns.length > 0 || (profile.readsNumbers && isLongNumber(type, this.#buf, start, end))
      if (isSearched || decided !== undefined) text = decimalText(type, this.#buf, start, end)
      if (isSearched) {
        this.#search(profile, text, 0, text.length)
        if (this.#matches.count > 0) decided = firstOutcome(this.#matches, profile)
      }
    }
    if (decided !== undefined) this.#whole(place, decided, valueStart, valueEnd, text)
  }

  #whole(place: Place, outcome: Outcome, valueStart: number, valueEnd: number, text: Uint8Array): void {
    const isAttribute = valueStart === this.#valueStart && this.#fieldEnd > 0
    const fieldStart = isAttribute ? this.#fieldStart : 0
    const fieldEnd = isAttribute ? this.#fieldEnd : 0
    this.editor.value(outcome, { place, valueStart, valueEnd, text, fieldStart, fieldEnd }, this.#path)
  }

  text(place: Place, start: number, end: number): void {
    const profile = this.#view.texts[place]
    let decided = profile.whole
    if (start === end || (profile.isBlind && decided === undefined)) return
    this.#matches.clear()
    this.#parts.count = 0
    if (this.#isTooMuch(profile, end - start)) decided ??= this.#countOverBudget()
    else {
      this.#search(profile, this.#buf, start, end)
      if (this.#matches.count > 0) this.#parts.resolve(this.#matches, profile)
      if (this.#matches.isOverflown) decided ??= this.#countOverBudget()
    }
    if (this.#parts.count > 0 && this.#parts.cover(start, end)) decided = undefined
    if (isTraceState(place)) this.#traceState(place, start, end, decided)
    else if (decided === undefined) this.#applyParts(place, ValueType.STRING)
    else if (decided.effect === Effect.DROP || !this.#isTrustedToken(start, end)) {
      this.editor.part(place, ValueType.STRING, decided, start, end, this.#path)
    }
  }

  #applyParts(place: Place, type: ValueType): void {
    const parts = this.#parts
    for (let i = 0; i < parts.count; i++) {
      this.editor.part(place, type, parts.outcome(i), parts.start(i), parts.end(i), this.#path)
    }
  }

  /** `whole`: every member's value; otherwise those that a part touches. */
  #traceState(place: Place, start: number, end: number, whole: Outcome | undefined): void {
    const parts = this.#parts
    let done = start
    for (let i = 0; whole === undefined && i < parts.count; i++) {
      for (let at = Math.max(done, parts.start(i)); at < parts.end(i); at = done) {
        done = this.#traceMember(place, start, end, at, parts.outcome(i), false)
      }
    }
    while (whole !== undefined && done < end) done = this.#traceMember(place, start, end, done, whole, true)
  }

  /** Changes the member that `at` is in. Returns where the next one begins. */
  #traceMember(
    place: Place,
    start: number,
    end: number,
    at: number,
    outcome: Outcome,
    isWhole: boolean,
  ): number {
    memberAt(this.#buf, start, end, at)
    const { start: memberStart, valueStart, end: memberEnd } = member
    const isKeyTouched = !isWhole && at < valueStart
    if (outcome.effect === Effect.KEEP) return memberEnd + 1
    if (isKeyTouched || outcome.effect === Effect.DROP) {
      // An empty member is allowed, and a value without characters is not.
      this.editor.edits.remove(memberStart, memberEnd)
      this.editor.count(outcome.rule, Effect.DROP, 1)
    } else if (valueStart < memberEnd) {
      this.editor.part(place, ValueType.STRING, outcome, valueStart, memberEnd, this.#path)
    }
    return memberEnd + 1
  }

  /** Rewrites the key. True when a rule drops the attribute for it. */
  #personalKey(
    profile: Profile,
    fieldStart: number,
    fieldEnd: number,
    keyStart: number,
    keyEnd: number,
  ): boolean {
    if (this.#isTooMuch(profile, keyEnd - keyStart)) {
      const outcome = this.#countOverBudget()
      this.editor.overBudget(outcome, Place.SPAN_ATTRIBUTE, keyStart, keyEnd)
      this.#path.rename(utf8(outcome.mask, 0, outcome.mask.length))
      return false
    }
    this.#search(profile, this.#buf, keyStart, keyEnd)
    const parts = this.#parts
    parts.resolve(this.#matches, profile)
    for (let i = 0; i < parts.count; i++) {
      if (parts.outcome(i).effect !== Effect.DROP) continue
      this.editor.edits.remove(fieldStart, fieldEnd)
      this.editor.count(parts.outcome(i).rule, Effect.DROP, 1)
      return true
    }
    let name = ''
    let at = keyStart
    for (let i = 0; i < parts.count; i++) {
      const bytes = this.editor.keyPart(parts.outcome(i), parts.start(i), parts.end(i))
      if (bytes === undefined) continue
      name += utf8(this.#buf, at, parts.start(i)) + utf8(bytes, 0, bytes.length)
      at = parts.end(i)
    }
    this.#path.rename(name + utf8(this.#buf, at, keyEnd))
    return false
  }

  /** Returns true: nothing in a reserved attribute is searched. */
  #reserved(entry: KeyEntry, place: Place, keyStart: number, keyEnd: number, valueEnd: number): boolean {
    if (entry.reserved === Reserved.SIGNATURE) return true
    if (entry.reserved === Reserved.ANNOUNCEMENT && place === Place.RESOURCE_ATTRIBUTE) {
      const value = announcementText(this.#buf, this.#valueStart, valueEnd)
      const kid = announcedKid(this.#buf, keyStart, keyEnd)
      if (kid !== '' && value !== undefined && this.#ruleSet.hooks.isTrustedAnnouncement(kid, value))
        return true
    }
    this.forged++
    this.editor.edits.remove(this.#fieldStart, this.#fieldEnd)
    return true
  }

  #isTooMuch(profile: Profile, size: number): boolean {
    return size * (1 + PATTERN_WEIGHT * profile.patterns.length) > this.#ruleSet.hooks.valueWorkMax
  }

  #countOverBudget(): Outcome {
    this.overBudget++
    return this.#ruleSet.overBudget
  }

  #search(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    this.#matches.clear()
    this.#searchIn(profile, buf, start, end)
    if (this.#matches.count > 0 && findPrefix(buf, start, end) >= 0)
      this.#searchAround(profile, buf, start, end)
  }

  #searchIn(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    scanText(buf, start, end, profile.mask, profile.stops, this.#matches)
    for (let i = 0; i < profile.patterns.length; i++) {
      const { pattern, source } = profile.patterns[i]
      pattern.find(buf, start, end, source, this.#matches)
    }
  }

  /** Again, between the tokens that are to be trusted: what is in them is nobody's plain text. */
  #searchAround(profile: Profile, buf: Uint8Array, start: number, end: number): void {
    let from = start
    for (let at = findPrefix(buf, start, end); at >= 0; ) {
      const stop = this.#trustedTokenEnd(buf, at, end)
      if (stop > 0) {
        if (from === start) this.#matches.clear()
        this.#searchIn(profile, buf, from, at)
        from = stop
      }
      at = findPrefix(buf, stop > 0 ? stop : at + 1, end)
    }
    if (from > start) this.#searchIn(profile, buf, from, end)
  }

  #isTrustedToken(start: number, end: number): boolean {
    return this.#trustedTokenEnd(this.#buf, start, end) === end
  }

  /** End of the token at `at` when it is one and its key is vouched for, otherwise -1. */
  #trustedTokenEnd(buf: Uint8Array, at: number, end: number): number {
    const stop = tokenEnd(buf, at, end)
    if (stop < 0) return -1
    const { hooks } = this.#ruleSet
    if (!token.isSealed) return hooks.isTrustedPseudonymKey(token.kid) ? stop : -1
    const { kid } = token
    this.#trusted ??= trustedKids(this.#buf, this.#groupStart, this.#groupEnd, hooks.isTrustedAnnouncement)
    return this.#trusted.has(kid) ? stop : -1
  }
}

/** Of several rules that found something in one number, the first decides. */
function firstOutcome(matches: Matches, profile: Profile): Outcome {
  let first = outcomeOf(profile, matches.source(0))
  for (let i = 1; i < matches.count; i++) {
    const other = outcomeOf(profile, matches.source(i))
    if (other.rule < first.rule) first = other
  }
  return first
}

function utf8(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
}
