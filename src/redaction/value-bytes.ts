// AnyValue, as far as redaction reads and writes it.

import { ValueType } from '../wire/otlp.ts'
import { Fields, readDouble, readInt64, readTag } from '../wire/reader.ts'
import { Wire } from '../wire/schema.ts'
import { varintSize, writeVarint } from '../wire/write.ts'

/** Content of an AnyValue of type STRING or BYTES that holds [start, end) of `buf`. A copy. */
export function textValue(type: ValueType, buf: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start
  const out = new Uint8Array(1 + varintSize(length) + length)
  out[0] = (type << 3) | 2
  out.set(buf.subarray(start, end), writeVarint(out, 1, length))
  return out
}

/**
 * The bytes that a pseudonym is made of (proto/sealed-value.md §6): a text's own, a number's AnyValue in its shortest
 * encoding, of anything else the whole AnyValue.
 */
export function pseudonymBytes(buf: Uint8Array, valueStart: number, valueEnd: number): Uint8Array {
  const value = new Fields(buf, valueStart, valueEnd)
  while (value.next()) {
    if (value.field === ValueType.STRING || value.field === ValueType.BYTES)
      return buf.subarray(value.start, value.end)
    if (IS_SCALAR_TAG[(value.field << 3) | value.wireType] === 1) return shortestNumber(value)
  }
  return buf.subarray(valueStart, valueEnd)
}

function shortestNumber({ buf, field, wireType, start, end }: Fields): Uint8Array {
  let stop = end
  if (wireType === Wire.VARINT) while (stop - start > 1 && (buf[stop - 1] & 0x7f) === 0) stop--
  const shortest = new Uint8Array(1 + stop - start)
  shortest[0] = (field << 3) | wireType
  shortest.set(buf.subarray(start, stop), 1)
  if (stop < end) shortest[shortest.length - 1] &= 0x7f
  return shortest
}

/** Tags of an AnyValue's scalars: string, bool, int, double, bytes. */
const IS_SCALAR_TAG = Uint8Array.from({ length: 256 }, (_, tag) =>
  [0x0a, 0x10, 0x18, 0x21, 0x3a].includes(tag) ? 1 : 0,
)

/** Whether the AnyValue [valueStart, valueEnd) begins as a scalar, so that the scan reports it as one. */
export function isScalar(buf: Uint8Array, valueStart: number, valueEnd: number): boolean {
  if (valueStart >= valueEnd) return false
  const first = buf[valueStart]
  return IS_SCALAR_TAG[first < 0x80 ? first : readTag(buf, valueStart, valueEnd)] === 1
}

/** The number [start, end) in decimal, as people would write it. */
export function decimalText(type: ValueType, buf: Uint8Array, start: number, end: number): Uint8Array {
  if (type !== ValueType.DOUBLE) return ascii(readInt64(buf, start, end).toString())
  const number = readDouble(buf, start)
  // Above 2^53 the shortest text that reads back as this double has other digits than its value.
  return ascii(Number.isInteger(number) && isLong(number) ? BigInt(number).toString() : String(number))
}

/** Whether a number has as many digits as a card, 13 to 21, by its value: a varint may be longer than it needs to be. */
export function isLongNumber(type: ValueType, buf: Uint8Array, start: number, end: number): boolean {
  if (type === ValueType.DOUBLE) {
    const number = readDouble(buf, start)
    return Number.isInteger(number) && isLong(number)
  }
  // Five bytes hold 35 bits, less than 13 digits.
  return end - start > 5 && isLong(Number(readInt64(buf, start, end)))
}

/** A sign does not make a number another one. */
function isLong(number: number): boolean {
  const size = Math.abs(number)
  return size >= 1e12 && size < 1e21
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
