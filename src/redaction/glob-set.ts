// All globs of a rule set at once, over bytes as they come: a set of positions in the globs, one bit each, moved on by
// every byte. So a path is matched key by key, each key once, however many entries are under it.
// A glob of n characters, stars not counted, takes n + 1 bits: bit i says that i of them have matched. Reading a byte
// moves a bit up where the next character fits, and keeps it where a star stands before that.

const STAR = 0x2a
const QUESTION = 0x3f

interface Bits {
  /** Of each glob, the bit of nothing matched. */
  readonly first: Int32Array
  /** Bits that stay whatever byte comes. */
  readonly stays: Int32Array
  /** Bits that may be reached by a byte: `words` for each byte. */
  readonly reached: Int32Array
}

export class GlobSet {
  /** Length of a state, in 32-bit words. */
  readonly words: number
  readonly #bits: Bits
  /** By glob: the bit of everything matched. */
  readonly #lastBits: readonly number[]

  constructor(globs: readonly Uint8Array[]) {
    const sizes = globs.map((glob) => glob.filter((byte) => byte !== STAR).length + 1)
    const size = sizes.reduce((sum, bits) => sum + bits, 0)
    this.words = Math.ceil(size / 32)
    this.#bits = {
      first: new Int32Array(this.words),
      stays: new Int32Array(this.words),
      reached: new Int32Array(this.words * 256),
    }
    let next = 0
    this.#lastBits = globs.map((glob, index) => {
      this.#add(glob, next)
      next += sizes[index]
      return next - 1
    })
  }

  #add(glob: Uint8Array, firstBit: number): void {
    const { first, stays, reached } = this.#bits
    let bit = firstBit
    set(first, 0, bit)
    for (const byte of glob) {
      if (byte === STAR) {
        set(stays, 0, bit)
        continue
      }
      bit++
      if (byte !== QUESTION) set(reached, byte * this.words, bit)
      else for (let any = 0; any < 256; any++) set(reached, any * this.words, bit)
    }
  }

  /** Lets every glob begin here too, in the state at `at` of `states`. */
  begin(states: Int32Array, at: number): void {
    const { first } = this.#bits
    for (let i = 0; i < first.length; i++) states[at + i] |= first[i]
  }

  /** Moves the state at `at` of `states` on by one byte. */
  step(states: Int32Array, at: number, byte: number): void {
    const { stays, reached } = this.#bits
    const row = byte * stays.length
    let carry = 0
    for (let i = 0; i < stays.length; i++) {
      const word = states[at + i]
      states[at + i] = (((word << 1) | carry) & reached[row + i]) | (word & stays[i])
      carry = word >>> 31
    }
  }

  /** Whether the glob at `index` fits what was read since one of its beginnings. */
  isMatch(states: Int32Array, at: number, index: number): boolean {
    const bit = this.#lastBits[index]
    return (states[at + (bit >>> 5)] & (1 << (bit & 31))) !== 0
  }
}

function set(words: Int32Array, at: number, bit: number): void {
  words[at + (bit >>> 5)] |= 1 << (bit & 31)
}
