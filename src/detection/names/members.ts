// Values whose name stands right before them in a syntax: `first_name=Ada`, `{"firstName":"Ada"}`, `<lastName>Lovelace<`.
// Where a sign ends a name, the name is looked up, and what the syntax makes the value is taken whole.

import { Detector } from '../detectors.ts'
import { ALNUM, ALPHA, byteAt, CLASS, DIGIT, hasWord, is, percentByte } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import type { Field } from './field.ts'
import { hashedOn } from './letters.ts'
import { endsName, FOR_MEMBERS, identifierName } from './name-table.ts'

const NAME_BYTES_MAX = 64
const VALUE_BYTES_MAX = 512

/** Who finds a field in a text; credentials have a detector of their own, and e-mail addresses say themselves what they are. */
const DETECTORS: Readonly<Record<Field, number>> = {
  name: Detector.PERSON_FIELD,
  user_name: Detector.PERSON_FIELD,
  email: -1,
  phone: Detector.PHONE,
  address: Detector.PERSON_FIELD,
  birth_date: Detector.BIRTH_DATE,
  national_id: Detector.NATIONAL_ID,
  passport: Detector.NATIONAL_ID,
  bank_account: Detector.BANK_ACCOUNT,
  payment_card: Detector.PAYMENT_CARD,
  card_security: Detector.PAYMENT_CARD,
  medical: Detector.MEDICAL,
  plate: Detector.PLATE,
  device: Detector.IMEI,
  credential: -1,
}

/** Digits that a value of a field has at least; a name has none that must be. */
const DIGITS_MIN: Readonly<Partial<Record<Field, number>>> = {
  phone: 5,
  birth_date: 2,
  national_id: 3,
  passport: 3,
  bank_account: 3,
  payment_card: 12,
  card_security: 3,
  medical: 1,
  plate: 1,
  device: 4,
}

const COLON = 0x3a
const EQUALS = 0x3d
const GREATER = 0x3e
const QUOTE = 0x22
const APOSTROPHE = 0x27
const BACKSLASH = 0x5c

/** `at` is `=`, `:` or `>`. */
export function detectMember(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): void {
  if (at + 1 >= end || (buf[at] === COLON && !isValueAfterColon(buf[at + 1]))) return
  const nameEnd = beforeQuote(buf, start, at)
  if (!mayBeName(buf, start, nameEnd)) return
  const value = valueStart(buf, at, end, nameEnd < at)
  if (value < 0) return
  const first = nameStart(buf, start, nameEnd)
  if (nameEnd - first < 2 || (buf[at] === GREATER && byteAt(buf, start, end, first - 1) !== 0x3c)) return
  const name = identifierName(buf, first, nameEnd)
  if (name?.field === undefined) return
  const detector = DETECTORS[name.field]
  if (detector < 0 || (mask & (1 << detector)) === 0) return
  const last = valueEnd(buf, value, end)
  if (last <= value || !isPlausible(buf, value, last, name.field)) return
  matches.add(value, last, detector)
}

/** Space, a quote, a backslash, or a digit: not the slashes of a URL. */
function isValueAfterColon(byte: number): boolean {
  return (
    byte === 0x20 ||
    byte === QUOTE ||
    byte === APOSTROPHE ||
    byte === BACKSLASH ||
    (CLASS[byte] & DIGIT) !== 0
  )
}

/** What may stand behind the last word of a name: `phone_2`. */
function isNumbering(byte: number): boolean {
  return (CLASS[byte] & DIGIT) !== 0 || byte === 0x5f || byte === 0x2d || byte === 0x2e
}

/** Whether the last word of the identifier, or its singular, ends a name. */
function mayBeName(buf: Uint8Array, start: number, nameEnd: number): boolean {
  const first = Math.max(start, nameEnd - NAME_BYTES_MAX)
  let end = nameEnd
  while (end > first && isNumbering(buf[end - 1])) end--
  let hash = 0
  let singular = 0
  let pos = end
  while (pos > first) {
    const byte = buf[pos - 1]
    if (byte >= 0x80) return true
    if ((CLASS[byte] & ALPHA) === 0) break
    hash = hashedOn(hash, byte | 0x20)
    if (pos < end) singular = hashedOn(singular, byte | 0x20)
    pos--
    if (byte <= 0x5a && pos > first && buf[pos - 1] >= 0x61 && buf[pos - 1] <= 0x7a) break
  }
  return endsName(hash, FOR_MEMBERS) || ((buf[end - 1] | 0x20) === 0x73 && endsName(singular, FOR_MEMBERS))
}

/** Where the name ends: quotes and a space may stand between it and the sign. */
function beforeQuote(buf: Uint8Array, start: number, at: number): number {
  let pos = at
  if (pos > start && buf[at] !== GREATER && buf[pos - 1] === 0x20) pos--
  if (pos > start && (buf[pos - 1] === QUOTE || buf[pos - 1] === APOSTROPHE)) pos--
  while (pos > start && buf[pos - 1] === BACKSLASH) pos--
  return pos
}

function nameStart(buf: Uint8Array, start: number, nameEnd: number): number {
  let pos = nameEnd
  while (pos > start && nameEnd - pos < NAME_BYTES_MAX && isNameByte(buf[pos - 1])) pos--
  return pos
}

function isNameByte(byte: number): boolean {
  return (CLASS[byte] & ALNUM) !== 0 || byte === 0x5f || byte === 0x2d || byte === 0x2e || byte >= 0x80
}

/** How the value that begins at `valueStart` is quoted: the byte that ends it, 0 without. */
let quote = 0
/** Backslashes in front of the quote: JSON inside JSON. */
let escapes = 0
let sign = 0

/**
 * Where the value begins, or -1. Behind a colon only what is quoted or a number: in a sentence nobody can say where a
 * value ends.
 */
function valueStart(buf: Uint8Array, at: number, end: number, isQuotedName: boolean): number {
  sign = buf[at]
  let pos = at + 1
  if (sign === EQUALS && pos < end && (buf[pos] === EQUALS || buf[pos] === GREATER)) return -1
  while (pos < end && sign !== GREATER && buf[pos] === 0x20 && pos - at < 3) pos++
  quote = 0
  escapes = 0
  while (pos + escapes < end && buf[pos + escapes] === BACKSLASH) escapes++
  const byte = byteAt(buf, at, end, pos + escapes)
  if (sign === GREATER) return pos
  if (byte === QUOTE || byte === APOSTROPHE) {
    quote = byte
    return pos + escapes + 1
  }
  if (escapes > 0) return -1
  if (sign === EQUALS && pos === at + 1) return pos
  return isQuotedName && is(buf, at, end, pos, DIGIT) ? pos : -1
}

function valueEnd(buf: Uint8Array, value: number, end: number): number {
  const limit = Math.min(end, value + VALUE_BYTES_MAX)
  let pos = value
  if (sign === GREATER) {
    while (pos < limit && buf[pos] !== 0x3c) pos++
    return byteAt(buf, value, end, pos + 1) === 0x2f ? pos : -1
  }
  if (quote === 0) {
    while (pos < limit && !isBareEnd(buf[pos])) pos++
    return pos
  }
  for (; pos < limit; pos++) {
    if (buf[pos] === BACKSLASH && escapes === 0) pos++
    else if (buf[pos] === quote) return pos - escapes
  }
  return pos >= end ? end : -1
}

/** Ends a value without quotes: white space, and what separates members in query strings, logs and JSON. */
function isBareEnd(byte: number): boolean {
  if (
    byte <= 0x20 ||
    byte === QUOTE ||
    byte === APOSTROPHE ||
    byte === 0x26 ||
    byte === 0x2c ||
    byte === 0x3b
  )
    return true
  return byte === 0x29 || byte === 0x5d || byte === 0x7d || byte === 0x3c || byte === 0x3e || byte === 0x23
}

/** Whether the value could be one: nothing that stands for none, and digits where there must be some. */
function isPlausible(buf: Uint8Array, first: number, last: number, field: Field): boolean {
  if (isNothing(buf, first, last)) return false
  const needed = DIGITS_MIN[field]
  if (needed === undefined) return hasLetter(buf, first, last)
  let digits = 0
  for (let pos = first; pos < last; pos++) if ((CLASS[buf[pos]] & DIGIT) !== 0) digits++
  return digits >= needed
}

function hasLetter(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first; pos < last; pos++)
    if ((CLASS[buf[pos]] & ALPHA) !== 0 || buf[pos] >= 0x80) return true
  return false
}

const NOTHING = [
  'null',
  'none',
  'nil',
  'true',
  'false',
  'undefined',
  'redacted',
  'n/a',
  'unknown',
  'string',
  'text',
  'varchar',
]

/** A literal nothing, a placeholder of a template or statement, or a mask. */
function isNothing(buf: Uint8Array, first: number, last: number): boolean {
  const byte = buf[first]
  if (
    byte === 0x3f ||
    byte === 0x24 ||
    byte === COLON ||
    byte === 0x7b ||
    byte === 0x5b ||
    byte === 0x2a ||
    byte === 0x3c ||
    byte === 0x40
  )
    return true
  if (byte === 0x25 && percentByte(buf, first, last) < 0) return true
  for (const word of NOTHING) if (last - first === word.length && hasWord(buf, first, last, word)) return true
  return hasWord(buf, first, last, 'enc.v1.') || hasWord(buf, first, last, 'tok.v1.')
}
