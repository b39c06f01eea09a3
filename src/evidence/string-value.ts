const STRING_TAG = 0x0a

/** The content of an AnyValue that is exactly one string. */
export function stringOf(buf: Uint8Array, start: number, end: number): string | undefined {
  if (start >= end || buf[start] !== STRING_TAG) return undefined
  let pos = start + 1
  let length = 0
  for (let shift = 0; pos < end && shift < 28; shift += 7) {
    const byte = buf[pos++]
    length |= (byte & 0x7f) << shift
    if (byte < 0x80) return pos + length === end ? utf8(buf, pos, end) : undefined
  }
  return undefined
}

function utf8(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
}
