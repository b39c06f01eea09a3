// The parts of one value that detectors and patterns found, as integers in one array that every value uses again.

/** Integers per match. */
const MATCH = 3

/** Parts of one value beyond which it is masked whole: the bookkeeping of one value stays bounded. */
export const MATCHES_MAX = 65_536

/** Matches of one value. `source` is a detector's id, or a pattern's number from PATTERN_SOURCE on. */
export class Matches {
  #ints = new Int32Array(64 * MATCH)
  count = 0
  /** More than MATCHES_MAX were found: the rest is not recorded, and the value must go as a whole. */
  isOverflown = false
  /** How far detectors whose matches have no bound have read: they begin nothing before, so that work stays linear. */
  parameterEnd = 0
  authorizationEnd = 0
  tokenEnd = 0
  privateKeyEnd = 0

  clear(): void {
    this.count = 0
    this.isOverflown = false
    this.parameterEnd = 0
    this.authorizationEnd = 0
    this.tokenEnd = 0
    this.privateKeyEnd = 0
  }

  add(start: number, end: number, source: number): void {
    if (this.count === MATCHES_MAX) {
      this.isOverflown = true
      return
    }
    const at = this.count++ * MATCH
    if (at + MATCH > this.#ints.length) this.#grow()
    this.#ints[at] = start
    this.#ints[at + 1] = end
    this.#ints[at + 2] = source
  }

  start(index: number): number {
    return this.#ints[index * MATCH]
  }

  end(index: number): number {
    return this.#ints[index * MATCH + 1]
  }

  source(index: number): number {
    return this.#ints[index * MATCH + 2]
  }

  #grow(): void {
    const grown = new Int32Array(this.#ints.length * 2)
    grown.set(this.#ints)
    this.#ints = grown
  }
}
