// The prefixes of all token forms as one automaton, so that a look costs the same for ten forms and for a thousand: from
// the beginning of a word it goes on byte by byte until no prefix begins so, mostly after one or two.
import { ALPHABETS, NEEDED, type TokenForm } from './token-forms.ts'

/** A form whose body can be read. */
interface Form {
  /** By byte, whether the body may have it. */
  readonly alphabet: Uint8Array
  /** As in NEEDED. */
  readonly needed: number
  readonly min: number
  readonly max: number
}

const ROOT = 0
const BYTES = 128
/** Different characters in what is no placeholder, and characters that may be the same in a row. */
const DIFFERENT_MIN = 4
const SAME_MAX = 5

export class TokenAutomaton {
  /** State and byte to the next state, open addressing: key and one, state. 0: free. */
  readonly #edges: Int32Array
  readonly #mask: number
  /** By the first byte, whether any prefix begins with it: most words end here. */
  readonly #isFirst = new Uint8Array(256)
  /** By state, the forms whose prefix ends there. */
  readonly #forms: (readonly Form[] | undefined)[] = [undefined]

  constructor(forms: readonly TokenForm[]) {
    const length = forms.reduce((sum, { prefix }) => sum + prefix.length, 1)
    const slots = 2 ** Math.ceil(Math.log2(length * 4))
    this.#edges = new Int32Array(slots * 2)
    this.#mask = slots - 1
    const alphabets = new Map(Object.entries(ALPHABETS).map(([name, ranges]) => [name, tableOf(ranges)]))
    for (const form of forms) this.#add(form, alphabets.get(form.alphabet)!)
  }

  /** Memory of the tables, bytes. */
  get bytes(): number {
    return this.#edges.byteLength + this.#isFirst.byteLength
  }

  /** The end of the longest token that begins at `at`, the first byte of a word; -1 when there is none. */
  match(buf: Uint8Array, at: number, end: number): number {
    if (this.#isFirst[buf[at]] === 0) return -1
    let state = ROOT
    let longest = -1
    for (let pos = at; pos < end; ) {
      state = this.#next(state, buf[pos++])
      if (state < 0) break
      const forms = this.#forms[state]
      if (forms === undefined) continue
      for (const form of forms) longest = Math.max(longest, bodyEnd(buf, pos, end, form))
    }
    return longest
  }

  #add({ prefix, alphabet: name, min, max }: TokenForm, alphabet: Uint8Array): void {
    let state = ROOT
    this.#isFirst[prefix.charCodeAt(0)] = 1
    for (let i = 0; i < prefix.length; i++) {
      const byte = prefix.charCodeAt(i)
      let next = this.#next(state, byte)
      if (next < 0) {
        next = this.#forms.push(undefined) - 1
        this.#set(state * BYTES + byte, next)
      }
      state = next
    }
    this.#forms[state] = [...(this.#forms[state] ?? []), { alphabet, needed: NEEDED[name] ?? 0, min, max }]
  }

  #next(state: number, byte: number): number {
    if (byte >= BYTES) return -1
    const key = state * BYTES + byte + 1
    for (let slot = hashOf(key) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const found = this.#edges[slot * 2]
      if (found === key) return this.#edges[slot * 2 + 1]
      if (found === 0) return -1
    }
  }

  #set(edge: number, state: number): void {
    let slot = hashOf(edge + 1) & this.#mask
    while (this.#edges[slot * 2] !== 0) slot = (slot + 1) & this.#mask
    this.#edges[slot * 2] = edge + 1
    this.#edges[slot * 2 + 1] = state
  }
}

function hashOf(key: number): number {
  const mixed = Math.imul(key, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/** Where the body ends, or -1: too short or long, in the middle of a word, or a placeholder. */
function bodyEnd(buf: Uint8Array, from: number, end: number, { alphabet, needed, min, max }: Form): number {
  const limit = Math.min(end, from + max)
  let pos = from
  while (pos < limit && alphabet[buf[pos]] !== 0) pos++
  // What ends a sentence is no part of it.
  while (pos > from && pos - from > min && isPunctuation(buf[pos - 1])) pos--
  if (pos - from < min || (pos < end && isWordByte(buf[pos]) && alphabet[buf[pos]] !== 0)) return -1
  if (pos < end && isAlnum(buf[pos])) return -1
  return isOpaque(buf, from, pos) && (needed === 0 || hasKinds(buf, from, pos, needed)) ? pos : -1
}

function hasKinds(buf: Uint8Array, from: number, to: number, needed: number): boolean {
  let kinds = 0
  for (let pos = from; pos < to; pos++) kinds |= buf[pos] < 0x3a ? 4 : buf[pos] < 0x5b ? 2 : 1
  return (kinds & needed) === needed
}

function isPunctuation(byte: number): boolean {
  return byte === 0x2e || byte === 0x3a || byte === 0x2d
}

/** No placeholder: `xxxx…` and the like have few characters, or one many times in a row. */
export function isOpaque(buf: Uint8Array, from: number, to: number, sameMax = SAME_MAX): boolean {
  let [low, high, same] = [0, 0, 1]
  for (let pos = from; pos < to; pos++) {
    const byte = buf[pos]
    if (byte < 0x50) low |= 1 << (byte & 31)
    else high |= 1 << (byte & 31)
    same = pos > from && byte === buf[pos - 1] ? same + 1 : 1
    if (same > sameMax) return false
  }
  return bitCount(low) + bitCount(high) >= DIFFERENT_MIN
}

function bitCount(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}

function isAlnum(byte: number): boolean {
  const lower = byte | 0x20
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x7a)
}

function isWordByte(byte: number): boolean {
  return isAlnum(byte) || byte === 0x5f || byte === 0x2d
}

/** By byte, from ranges like `0-9A-Z_`; a dash at the end is one. */
function tableOf(ranges: string): Uint8Array {
  const table = new Uint8Array(256)
  for (let i = 0; i < ranges.length; i++) {
    const first = ranges.charCodeAt(i)
    const isRange = ranges[i + 1] === '-' && i + 2 < ranges.length
    const last = isRange ? ranges.charCodeAt(i + 2) : first
    for (let byte = first; byte <= last; byte++) table[byte] = 1
    if (isRange) i += 2
  }
  return table
}
