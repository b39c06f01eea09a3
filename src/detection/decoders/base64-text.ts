// Text in base64 and base64url (RFC 4648 §4 and §5): runs of its characters that decode to printable text are searched, and a
// run in which something is found is a find as a whole.
import { SEXTET } from '../engine/base64.ts'
import { ALNUM, CLASS } from '../engine/bytes.ts'

/** Fewer are words. */
const RUN_CHARS_MIN = 16
/** A longer run is searched no further. */
const RUN_CHARS_MAX = 64 * 1024
/** Decoded first, to see whether it is text at all. */
const PROBE_CHARS = 12

export class Base64Text {
  bytes = new Uint8Array(1024)
  length = 0
  /** The run in the value, with its padding. */
  start = 0
  end = 0

  /** The next run from `from` on that is text; false when there is none. */
  next(buf: Uint8Array, from: number, end: number): boolean {
    for (let pos = from; pos < end; ) {
      if (SEXTET[buf[pos]] < 0) {
        pos++
        continue
      }
      const start = pos
      while (pos < end && SEXTET[buf[pos]] >= 0) pos++
      const last = pos
      while (pos < end && pos - last < 2 && buf[pos] === 0x3d) pos++
      if (this.#read(buf, start, last)) {
        this.start = start
        this.end = pos
        return true
      }
    }
    return false
  }

  release(): void {
    if (this.bytes.length > RUN_CHARS_MAX) this.bytes = new Uint8Array(1024)
  }

  #read(buf: Uint8Array, start: number, end: number): boolean {
    const length = end - start
    if (length < RUN_CHARS_MIN || length > RUN_CHARS_MAX || length % 4 === 1) return false
    if (!this.#decode(buf, start, start + PROBE_CHARS)) return false
    return this.#decode(buf, start, end)
  }

  /** False when what it decodes to is no text. */
  #decode(buf: Uint8Array, start: number, end: number): boolean {
    if (this.bytes.length < end - start) this.bytes = new Uint8Array((end - start) * 2)
    const { bytes } = this
    let bits = 0
    let pending = 0
    let count = 0
    for (let pos = start; pos < end; pos++) {
      bits = ((bits << 6) | SEXTET[buf[pos]]) & 0xffff
      pending += 6
      if (pending < 8) continue
      pending -= 8
      const byte = (bits >> pending) & 0xff
      if ((byte < 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) || byte === 0x7f || byte >= 0xf5)
        return false
      if (byte >= 0x80 && count < 3) return false
      bytes[count++] = byte
    }
    this.length = count
    return true
  }
}

/** Letters and digits in a row without a sign, which text in base64 has somewhere. */
const ALNUM_RUN_MIN = 12

/** Whether a run that is long enough to be text may stand in a value. A run is met at every twelfth byte at the latest. */
export function mayHoldBase64(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start + ALNUM_RUN_MIN - 1; pos < end; pos += ALNUM_RUN_MIN) {
    if ((CLASS[buf[pos]] & ALNUM) === 0) continue
    let first = pos
    while (first > start && pos - first < ALNUM_RUN_MIN && (CLASS[buf[first - 1]] & ALNUM) !== 0) first--
    let last = pos + 1
    while (last < end && last - first < ALNUM_RUN_MIN && (CLASS[buf[last]] & ALNUM) !== 0) last++
    if (last - first >= ALNUM_RUN_MIN) return true
  }
  return false
}
