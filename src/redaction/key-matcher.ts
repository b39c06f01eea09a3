// Which rules name a key. Asked once per key and then cached, but hostile input has only new keys, so it works on bytes:
// one pass from the end of the path hashes every suffix that begins a segment, and exact patterns are found by hash.
import { lowerCase } from '../detection/engine/bytes.ts'
import { globMatches, isGlob } from '../wire/attribute-glob.ts'

/** Between the keys of a path. Patterns know it as a dot. */
export const SEPARATOR = 0

/** Suffixes of one path that are compared: deeper nesting fits by its last segments only, or by the whole path. */
const SUFFIXES_MAX = 8
const DOT = 0x2e
const NO_RULES: readonly number[] = []

interface ExactPattern {
  readonly bytes: Uint8Array
  readonly rules: number[]
}

interface GlobPattern {
  readonly bytes: Uint8Array
  readonly rule: number
}

const encoder = new TextEncoder()

/** Compiled from the key patterns of rules, by the rules' positions. */
export class KeyMatcher {
  readonly #exact = new Map<number, ExactPattern[]>()
  readonly #globs: GlobPattern[] = []
  #lower = new Uint8Array(256)

  constructor(rules: readonly (readonly string[])[]) {
    for (const [rule, patterns] of rules.entries()) for (const pattern of patterns) this.#add(pattern, rule)
  }

  /**
   * The rules that name the path [start, end), keys joined by SEPARATOR, or its end from a SEPARATOR on; ascending,
   * without repeats. `inherited` are those that name what is around it.
   */
  match(buf: Uint8Array, start: number, end: number, inherited: readonly number[]): readonly number[] {
    const length = end - start
    if (length > this.#lower.length) this.#lower = new Uint8Array(length * 2)
    const lower = this.#lower
    let found: number[] | undefined
    let hash = 0
    let suffixes = 0
    for (let i = length - 1; i >= 0; i--) {
      const byte = buf[start + i]
      lower[i] = byte === SEPARATOR ? DOT : lowerCase(byte)
      hash = (Math.imul(hash, 31) + lower[i]) | 0
      const isSegment = i === 0 || buf[start + i - 1] === SEPARATOR
      if (!isSegment || (i > 0 && ++suffixes > SUFFIXES_MAX)) continue
      found = this.#matchSuffix(lower, i, length, hash, found)
    }
    if (found === undefined) return inherited
    return [...new Set([...found, ...inherited])].sort((a, b) => a - b)
  }

  #matchSuffix(
    lower: Uint8Array,
    start: number,
    end: number,
    hash: number,
    found: number[] | undefined,
  ): number[] | undefined {
    const candidates = this.#exact.get(hash)
    if (candidates !== undefined) {
      for (const { bytes, rules } of candidates)
        if (isEqual(bytes, lower, start, end)) found = [...(found ?? NO_RULES), ...rules]
    }
    for (const { bytes, rule } of this.#globs) {
      if (globMatches(bytes, lower, start, end)) found = [...(found ?? NO_RULES), rule]
    }
    return found
  }

  #add(pattern: string, rule: number): void {
    const bytes = encoder.encode(pattern).map(lowerCase)
    if (isGlob(pattern)) {
      this.#globs.push({ bytes, rule })
      return
    }
    let hash = 0
    for (let i = bytes.length - 1; i >= 0; i--) hash = (Math.imul(hash, 31) + bytes[i]) | 0
    const bucket = this.#exact.get(hash) ?? []
    const known = bucket.find((entry) => isEqual(entry.bytes, bytes, 0, bytes.length))
    if (known) known.rules.push(rule)
    else bucket.push({ bytes, rules: [rule] })
    this.#exact.set(hash, bucket)
  }
}

function isEqual(bytes: Uint8Array, buf: Uint8Array, start: number, end: number): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== buf[start + i]) return false
  return true
}
