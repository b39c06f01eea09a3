// Carries out what a rule decided: the one place where a value is sealed, pseudonymised, masked or dropped. Where the
// key that is needed is not at hand, nothing is done but to say so; the body cannot be used then.

import { REDACTION_WORK } from '../base/limits.ts'
import { Work } from '../base/work.ts'
import type { Sealer } from '../formats/sealed-value.ts'
import { isTextPlace, placeHead } from '../formats/value-place.ts'
import { Edits } from '../wire/edits.ts'
import { Place, type Signal, ValueType } from '../wire/otlp.ts'
import { readTag } from '../wire/reader.ts'
import { recordIds } from '../wire/record-ids.ts'
import { stringAttribute } from '../wire/write.ts'
import type { AttributeKeyPath } from './attribute-key-path.ts'
import { partialMask } from './masking.ts'
import { Effect, type Outcome, PSEUDONYM_BITS } from './outcome.ts'
import { SealQueue } from './seal-queue.ts'
import { isTraceState, needsPlainMask } from './surfaces.ts'
import type { TenantKeys } from './tenant-keys.ts'
import { ascii, pseudonymBytes, textValue } from './value-bytes.ts'

const EFFECTS = 5
/** W3C Trace Context §3.3.1.3: characters of a list member's value. */
const TRACE_STATE_VALUE_MAX = 256
/** Of a token without plaintext; with padding some more. */
const SEALED_CHARS_MIN = 68
/** What a value takes in the queue until it is sealed. */
const QUEUED_BYTES = 76
/** Tag and length around a part, at most. */
const PART_FRAME_BYTES = 6

export interface MissingKey {
  readonly tenant: string
  readonly key: 'encryption' | 'pseudonym'
}

/** A value that is decided about as a whole. */
export interface WholeValue {
  readonly place: Place
  readonly valueStart: number
  readonly valueEnd: number
  /** What a mask that keeps characters sees of it; empty where there is nothing to keep. */
  readonly text: Uint8Array
  /** The attribute, where the value is all of one; 0 for an element of an array, and for a log body. */
  readonly fieldStart: number
  readonly fieldEnd: number
}

export class Editor {
  readonly edits = new Edits()
  /** What the request has cost so far. */
  readonly work = new Work(REDACTION_WORK)
  readonly seals = new SealQueue()
  /** By rule and effect: `rule * EFFECTS + effect`. */
  readonly counts: Int32Array
  readonly missing: MissingKey[] = []
  readonly #missed = { encryption: new Set<string>(), pseudonym: new Set<string>() }
  /** Whether a value of the current resource group is sealed, so that its key must be announced there. */
  isGroupSealed = false
  #buf: Uint8Array = new Uint8Array(0)
  #signal: Signal = 'traces'
  #isMetrics = false
  /** The span or log record that the scan is in; end 0: in none. */
  #recordStart = 0
  #recordEnd = 0
  #isRecordKnown = false
  #tenant: TenantKeys | undefined

  constructor(ruleCount: number) {
    this.counts = new Int32Array(ruleCount * EFFECTS)
  }

  reset(buf: Uint8Array, signal: Signal): void {
    this.#buf = buf
    this.#signal = signal
    this.#isMetrics = signal === 'metrics'
    this.enterRecord(0, 0)
    this.#tenant = undefined
    this.counts.fill(0)
    this.missing.length = 0
    this.#missed.encryption.clear()
    this.#missed.pseudonym.clear()
    this.work.begin(buf.length)
    this.seals.clear()
  }

  enterGroup(tenant: TenantKeys): void {
    this.#tenant = tenant
    this.isGroupSealed = false
  }

  /** The scan enters a span or log record; with end 0 it leaves one. */
  enterRecord(start: number, end: number): void {
    this.#recordStart = start
    this.#recordEnd = end
    this.#isRecordKnown = false
  }

  /** Whose announcement the group needs. Only after a value was sealed. */
  get sealer(): Sealer {
    return this.#tenant!.sealer as Sealer // isGroupSealed is set where the sealer was one
  }

  count(rule: number, effect: Effect, times: number): void {
    this.counts[rule * EFFECTS + effect] += times
  }

  /** A part of a text, [start, end). A token in it is bound to the key at the end of `path`, or to the place. */
  part(
    place: Place,
    type: ValueType,
    outcome: Outcome,
    start: number,
    end: number,
    path: AttributeKeyPath,
  ): void {
    // An entity refers to attributes by their keys, and keys are never sealed.
    const effect = this.#effectOf(outcome, place === Place.ENTITY_KEY ? Effect.HASH : Effect.ENCRYPT)
    if (effect === undefined || effect === Effect.KEEP) return
    this.count(outcome.rule, effect, 1)
    if (effect === Effect.ENCRYPT) {
      const size = sealedChars(end - start + PART_FRAME_BYTES)
      if (isTraceState(place) && size > TRACE_STATE_VALUE_MAX) {
        this.edits.replace(start, end, outcome.plainMask)
        return
      }
      const mark = this.#reserveSealed(start, end, size)
      this.#bindToRecord()
      const bound = this.#bindTo(isTextPlace(place) ? placeHead(place) : path.valuePlace(place), path)
      this.seals.addPart(this.sealer, mark, type, start, end, bound, outcome.dataClass)
    } else {
      this.edits.replace(start, end, this.#textFor(effect, outcome, place, start, end))
    }
  }

  /** A whole AnyValue. */
  value(outcome: Outcome, at: WholeValue, path: AttributeKeyPath): void {
    const effect = this.#effectOf(outcome)
    if (effect === undefined || effect === Effect.KEEP) return
    const { valueStart, valueEnd, fieldStart, fieldEnd } = at
    if (effect === Effect.DROP) {
      // Edits must not overlap: an attribute whose key was rewritten loses its value instead.
      if (fieldEnd > 0 && !path.isRenamed()) this.edits.remove(fieldStart, fieldEnd)
      else this.edits.remove(valueStart, valueEnd)
    } else if (valueStart === valueEnd) return
    else if (effect === Effect.ENCRYPT) {
      const mark = this.#reserveSealed(valueStart, valueEnd, sealedChars(valueEnd - valueStart))
      this.#bindToRecord()
      const bound = this.#bindTo(path.valuePlace(at.place), path)
      this.seals.addValue(this.sealer, mark, valueStart, valueEnd, bound, outcome.dataClass)
      if (outcome.hasBeacon && fieldEnd > 0) this.#addBeacon(outcome, at, path.ownName())
    } else if (effect === Effect.HASH) {
      const token = this.#pseudonym(outcome, pseudonymBytes(this.#buf, valueStart, valueEnd))
      this.#replaceValue(valueStart, valueEnd, ascii(token))
    } else {
      const mask = maskOf(outcome, effect, at.text, 0, at.text.length)
      if (mask === outcome.mask) this.edits.replace(valueStart, valueEnd, outcome.maskValue)
      else this.#replaceValue(valueStart, valueEnd, mask)
    }
    this.count(outcome.rule, effect, 1)
  }

  /** A part of an attribute's key. Never sealed: a fresh ciphertext per span would make every key another one. */
  keyPart(outcome: Outcome, start: number, end: number): Uint8Array | undefined {
    const wanted = this.#effectOf(outcome, Effect.HASH)
    if (wanted === undefined || wanted === Effect.KEEP) return undefined
    this.count(outcome.rule, wanted, 1)
    const bytes = this.#textFor(wanted, outcome, Place.SPAN_ATTRIBUTE, start, end)
    this.edits.replace(start, end, bytes)
    return bytes
  }

  /** Puts `mask` in the place of an AnyValue that a rule does not need to be asked about. */
  overBudget(outcome: Outcome, place: Place, start: number, end: number): void {
    this.count(outcome.rule, Effect.MASK, 1)
    this.edits.replace(start, end, needsPlainMask(place) ? outcome.plainMask : outcome.mask)
  }

  /** What is done in fact: on metrics a pseudonym instead of a seal, a mask where a key is not to be had. */
  #effectOf(outcome: Outcome, sealedAs: Effect = Effect.ENCRYPT): Effect | undefined {
    const tenant = this.#tenant!
    let effect = outcome.effect
    if (effect === Effect.ENCRYPT) effect = this.#isMetrics ? Effect.HASH : sealedAs
    const key =
      effect === Effect.ENCRYPT ? tenant.sealer : effect === Effect.HASH ? tenant.pseudonymizer : 'none'
    if (key === 'mask') return Effect.MASK
    if (key !== undefined) return effect
    this.#miss(tenant.tenant, effect === Effect.ENCRYPT ? 'encryption' : 'pseudonym')
    return undefined
  }

  #miss(tenant: string, key: MissingKey['key']): void {
    const missed = this.#missed[key]
    if (missed.has(tenant)) return
    missed.add(tenant)
    this.missing.push({ tenant, key })
  }

  #textFor(effect: Effect, outcome: Outcome, place: Place, start: number, end: number): Uint8Array {
    if (effect === Effect.DROP) return NOTHING
    if (effect === Effect.HASH) return ascii(this.#pseudonym(outcome, this.#buf.subarray(start, end)))
    return needsPlainMask(place) ? outcome.plainMask : maskOf(outcome, effect, this.#buf, start, end)
  }

  #pseudonym(outcome: Outcome, value: Uint8Array): string {
    const pseudonymizer = this.#tenant!.pseudonymizer
    if (pseudonymizer === undefined || pseudonymizer === 'mask') return ''
    return outcome.beaconBits < PSEUDONYM_BITS
      ? pseudonymizer.pseudonym(outcome.dataClass, value, outcome.beaconBits)
      : pseudonymizer.pseudonym(outcome.dataClass, value)
  }

  #reserveSealed(start: number, end: number, chars: number): number {
    this.isGroupSealed = true
    this.edits.expect(chars + QUEUED_BYTES)
    return this.edits.reserve(start, end)
  }

  /** What a value is bound to is read again with each value: nothing for a key, much for the end of a long path. */
  #bindTo(place: string, path: AttributeKeyPath): string {
    if (path.depth > 0) this.work.look(place.length)
    return place
  }

  /** The ids of a record are read when the first of its values is sealed. */
  #bindToRecord(): void {
    if (this.#isRecordKnown) return
    this.#isRecordKnown = true
    const isInRecord = this.#recordEnd > 0 && !this.#isMetrics
    if (isInRecord) this.work.look(this.#recordEnd - this.#recordStart)
    const ids = isInRecord
      ? recordIds(this.#buf, this.#recordStart, this.#recordEnd, this.#signal)
      : undefined
    this.seals.inRecord(ids)
  }

  /** `<key>.tok` in front of the attribute, to search without opening. */
  #addBeacon(outcome: Outcome, at: WholeValue, key: string): void {
    const pseudonymizer = this.#tenant!.pseudonymizer
    if (pseudonymizer === 'mask') return
    if (pseudonymizer === undefined) {
      this.#miss(this.#tenant!.tenant, 'pseudonym')
      return
    }
    // The sibling is the same field of the same parent.
    const field = readTag(this.#buf, at.fieldStart, at.fieldEnd) >>> 3
    const token = this.#pseudonym(outcome, pseudonymBytes(this.#buf, at.valueStart, at.valueEnd))
    this.count(outcome.rule, Effect.HASH, 1)
    this.edits.insert(at.fieldStart, stringAttribute(field, `${key}.tok`, token))
  }

  #replaceValue(valueStart: number, valueEnd: number, text: Uint8Array): void {
    this.edits.replace(valueStart, valueEnd, textValue(ValueType.STRING, text, 0, text.length))
  }
}

const NOTHING = new Uint8Array(0)

function sealedChars(plaintextBytes: number): number {
  return SEALED_CHARS_MIN + Math.ceil((plaintextBytes * 4) / 3)
}

function maskOf(outcome: Outcome, effect: Effect, text: Uint8Array, start: number, end: number): Uint8Array {
  const isPartial = effect === Effect.MASK && outcome.keepFirst + outcome.keepLast > 0
  if (!isPartial) return outcome.mask
  return partialMask(text, start, end, outcome.keepFirst, outcome.keepLast) ?? outcome.mask
}
