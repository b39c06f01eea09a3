// Masks that leave some characters. Separators stay where they are and do not count, so a card keeps its shape; letters
// in UTF-8 count as one and are never cut.

/** A mask that hides fewer characters than this hides nothing: then all of them go. */
const HIDDEN_CHARACTERS_MIN = 4
const STAR = 0x2a

/**
 * [start, end) with everything but the first and last characters as `*`; `undefined` when too little would be hidden
 * and the fixed mask must stand in.
 */
export function partialMask(
  buf: Uint8Array,
  start: number,
  end: number,
  keepFirst: number,
  keepLast: number,
): Uint8Array | undefined {
  const characters = characterCount(buf, start, end)
  if (characters - keepFirst - keepLast < HIDDEN_CHARACTERS_MIN) return undefined
  const out = new Uint8Array(end - start)
  let written = 0
  let character = -1
  for (let i = start; i < end; i++) {
    if (isSeparator(buf[i])) out[written++] = buf[i]
    else {
      const isFirstByte = (buf[i] & 0xc0) !== 0x80
      if (isFirstByte) character++
      const isKept = character < keepFirst || character >= characters - keepLast
      if (isKept) out[written++] = buf[i]
      else if (isFirstByte) out[written++] = STAR
    }
  }
  return out.subarray(0, written)
}

function characterCount(buf: Uint8Array, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) if ((buf[i] & 0xc0) !== 0x80 && !isSeparator(buf[i])) count++
  return count
}

function isSeparator(byte: number): boolean {
  return byte === 0x20 || byte === 0x2d
}
