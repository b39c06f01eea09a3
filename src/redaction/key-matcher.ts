// Which rules name a key. Asked once per key and then cached, but hostile input has only new keys, so the work is a small
// multiple of the key itself, whatever is around it: exact patterns are found by hash from the end of the path, and no
// further than the longest goes; globs read each key of a path once; and what a key says its value is, is looked up by
// the last words of the path.
import { lowerCase } from '../detection/engine/bytes.ts'
import { addIdentifier, beginLetters } from '../detection/names/letters.ts'
import { keyName } from '../detection/names/name-table.ts'
import { isGlob } from '../wire/attribute-glob.ts'
import { type AttributeKeyPath, DEPTH_MAX } from './attribute-key-path.ts'
import { GlobSet } from './glob-set.ts'

/** What patterns have between the keys of a path. It may stand in a key too, and then fits as well. */
const DOT = 0x2e
const NO_RULES: readonly number[] = []
/** Keys of a path, and bytes of a key, whose words are read. */
const FIELD_KEYS_MAX = 3
const FIELD_BYTES_MAX = 128

interface ExactPattern {
  readonly bytes: Uint8Array
  readonly rules: number[]
}

const encoder = new TextEncoder()

/** Compiled from the key patterns of rules, by the rules' positions. */
export class KeyMatcher {
  readonly #exact = new Map<number, ExactPattern[]>()
  readonly #globs: GlobSet
  /** By glob: the rule that it is of. */
  readonly #globRules: readonly number[]
  /** The end of a path in lower case, as much of it as the longest exact pattern can fit. */
  readonly #tail: Uint8Array

  /** By field, the rules that ask for it. */
  readonly #fields = new Map<string, number[]>()

  constructor(rules: readonly (readonly string[])[], fields: readonly (readonly string[])[] = []) {
    for (const [rule, own] of fields.entries())
      for (const field of own) this.#fields.set(field, [...(this.#fields.get(field) ?? []), rule])
    const patterns = rules.flatMap((keys, rule) =>
      keys.map((text) => ({ rule, isGlob: isGlob(text), bytes: encoder.encode(text).map(lowerCase) })),
    )
    const globs = patterns.filter((pattern) => pattern.isGlob)
    this.#globs = new GlobSet(globs.map(({ bytes }) => bytes))
    this.#globRules = globs.map(({ rule }) => rule)
    let tail = 0
    for (const { rule, bytes, isGlob } of patterns) {
      if (isGlob) continue
      this.#addExact(bytes, rule)
      tail = Math.max(tail, bytes.length)
    }
    this.#tail = new Uint8Array(tail)
  }

  /**
   * The rules that name `path`, or its end from the beginning of a key on; ascending, without repeats. `inherited` are
   * those that name what is around it.
   */
  match(path: AttributeKeyPath, inherited: readonly number[]): readonly number[] {
    const found = this.#matchField(path, this.#matchGlobs(path, this.#matchExact(path)))
    if (found === undefined) return inherited
    return [...new Set([...found, ...inherited])].sort((a, b) => a - b)
  }

  #matchExact(path: AttributeKeyPath): number[] | undefined {
    const { buf, outermost } = path
    const tail = this.#tail
    let found: number[] | undefined
    let hash = 0
    let at = tail.length
    for (let depth = path.depth; depth >= outermost; depth--) {
      const start = path.keyStart(depth)
      let pos = path.keyEnd(depth)
      if (pos - start > at) return found
      while (pos > start) {
        const byte = lowerCase(buf[--pos])
        tail[--at] = byte
        hash = (Math.imul(hash, 31) + byte) | 0
      }
      found = this.#candidates(hash, at, found)
      if (at === 0) return found
      tail[--at] = DOT
      hash = (Math.imul(hash, 31) + DOT) | 0
    }
    return found
  }

  /** Adds the rules whose pattern is all of the tail from `at` on. */
  #candidates(hash: number, at: number, found: number[] | undefined): number[] | undefined {
    const candidates = this.#exact.get(hash)
    if (candidates === undefined) return found
    for (const { bytes, rules } of candidates)
      if (isEqual(bytes, this.#tail, at, this.#tail.length)) found = [...(found ?? NO_RULES), ...rules]
    return found
  }

  #matchField(path: AttributeKeyPath, found: number[] | undefined): number[] | undefined {
    if (this.#fields.size === 0) return found
    const field = fieldOf(path)
    const rules = field === undefined ? undefined : this.#fields.get(field)
    return rules === undefined ? found : [...(found ?? NO_RULES), ...rules]
  }

  #matchGlobs(path: AttributeKeyPath, found: number[] | undefined): number[] | undefined {
    const { words } = this.#globs
    if (words === 0) return found
    // Views differ in their globs; a path is seen by one of them only, from its outermost key to its end.
    const size = words * DEPTH_MAX
    if (path.globStates.length < size) path.globStates = new Int32Array(size)
    for (let depth = Math.max(path.matchedDepth + 1, path.outermost); depth <= path.depth; depth++)
      this.#readKey(path, depth)
    path.matchedDepth = path.depth
    const at = path.depth * words
    for (const [index, rule] of this.#globRules.entries())
      if (this.#globs.isMatch(path.globStates, at, index)) found = [...(found ?? NO_RULES), rule]
    return found
  }

  #readKey(path: AttributeKeyPath, depth: number): void {
    const globs = this.#globs
    const { buf, globStates } = path
    const at = depth * globs.words
    if (depth === path.outermost) globStates.fill(0, at, at + globs.words)
    else {
      globStates.copyWithin(at, at - globs.words, at)
      globs.step(globStates, at, DOT)
    }
    globs.begin(globStates, at)
    const end = path.keyEnd(depth)
    for (let pos = path.keyStart(depth); pos < end; pos++) globs.step(globStates, at, lowerCase(buf[pos]))
  }

  #addExact(bytes: Uint8Array, rule: number): void {
    let hash = 0
    for (let i = bytes.length - 1; i >= 0; i--) hash = (Math.imul(hash, 31) + bytes[i]) | 0
    const bucket = this.#exact.get(hash) ?? []
    const known = bucket.find((entry) => isEqual(entry.bytes, bytes, 0, bytes.length))
    if (known) known.rules.push(rule)
    else bucket.push({ bytes, rules: [rule] })
    this.#exact.set(hash, bucket)
  }
}

/** What the last words of a path say, of its innermost key and of those around it while they are few bytes. */
function fieldOf(path: AttributeKeyPath): string | undefined {
  let from = path.depth
  while (from > path.outermost && from > path.depth - FIELD_KEYS_MAX) from--
  beginLetters()
  for (let depth = from; depth <= path.depth; depth++) {
    const end = path.keyEnd(depth)
    addIdentifier(path.buf, Math.max(path.keyStart(depth), end - FIELD_BYTES_MAX), end)
  }
  return keyName()?.field
}

function isEqual(bytes: Uint8Array, buf: Uint8Array, start: number, end: number): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== buf[start + i]) return false
  return true
}
