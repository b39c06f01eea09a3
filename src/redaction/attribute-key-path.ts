// The keys from an attribute down to the value that the scan is at: what rules see of a nested entry, and what a sealed
// value is bound to. Nothing about an attribute outlives it: what was decided is cleared when the attribute ends.

import { placeHead, placeWithin } from '../formats/value-place.ts'
import { Place } from '../wire/otlp.ts'
import type { AttributeKeyEntry } from './attribute-key-cache.ts'

/** More than the scan lets messages nest. */
export const DEPTH_MAX = 128
const NOTHING = new Int32Array(0)

export class AttributeKeyPath {
  /** Depth of the innermost attribute around the scan's position; less than `outermost` outside. */
  depth = -1
  /** Depth of the outermost attribute around it. A log body is an AnyValue without a key: its entries begin at depth 1. */
  outermost = 0
  /** Depth down to which `globStates` is about this path; the matcher's. */
  matchedDepth = -1
  /** What the globs of rules have seen of the path, by depth; the matcher's. */
  globStates: Int32Array = NOTHING
  buf: Uint8Array
  readonly #starts = new Int32Array(DEPTH_MAX)
  readonly #ends = new Int32Array(DEPTH_MAX)
  /** At `depth + 1`; the first is that of no attribute. */
  readonly #entries = new Array<AttributeKeyEntry | undefined>(DEPTH_MAX + 1).fill(undefined)
  readonly #renamed = new Array<string | undefined>(DEPTH_MAX).fill(undefined)
  /** The place down to a depth that is not the innermost, where it was asked for. */
  readonly #places = new Array<string | undefined>(DEPTH_MAX).fill(undefined)

  constructor(buf: Uint8Array) {
    this.buf = buf
  }

  /** As new, also where a scan threw inside an attribute. */
  reset(buf: Uint8Array): void {
    this.buf = buf
    this.depth = -1
    this.outermost = 0
    this.matchedDepth = -1
    this.#entries.fill(undefined)
    this.#renamed.fill(undefined)
    this.#places.fill(undefined)
  }

  push(place: Place, depth: number, keyStart: number, keyEnd: number): void {
    this.depth = depth
    this.outermost = firstDepth(place)
    this.#starts[depth] = keyStart
    this.#ends[depth] = keyEnd
    if (this.matchedDepth >= depth) this.matchedDepth = depth - 1
  }

  pop(): void {
    const depth = this.depth--
    this.#entries[depth + 1] = undefined
    this.#renamed[depth] = undefined
    this.#places[depth] = undefined
  }

  keyStart(depth: number): number {
    return this.#starts[depth]
  }

  keyEnd(depth: number): number {
    return this.#ends[depth]
  }

  /** What was decided about the innermost attribute; `undefined` outside. */
  get entry(): AttributeKeyEntry | undefined {
    return this.#entries[this.depth + 1]
  }

  set entry(entry: AttributeKeyEntry) {
    this.#entries[this.depth + 1] = entry
  }

  /** What was decided about the attribute around the innermost; `undefined` where that is the outermost. */
  get parent(): AttributeKeyEntry | undefined {
    return this.#entries[this.depth]
  }

  /** The key at this depth will be another: what is under it is sealed under the new one. */
  rename(key: string): void {
    this.#renamed[this.depth] = key
  }

  isRenamed(): boolean {
    return this.depth >= 0 && this.#renamed[this.depth] !== undefined
  }

  /** proto/sealed-value.md §5: the place and the keys from the outermost attribute inwards, as they leave us. */
  valuePlace(place: Place): string {
    if (this.depth === 0 && place !== Place.LOG_BODY) return this.#outerPlace(place)
    return this.#placeDownTo(place, this.depth)
  }

  /** What is around a value is kept while it is, so that places of many entries share it instead of holding a copy each. */
  #placeDownTo(place: Place, depth: number): string {
    if (depth < firstDepth(place)) return placeHead(place)
    if (depth === this.depth) return this.#joined(place, depth)
    this.#places[depth] ??= this.#joined(place, depth)
    return this.#places[depth]
  }

  #joined(place: Place, depth: number): string {
    return placeWithin(this.#placeDownTo(place, depth - 1), this.#key(depth))
  }

  // Most values are of an attribute, and most attributes come again with every span.
  #outerPlace(place: Place): string {
    const { entry } = this
    if (entry === undefined || this.#renamed[0] !== undefined) return this.#joined(place, 0)
    entry.valuePlace ??= this.#joined(place, 0)
    return entry.valuePlace
  }

  /** The innermost key, as it leaves us. */
  ownName(): string {
    return this.#key(this.depth)
  }

  #key(depth: number): string {
    const renamed = this.#renamed[depth]
    if (renamed !== undefined) return renamed
    const start = this.#starts[depth]
    return Buffer.from(this.buf.buffer, this.buf.byteOffset + start, this.#ends[depth] - start).toString(
      'utf8',
    )
  }
}

function firstDepth(place: Place): number {
  return place === Place.LOG_BODY ? 1 : 0
}
