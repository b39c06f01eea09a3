// Globs over keys and tenant ids: `*` is any characters, `?` is one. Matched by going back to the last star only, so
// the time is bounded by the product of the lengths, and in practice by the key's.

const STAR = 0x2a
const QUESTION = 0x3f

export function isGlob(pattern: string): boolean {
  return pattern.includes('*') || pattern.includes('?')
}

/** Whether all of [start, end) fits `pattern`. Both are compared as they are: lower them before if case is no matter. */
export function globMatches(pattern: Uint8Array, buf: Uint8Array, start: number, end: number): boolean {
  let at = start
  let next = 0
  let starAt = -1
  let retryAt = start
  while (at < end) {
    if (next < pattern.length && pattern[next] === STAR) {
      starAt = next++
      retryAt = at
    } else if (next < pattern.length && (pattern[next] === QUESTION || pattern[next] === buf[at])) {
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
