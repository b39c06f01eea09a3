// Patterns that operators write, in RE2 syntax: matched in time linear in the value, whatever the pattern. re2js is
// loaded with the first pattern, since most configurations have none. It reads UTF-8 bytes and gives byte offsets.
import { createRequire } from 'node:module'
import { SidecarError } from '../../base/errors.ts'
import type { Matches } from './matches.ts'

const PATTERN_BYTES_MAX = 4096

let library: typeof import('re2js') | undefined

function re2js(): typeof import('re2js') {
  // The package has a CommonJS entry with the same exports; rules are compiled synchronously.
  library ??= createRequire(import.meta.url)('re2js') as typeof import('re2js')
  return library
}

/** What is wrong with a pattern, or `undefined`. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern.length > PATTERN_BYTES_MAX) return `must have at most ${PATTERN_BYTES_MAX} characters`
  try {
    re2js().RE2JS.compile(pattern)
    return undefined
  } catch {
    return 'is no pattern in RE2 syntax'
  }
}

export class UserPattern {
  readonly #pattern: import('re2js').RE2JS

  /** Throws CONFIG when `pattern` is not RE2 syntax. */
  constructor(pattern: string) {
    try {
      this.#pattern = re2js().RE2JS.compile(pattern)
    } catch (cause) {
      throw new SidecarError('CONFIG', 'a pattern is not RE2 syntax', { cause })
    }
  }

  /** Adds what it finds in [start, end) to `matches`, as found by `source`. Empty matches are none. */
  find(buf: Uint8Array, start: number, end: number, source: number, matches: Matches): void {
    const matcher = this.#pattern.matcher(buf.subarray(start, end))
    while (!matches.isOverflown && matcher.find()) {
      if (matcher.end() > matcher.start()) matches.add(start + matcher.start(), start + matcher.end(), source)
    }
  }
}
