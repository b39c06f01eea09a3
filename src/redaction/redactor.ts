// The visitor of the one scan: asks the rules about every key and value, and hands what they decide to the editor.
// One instance serves request after request; between requests it holds none of their bytes.
import { strict as assert } from 'node:assert'
import { Frame, Place, type Signal, ValueType } from '../wire/otlp.ts'
import type { Visitor } from '../wire/scan.ts'
import { messageField, stringAttribute } from '../wire/write.ts'
import { type AttributeKeyEntry, Reserved } from './attribute-key-cache.ts'
import { AttributeKeyPath } from './attribute-key-path.ts'
import { Editor } from './editor.ts'
import { Effect, type Outcome } from './outcome.ts'
import type { Profile } from './profile.ts'
import type { RuleSet, RuleView } from './rules.ts'
import { isTraceState } from './surfaces.ts'
import type { TenantKeys } from './tenant-keys.ts'
import { editTraceState } from './trace-state.ts'
import { announcedKid, announcementText } from './trusted-kids.ts'
import type { Searched } from './unknown-fields.ts'
import { decimalText, isLongNumber, isScalar, utf8 } from './value-bytes.ts'
import { firstOutcome, ValueSearch } from './value-search.ts'

const NO_MARK = -1
/** Of `resource` in its group, and of `attributes` in a Resource. */
const FIRST_FIELD = 1
const NOTHING = new Uint8Array(0)

export class Redactor implements Visitor {
  readonly editor: Editor
  itemCount = 0
  forged = 0
  overBudget = 0
  /** Whether an unknown field must go before the request can be used. */
  hasUnwanted = false
  itemsByGroup: number[] = []
  #buf: Uint8Array = NOTHING
  #view!: RuleView // set when the first group is entered, before anything is asked
  #tenants: readonly TenantKeys[] = []
  #group = -1
  #resourceMark = NO_MARK
  /** The attribute that the scan is in, at the depth of `#path`. */
  #fieldStart = 0
  #fieldEnd = 0
  #valueStart = 0
  readonly #searched: Searched = { fieldCount: 0 }
  readonly #ruleSet: RuleSet
  readonly #path = new AttributeKeyPath(NOTHING)
  readonly #found: ValueSearch

  constructor(ruleSet: RuleSet) {
    this.#ruleSet = ruleSet
    this.editor = new Editor(ruleSet.ruleNames.length)
    this.#found = new ValueSearch(ruleSet.hooks)
  }

  begin(buf: Uint8Array, signal: Signal, tenants: readonly TenantKeys[]): void {
    this.editor.reset(buf, signal)
    this.#buf = buf
    this.#tenants = tenants
    this.#group = -1
    this.itemCount = 0
    this.forged = 0
    this.overBudget = 0
    this.hasUnwanted = false
    this.#searched.fieldCount = 0
    this.itemsByGroup = []
    this.#path.reset(buf)
  }

  /** Lets go of the request, also after the scan threw. */
  end(): void {
    this.#buf = NOTHING
    this.#tenants = []
    this.#path.reset(NOTHING)
    this.#found.release()
    this.editor.reset(NOTHING, 'traces')
    this.editor.edits.reset(0)
  }

  enter(frame: Frame, start: number, end: number): void {
    if (frame === Frame.ITEM) {
      this.itemCount++
      this.itemsByGroup[this.#group]++
      this.editor.enterRecord(start, end)
    } else if (frame === Frame.RESOURCE_GROUP) this.#enterGroup(start, end)
  }

  #enterGroup(start: number, end: number): void {
    const tenant = this.#tenants[++this.#group]
    assert(tenant !== undefined, 'every resource group has a tenant')
    this.#view = this.#ruleSet.viewOf(tenant.tenant)
    this.editor.enterGroup(tenant)
    this.itemsByGroup.push(0)
    this.#found.enterGroup(this.#buf, start, end)
    this.#resourceMark = NO_MARK
  }

  unknown(wireType: number, start: number, end: number): void {
    this.hasUnwanted ||= this.#ruleSet.unknownFields.isUnwanted(
      this.#searched,
      wireType,
      this.#buf,
      start,
      end,
    )
  }

  leave(frame: Frame, _start: number, end: number): void {
    // What is sealed may stand after the resource, so a place is kept there, and filled when the group ends.
    if (frame === Frame.ITEM) this.editor.enterRecord(0, 0)
    else if (frame === Frame.RESOURCE) this.#resourceMark = this.editor.edits.reserve(end, end)
    else if (frame === Frame.RESOURCE_GROUP && this.editor.isGroupSealed) this.#announce(end)
  }

  #announce(groupEnd: number): void {
    const { announcementKey, announcement } = this.editor.sealer
    const attribute = stringAttribute(FIRST_FIELD, announcementKey, announcement)
    if (this.#resourceMark !== NO_MARK) this.editor.edits.fill(this.#resourceMark, attribute)
    else this.editor.edits.insert(groupEnd, messageField(FIRST_FIELD, attribute))
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
    this.editor.work.look(keyEnd - keyStart)
    path.push(place, depth, keyStart, keyEnd)
    this.#fieldStart = fieldStart
    this.#fieldEnd = end
    this.#valueStart = valueStart
    const entry = this.#view.entry(place, path)
    path.entry = entry
    if (entry.reserved !== Reserved.NO) return this.#reserved(entry, place, keyStart, keyEnd, valueEnd)
    if (entry.isKeyPersonal && this.#personalKey(entry.profile, fieldStart, end, keyStart, keyEnd))
      return true
    const { whole } = entry.profile
    const isOneScalar = isScalar(this.#buf, valueStart, valueEnd)
    if (whole === undefined) return entry.profile.isBlind && isOneScalar
    // A text or a number may still be an earlier rule's, or a token: `scalar` asks.
    if (isOneScalar) return false
    // What is kept is exempt from later rules alone: earlier ones have what they fit in it.
    if (whole.effect === Effect.KEEP) return false
    this.editor.value(whole, { place, valueStart, valueEnd, text: NOTHING, fieldStart, fieldEnd: end }, path)
    return true
  }

  attributeEnd(): void {
    this.#path.pop()
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
    // Only in a log body is a value without a key around it.
    const profile = this.#path.entry?.profile ?? this.#view.texts[place]
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
      if (this.#found.isTooMuch(profile, end - start)) decided ??= this.#countOverBudget()
      else {
        this.editor.work.look(end - start)
        this.#found.search(profile, this.#buf, start, end)
        if (this.#found.matches.count > 0) {
          this.#found.resolve(profile)
          if (this.#found.matches.isOverflown) decided ??= this.#countOverBudget()
          else if (this.#found.parts.cover(start, end))
            decided = this.#found.parts.count === 1 ? this.#found.parts.outcome(0) : undefined
          if (decided === undefined) {
            this.#applyParts(place, type)
            return
          }
        }
      }
    }
    if (decided === undefined) return
    if (decided.effect !== Effect.DROP && this.#found.isTrustedToken(start, end)) return
    // What is left of bytes becomes a string, and need not be UTF-8: only the fixed mask will do.
    const text = type === ValueType.STRING ? this.#buf.subarray(start, end) : NOTHING
    this.#whole(place, decided, valueStart, valueEnd, text)
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
    if (type !== ValueType.EMPTY) {
      // What a bool says is no text, but any number can stand where its bit does.
      const hasText = profile.patterns.length > 0 && type !== ValueType.BOOL
      const isSearched = hasText || (profile.readsNumbers && isLongNumber(type, this.#buf, start, end))
      if (isSearched || decided !== undefined) text = decimalText(type, this.#buf, start, end)
      if (isSearched) {
        this.#found.search(profile, text, 0, text.length)
        if (this.#found.matches.count > 0) decided = firstOutcome(this.#found.matches, profile)
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
    this.#found.matches.clear()
    this.#found.parts.count = 0
    if (this.#found.isTooMuch(profile, end - start)) decided ??= this.#countOverBudget()
    else {
      this.editor.work.look(end - start)
      this.#found.search(profile, this.#buf, start, end)
      if (this.#found.matches.count > 0) this.#found.resolve(profile)
      if (this.#found.matches.isOverflown) decided ??= this.#countOverBudget()
    }
    if (this.#found.parts.count > 0 && this.#found.parts.cover(start, end)) decided = undefined
    if (isTraceState(place))
      editTraceState(this.editor, place, this.#buf, start, end, this.#found.parts, decided, this.#path)
    else if (decided === undefined) this.#applyParts(place, ValueType.STRING)
    else if (decided.effect === Effect.DROP || !this.#found.isTrustedToken(start, end)) {
      this.editor.part(place, ValueType.STRING, decided, start, end, this.#path)
    }
  }

  #applyParts(place: Place, type: ValueType): void {
    const { parts } = this.#found
    for (let i = 0; i < parts.count; i++) {
      this.editor.part(place, type, parts.outcome(i), parts.start(i), parts.end(i), this.#path)
    }
  }

  /** Rewrites the key. True when a rule drops the attribute for it. */
  #personalKey(
    profile: Profile,
    fieldStart: number,
    fieldEnd: number,
    keyStart: number,
    keyEnd: number,
  ): boolean {
    const isTooMuch = this.#found.isTooMuch(profile, keyEnd - keyStart)
    if (!isTooMuch) this.#found.search(profile, this.#buf, keyStart, keyEnd)
    if (isTooMuch || this.#found.matches.isOverflown) {
      const outcome = this.#countOverBudget()
      this.editor.overBudget(outcome, Place.SPAN_ATTRIBUTE, keyStart, keyEnd)
      this.#path.rename(utf8(outcome.mask, 0, outcome.mask.length))
      return false
    }
    const parts = this.#found.parts
    this.#found.resolve(profile)
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
  #reserved(
    entry: AttributeKeyEntry,
    place: Place,
    keyStart: number,
    keyEnd: number,
    valueEnd: number,
  ): boolean {
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

  #countOverBudget(): Outcome {
    this.overBudget++
    return this.#ruleSet.overBudget
  }
}
