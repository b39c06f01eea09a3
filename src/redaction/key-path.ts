// The keys from an attribute down to the value that the scan is at: what rules see of a nested entry, and what a sealed
// value is bound to.

import { Place } from '../wire/otlp.ts'
import type { KeyEntry } from './key-cache.ts'
import { SEPARATOR } from './key-matcher.ts'
import { TEXT_KEY } from './surfaces.ts'

/** More than the scan lets messages nest. */
const DEPTH_MAX = 128

export class KeyPath {
  /** Depth of the innermost attribute around the scan's position; -1 outside. */
  depth = -1
  /** After `join`: the keys down to a depth, joined by SEPARATOR, at the start of this. */
  joined = new Uint8Array(1024)
  #buf: Uint8Array
  readonly #starts = new Int32Array(DEPTH_MAX)
  readonly #ends = new Int32Array(DEPTH_MAX)
  readonly #entries = new Array<KeyEntry | undefined>(DEPTH_MAX).fill(undefined)
  readonly #renamed = new Array<string | undefined>(DEPTH_MAX).fill(undefined)

  constructor(buf: Uint8Array) {
    this.#buf = buf
  }

  reset(buf: Uint8Array): void {
    this.#buf = buf
    this.depth = -1
  }

  push(depth: number, keyStart: number, keyEnd: number): void {
    this.depth = depth
    this.#starts[depth] = keyStart
    this.#ends[depth] = keyEnd
    this.#entries[depth] = undefined
    this.#renamed[depth] = undefined
  }

  setEntry(entry: KeyEntry): void {
    this.#entries[this.depth] = entry
  }

  /** The key at this depth will be another: what is under it is sealed under the new one. */
  rename(key: string): void {
    this.#renamed[this.depth] = key
  }

  isRenamed(): boolean {
    return this.depth >= 0 && this.#renamed[this.depth] !== undefined
  }

  /** What decided about the attribute at `depth`; `undefined` above the outermost. */
  entryAt(depth: number): KeyEntry | undefined {
    return depth < 0 ? undefined : this.#entries[depth]
  }

  /** Writes the path into `joined`. Returns its length. */
  join(place: Place): number {
    let length = 0
    for (let depth = firstDepth(place); depth <= this.depth; depth++) {
      const size = this.#ends[depth] - this.#starts[depth]
      if (length + size + 1 > this.joined.length) this.#grow(length + size + 1)
      if (length > 0 || depth > firstDepth(place)) this.joined[length++] = SEPARATOR
      this.joined.set(this.#buf.subarray(this.#starts[depth], this.#ends[depth]), length)
      length += size
    }
    return length
  }

  /** proto/sealed-value.md §5: the keys from the outermost attribute inwards, joined with `.`, as they leave us. */
  name(place: Place): string {
    if (this.depth === 0 && place !== Place.LOG_BODY) return this.#outerName()
    let name = place === Place.LOG_BODY ? TEXT_KEY[place] : ''
    for (let depth = firstDepth(place); depth <= this.depth; depth++) {
      name = name === '' && depth === firstDepth(place) ? this.#key(depth) : `${name}.${this.#key(depth)}`
    }
    return name
  }

  // Most values are of an attribute, and most attributes come again with every span.
  #outerName(): string {
    const entry = this.#entries[0]
    if (entry === undefined || this.#renamed[0] !== undefined) return this.#key(0)
    entry.name ??= this.#key(0)
    return entry.name
  }

  /** The innermost key, as it leaves us. */
  ownName(): string {
    return this.#key(this.depth)
  }

  #key(depth: number): string {
    const renamed = this.#renamed[depth]
    if (renamed !== undefined) return renamed
    const start = this.#starts[depth]
    return Buffer.from(this.#buf.buffer, this.#buf.byteOffset + start, this.#ends[depth] - start).toString(
      'utf8',
    )
  }

  #grow(size: number): void {
    const grown = new Uint8Array(size * 2)
    grown.set(this.joined)
    this.joined = grown
  }
}

/** A log body is an AnyValue without a key: its entries begin at depth 1. */
function firstDepth(place: Place): number {
  return place === Place.LOG_BODY ? 1 : 0
}
