// What the records of the queue and of the evidence say beside the body. All numbers are big-endian.
//   data:    signal 1 (255: no entry) | sequence 6 | acceptedAtMs 8 | items 4 | totals of the file 30 | bytes of refs 4 | refs |
//            statements
//   cursors: totals of the file 30 | per consumer: bytes of the name 2 | bytes of the record 4 | name | record of consumer.ts
//   statements, tips and keys: per record: bytes of the key 2 | bytes of the value 4 | key | value
import type { Signal } from '../wire/otlp.ts'
import { SIGNALS } from './entry.ts'
import { readTotals, TOTALS_BYTES, type Totals, writeTotals } from './extent.ts'
import type { Place } from './mark.ts'
import type { KeyedValue } from './table.ts'

const NO_SIGNAL = 255
const TOTALS_AT = 19
const REFS_BYTES_AT = TOTALS_AT + TOTALS_BYTES
const REFS_AT = REFS_BYTES_AT + 4
const PAIR_HEAD_BYTES = 6
const PLACE_BYTES = 12

export interface DataRecord {
  /** `undefined`: records without an entry. */
  readonly signal: Signal | undefined
  /** Of the entry, or the last one before it. */
  readonly sequence: number
  readonly acceptedAtMs: number
  readonly itemCount: number
  /** Entries and items of the file up to and with this record. */
  readonly totals: Totals
  readonly refs: Uint8Array
  readonly statements: Uint8Array
}

/** Without its statements, which follow it. */
export function encodeData(data: Omit<DataRecord, 'statements'>): Buffer {
  const bytes = Buffer.allocUnsafe(REFS_AT + data.refs.length)
  bytes[0] = data.signal === undefined ? NO_SIGNAL : SIGNALS.indexOf(data.signal)
  bytes.writeUIntBE(data.sequence, 1, 6)
  bytes.writeDoubleBE(data.acceptedAtMs, 7)
  bytes.writeUInt32BE(data.itemCount, 15)
  writeTotals(data.totals, bytes, TOTALS_AT)
  bytes.writeUInt32BE(data.refs.length, REFS_BYTES_AT)
  bytes.set(data.refs, REFS_AT)
  return bytes
}

/** Of bytes that have passed their checksum. */
export function decodeData(meta: Buffer): DataRecord {
  const statementsAt = REFS_AT + meta.readUInt32BE(REFS_BYTES_AT)
  return {
    signal: meta[0] === NO_SIGNAL ? undefined : SIGNALS[meta[0]],
    sequence: meta.readUIntBE(1, 6),
    acceptedAtMs: meta.readDoubleBE(7),
    itemCount: meta.readUInt32BE(15),
    totals: readTotals(meta, TOTALS_AT),
    refs: new Uint8Array(meta.subarray(REFS_AT, statementsAt)),
    statements: meta.subarray(statementsAt),
  }
}

export function encodePairs(pairs: readonly KeyedValue[]): Buffer {
  let length = 0
  for (const { key, value } of pairs) length += PAIR_HEAD_BYTES + key.length + value.length
  const bytes = Buffer.allocUnsafe(length)
  let position = 0
  for (const { key, value } of pairs) {
    bytes.writeUInt16BE(key.length, position)
    bytes.writeUInt32BE(value.length, position + 2)
    bytes.set(key, position + PAIR_HEAD_BYTES)
    bytes.set(value, position + PAIR_HEAD_BYTES + key.length)
    position += PAIR_HEAD_BYTES + key.length + value.length
  }
  return bytes
}

/** Views into bytes that have passed their checksum. */
export function* decodePairs(bytes: Uint8Array): Generator<KeyedValue> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let position = 0; position < view.length; ) {
    const keyAt = position + PAIR_HEAD_BYTES
    const valueAt = keyAt + view.readUInt16BE(position)
    const end = valueAt + view.readUInt32BE(position + 2)
    yield { key: view.subarray(keyAt, valueAt), value: view.subarray(valueAt, end) }
    position = end
  }
}

/** With the totals, so that entries that are lost before it are counted also when no entry follows. */
export function encodeCursors(totals: Totals, cursors: readonly KeyedValue[]): Uint8Array[] {
  const bytes = Buffer.allocUnsafe(TOTALS_BYTES)
  writeTotals(totals, bytes, 0)
  return [bytes, encodePairs(cursors)]
}

/** Of bytes that have passed their checksum; views into them. */
export function decodeCursors(meta: Buffer): { readonly totals: Totals; readonly cursors: Uint8Array } {
  return { totals: readTotals(meta, 0), cursors: meta.subarray(TOTALS_BYTES) }
}

export function encodePlace(place: Place): Buffer {
  const bytes = Buffer.allocUnsafe(PLACE_BYTES)
  bytes.writeUIntBE(place.file, 0, 6)
  bytes.writeUIntBE(place.number, 6, 6)
  return bytes
}

/** A statement record names the record of the queue from which it came; its statements follow. */
export function decodePlaced(meta: Buffer): { readonly source: Place; readonly pairs: Uint8Array } {
  const source = { file: meta.readUIntBE(0, 6), number: meta.readUIntBE(6, 6) }
  return { source, pairs: meta.subarray(PLACE_BYTES) }
}
