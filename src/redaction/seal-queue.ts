// Values that wait to be sealed, so that each tenant's go through few calls. A request can hold a million of them, so
// each is some integers and two names that it shares with others; what a sealer takes is made when its turn comes.

import { IDS_BYTES, type Sealer, type SealItem } from '../formats/sealed-value.ts'
import type { Edits } from '../wire/edits.ts'
import { ValueType } from '../wire/otlp.ts'
import { writeVarint } from '../wire/write.ts'
import { textValue } from './value-bytes.ts'

/** Integers per value: its mark, its range, what that is (a ValueType for a part of a text, WHOLE for an AnyValue), its record. */
const VALUE = 5
/** In the place of a record, for what stands outside of one. */
const NO_RECORD = -1
const WHOLE = ValueType.EMPTY
const VALUES_MIN = 64
const RECORDS_MIN = 64
/** Sealed in one call: about a millisecond. */
const BATCH = 256
/** A table that grew beyond this is given back, values. */
const VALUES_KEPT = 16_384

const STRING_TAG = 0x0a

/** The values from `first` on, up to the next run's, are this sealer's. */
interface Run {
  readonly sealer: Sealer
  readonly first: number
}

export class SealQueue {
  count = 0
  #ints = new Int32Array(VALUES_MIN * VALUE)
  #places: string[] = []
  #dataClasses: string[] = []
  /** Ids of the records in which values stand, one after the other. */
  #recordIds = new Uint8Array(RECORDS_MIN * IDS_BYTES)
  #recordCount = 0
  #hasRecord = false
  readonly #runs: Run[] = []
  #scratch = Buffer.allocUnsafeSlow(4096)

  clear(): void {
    this.count = 0
    this.#runs.length = 0
    this.#places = []
    this.#recordCount = 0
    if (this.#recordIds.length > VALUES_KEPT * IDS_BYTES)
      this.#recordIds = new Uint8Array(RECORDS_MIN * IDS_BYTES)
    this.#hasRecord = false
    this.#dataClasses = []
    if (this.#ints.length > VALUES_KEPT * VALUE) this.#ints = new Int32Array(VALUES_MIN * VALUE)
  }

  /** What is added from now on stands in a record with these ids; `undefined`: in none. */
  inRecord(ids: Uint8Array | undefined): void {
    this.#hasRecord = ids !== undefined
    if (ids === undefined) return
    const at = this.#recordCount++ * IDS_BYTES
    if (at === this.#recordIds.length) {
      const grown = new Uint8Array(at * 2)
      grown.set(this.#recordIds)
      this.#recordIds = grown
    }
    this.#recordIds.set(ids, at)
  }

  /** The token of the AnyValue [start, end) will fill `mark`, as the content of another. */
  addValue(sealer: Sealer, mark: number, start: number, end: number, place: string, dataClass: string): void {
    this.#add(sealer, mark, WHOLE, start, end, place, dataClass)
  }

  /** The token of a part [start, end) of a text or of bytes will fill `mark`. */
  addPart(
    sealer: Sealer,
    mark: number,
    type: ValueType,
    start: number,
    end: number,
    place: string,
    dataClass: string,
  ): void {
    this.#add(sealer, mark, type, start, end, place, dataClass)
  }

  #add(
    sealer: Sealer,
    mark: number,
    kind: number,
    start: number,
    end: number,
    place: string,
    dataClass: string,
  ): void {
    if (this.#runs.at(-1)?.sealer !== sealer) this.#runs.push({ sealer, first: this.count })
    const at = this.count++ * VALUE
    if (at + VALUE > this.#ints.length) this.#grow()
    this.#ints[at] = mark
    this.#ints[at + 1] = start
    this.#ints[at + 2] = end
    this.#ints[at + 3] = kind
    this.#ints[at + 4] = this.#hasRecord ? this.#recordCount - 1 : NO_RECORD
    this.#places.push(place)
    this.#dataClasses.push(dataClass)
  }

  /** Seals all values, which are ranges of `buf`. */
  fill(edits: Edits, buf: Uint8Array): void {
    for (const _ of this.fillInSlices(edits, buf));
  }

  *fillInSlices(edits: Edits, buf: Uint8Array): Generator<void, void> {
    for (const [index, { sealer, first }] of this.#runs.entries()) {
      const end = this.#runs[index + 1]?.first ?? this.count
      for (let from = first; from < end; from += BATCH) {
        this.#seal(sealer, from, Math.min(end, from + BATCH), edits, buf)
        yield
      }
    }
  }

  #seal(sealer: Sealer, from: number, to: number, edits: Edits, buf: Uint8Array): void {
    const items: SealItem[] = []
    for (let i = from; i < to; i++) items.push(this.#item(i, buf))
    const tokens = sealer.sealAll(items)
    for (let i = from; i < to; i++) {
      const isValue = this.#ints[i * VALUE + 3] === WHOLE
      // First: writing may take a larger scratch.
      const size = this.#write(tokens[i - from], isValue)
      edits.fillFrom(this.#ints[i * VALUE], this.#scratch, 0, size)
    }
  }

  #item(index: number, buf: Uint8Array): SealItem {
    const at = index * VALUE
    const start = this.#ints[at + 1]
    const end = this.#ints[at + 2]
    const kind = this.#ints[at + 3] as ValueType // `#add` was given one
    const place = this.#places[index]
    // A nested value has its own, and joining it in one piece takes as much memory as its whole path.
    this.#places[index] = ''
    const record = this.#ints[at + 4]
    return {
      plaintext: kind === WHOLE ? buf.subarray(start, end) : textValue(kind, buf, start, end),
      place,
      dataClass: this.#dataClasses[index],
      ids:
        record === NO_RECORD
          ? undefined
          : this.#recordIds.subarray(record * IDS_BYTES, (record + 1) * IDS_BYTES),
    }
  }

  #write(token: string, isValue: boolean): number {
    if (token.length + 16 > this.#scratch.length)
      this.#scratch = Buffer.allocUnsafeSlow((token.length + 16) * 2)
    let at = 0
    if (isValue) {
      this.#scratch[at++] = STRING_TAG
      at = writeVarint(this.#scratch, at, token.length)
    }
    return at + this.#scratch.write(token, at, 'latin1') // tokens are ASCII
  }

  #grow(): void {
    const grown = new Int32Array(this.#ints.length * 2)
    grown.set(this.#ints)
    this.#ints = grown
  }
}
