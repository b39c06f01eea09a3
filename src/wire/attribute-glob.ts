// Globs over keys and tenant ids: `*` is any characters, `?` is one. Matched by going back to the last star only, so
// the time is bounded by the product of the lengths, and in practice by the key's.

const STAR = 0x2a
const QUESTION = 0x3f
/** No byte is this one. */
const NOTHING = -1

export function isGlob(pattern: string): boolean {
  return pattern.includes('*') || pattern.includes('?')
}

/**
 * Whether all of [start, end) fits `pattern`. Both are compared as they are: lower them before if case is no matter.
 * `any` is the byte that stands for any one.
 */
export function globMatches(
  pattern: Uint8Array,
  buf: Uint8Array,
  start: number,
  end: number,
  any = QUESTION,
): boolean {
  let at = start
  let next = 0
  let starAt = -1
  let retryAt = start
  while (at < end) {
    if (next < pattern.length && pattern[next] === STAR) {
      starAt = next++
      retryAt = at
    } else if (next < pattern.length && (pattern[next] === any || pattern[next] === buf[at])) {
      next++
      at++
    } else if (starAt >= 0) {
      next = starAt + 1
      at = ++retryAt
    } else return false
  }
  while (next < pattern.length && pattern[next] === STAR) next++
  return next === pattern.length
}

/** Globs as signatures know them (proto/evidence.md): `*` is any run of bytes, everything else stands for itself. */
export class StarGlobs {
  readonly isEmpty: boolean
  readonly #globs: readonly Uint8Array[]

  constructor(globs: readonly string[]) {
    this.#globs = globs.map((glob) => Buffer.from(glob))
    this.isEmpty = globs.length === 0
  }

  /** Whether the key [start, end) matches a glob as a whole. */
  match(buf: Uint8Array, start: number, end: number): boolean {
    for (let i = 0; i < this.#globs.length; i++)
      if (globMatches(this.#globs[i], buf, start, end, NOTHING)) return true
    return false
  }
}
