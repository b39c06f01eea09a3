// AnyValue, as far as redaction reads and writes it.

import { ValueType } from '../wire/otlp.ts'
import { Fields, readDouble, readInt64 } from '../wire/reader.ts'
import { varintSize, writeVarint } from '../wire/write.ts'

/** Content of an AnyValue of type STRING or BYTES that holds [start, end) of `buf`. A copy. */
export function textValue(type: ValueType, buf: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start
  const out = new Uint8Array(1 + varintSize(length) + length)
  out[0] = (type << 3) | 2
  out.set(buf.subarray(start, end), writeVarint(out, 1, length))
  return out
}

/** The bytes that a pseudonym is made of (proto/sealed-value.md §6): a text's own, of anything else the whole AnyValue. */
export function pseudonymBytes(buf: Uint8Array, valueStart: number, valueEnd: number): Uint8Array {
  const value = new Fields(buf, valueStart, valueEnd)
  while (value.next()) {
    if (value.field === ValueType.STRING || value.field === ValueType.BYTES)
      return buf.subarray(value.start, value.end)
  }
  return buf.subarray(valueStart, valueEnd)
}

/** Tags of an AnyValue's scalars: string, bool, int, double, bytes. */
const IS_SCALAR_TAG = Uint8Array.from({ length: 256 }, (_, tag) =>
  [0x0a, 0x10, 0x18, 0x21, 0x3a].includes(tag) ? 1 : 0,
)

/** Whether the AnyValue [valueStart, valueEnd) begins as a scalar, so that the scan reports it as one. */
export function isScalar(buf: Uint8Array, valueStart: number, valueEnd: number): boolean {
  return valueStart < valueEnd && IS_SCALAR_TAG[buf[valueStart]] === 1
}

/** The number [start, end) in decimal, as people would write it. */
export function decimalText(type: ValueType, buf: Uint8Array, start: number, end: number): Uint8Array {
  return ascii(
    type === ValueType.INT ? readInt64(buf, start, end).toString() : String(readDouble(buf, start)),
  )
}

/** Whether a number may have the 13 digits of a card, by its bytes. */
export function isLongNumber(type: ValueType, buf: Uint8Array, start: number, end: number): boolean {
  // Varints of 13 digits take six bytes; negative ones take ten.
  if (type === ValueType.INT) return end - start >= 6 && end - start < 10
  const number = readDouble(buf, start)
  return Number.isInteger(number) && number >= 1e12 && number < 1e21
}

/** Bytes of a text that is ASCII. */
export function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** [start, end) as text; what is not UTF-8 becomes U+FFFD. */
export function utf8(buf: Uint8Array, start: number, end: number): string {
  return Buffer.from(buf.buffer, buf.byteOffset + start, end - start).toString('utf8')
}
