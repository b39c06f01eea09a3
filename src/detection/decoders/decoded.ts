// Looks through the encodings that text stands in: what a detector finds behind one is a find in the value, as the part that
// stands for it. Bounded: three layers of escapes, base64 once inside them, and each layer is a pass over what is left.
import { Matches } from '../engine/matches.ts'
import { scanText } from '../engine/text-scan.ts'
import { Base64Text, mayHoldBase64 } from './base64-text.ts'
import { TextView } from './text-view.ts'

export class DecodedSearch {
  readonly #view = new TextView()
  readonly #base64 = new Base64Text()
  readonly #inner = new TextView()
  readonly #found = new Matches()

  /** Adds to `matches` what the detectors in `mask` find behind encodings of [start, end). */
  search(
    buf: Uint8Array,
    start: number,
    end: number,
    mask: number,
    stops: Uint8Array,
    matches: Matches,
  ): void {
    if (this.#view.read(buf, start, end)) this.#searchView(mask, stops, matches)
    if (mayHoldBase64(buf, start, end)) this.#searchBase64(buf, start, end, mask, stops, matches)
  }

  release(): void {
    this.#view.release()
    this.#inner.release()
    this.#base64.release()
  }

  #searchView(mask: number, stops: Uint8Array, matches: Matches): void {
    const view = this.#view
    const found = this.#found
    found.clear()
    scanText(view.bytes, 0, view.length, mask, stops, found)
    for (let i = 0; i < found.count; i++) {
      const [from, to] = [found.start(i), found.end(i)]
      if (to > from && view.isEscaped(from, to)) matches.add(view.start(from), view.end(to), found.source(i))
    }
    // What was not recorded may be what is escaped: the value goes as a whole.
    if (found.isOverflown) matches.isOverflown = true
  }

  #searchBase64(
    buf: Uint8Array,
    start: number,
    end: number,
    mask: number,
    stops: Uint8Array,
    matches: Matches,
  ): void {
    const text = this.#base64
    const found = this.#found
    for (let pos = start; text.next(buf, pos, end); pos = text.end) {
      found.clear()
      const isView = this.#inner.read(text.bytes, 0, text.length)
      scanText(text.bytes, 0, text.length, mask, stops, found)
      if (isView && found.count === 0) scanText(this.#inner.bytes, 0, this.#inner.length, mask, stops, found)
      if (found.count > 0) matches.add(text.start, text.end, found.source(0))
    }
  }
}
