// JSON that has no white space, with it: what JSON.stringify(value, undefined, 2) would write, without reading the value.
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = new Set([0x7b, 0x5b])
const CLOSE = new Set([0x7d, 0x5d])
const COMMA = 0x2c
const COLON = 0x3a

export class Indenter {
  #depth = 0
  #isInText = false
  #isEscaped = false
  /** After an opening bracket, which stays alone when it closes at once. */
  #isOpened = false

  /** The next piece, indented. Pieces may end anywhere. */
  indent(piece: Uint8Array): Buffer {
    let text = ''
    for (const byte of piece) text += this.#next(byte)
    return Buffer.from(text, 'latin1')
  }

  #next(byte: number): string {
    const char = String.fromCharCode(byte)
    if (this.#isInText) {
      if (this.#isEscaped) this.#isEscaped = false
      else if (byte === BACKSLASH) this.#isEscaped = true
      else if (byte === QUOTE) this.#isInText = false
      return char
    }
    const isOpened = this.#isOpened
    this.#isOpened = OPEN.has(byte)
    if (CLOSE.has(byte)) {
      this.#depth--
      return isOpened ? char : this.#newLine() + char
    }
    const before = isOpened ? this.#newLine() : ''
    if (this.#isOpened) this.#depth++
    this.#isInText = byte === QUOTE
    const after = byte === COMMA ? this.#newLine() : byte === COLON ? ' ' : ''
    return before + char + after
  }

  #newLine(): string {
    return `\n${'  '.repeat(this.#depth)}`
  }
}
