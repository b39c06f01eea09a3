// Secrets that are assigned to their name in code, configuration and messages: `apiToken := "…"`, `api_key: …`, `"token" => "…"`,
// `setProperty("API_TOKEN", "…")`, `<clientSecret>…</`. Names are those of the table of names; the match is the value, up to
// where the syntax it stands in ends it.
import { Detector } from '../detectors.ts'
import { byteAt, hasWord, isLetter, isQuote } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { isNameByte, mayEndName, NAME_BYTES_MAX, nameIn, nameStart, Secret } from './secret-names.ts'
import {
  BARE_PASSWORD_BYTES_MIN,
  BETWEEN_MAX,
  isLong,
  isReference,
  isSecret,
  isWord,
  VALUE_BYTES_MAX,
  valueAfter,
  valueEnd,
} from './secret-value.ts'

const COLON = 0x3a
const COMMA = 0x2c
const DASH = 0x2d
const EQUALS = 0x3d
const GREATER = 0x3e
const LESS = 0x3c
const SLASH = 0x2f
const SPACE = 0x20
const BACKSLASH = 0x5c

const TYPES_AND_VALUE = ['value', 'string', 'str']

/** `at` is `=`, `:`, `>` or `,`. */
export function detectSecretMember(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at < matches.parameterEnd || at + 1 >= end) return
  // Before anything is read: `,` behind no quote, `::`, `://`.
  if (buf[at] === COMMA && (at === start || !isQuote(buf[at - 1]))) return
  if (buf[at] === COLON && (buf[at + 1] === COLON || buf[at + 1] === SLASH || buf[at - 1] === COLON)) return
  const nameEnd = nameEndBefore(buf, start, at)
  if (nameEnd < 0) return
  if (isLetter(buf[nameEnd - 1]) && !mayEndName(buf, nameEnd)) {
    // Before an equals sign a type may stand, or `value`.
    if (buf[at] !== EQUALS || !isTypeOrValue(buf, nameEnd)) return
  }
  const value = valueAfter(buf, at, end)
  if (value < 0) return
  const name = secretName(buf, start, nameEnd, at, isLong(buf, value, end))
  if (name !== Secret.NONE) addSecret(buf, value, end, at, name, matches)
}

function isTypeOrValue(buf: Uint8Array, end: number): boolean {
  return TYPES_AND_VALUE.some((word) => hasWord(buf, end - word.length, end, word))
}

/** `--password VALUE`, and curl's `-u USER:PASSWORD`. `at` is the first dash. */
export function detectSecretOption(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at < matches.parameterEnd || (at > start && buf[at - 1] > SPACE)) return
  if (hasWord(buf, at, end, '-u ') || hasWord(buf, at, end, '--user ')) {
    addUserPassword(buf, at, end, matches)
    return
  }
  if (byteAt(buf, start, end, at + 1) !== DASH) return
  let nameEnd = at + 2
  while (nameEnd < end && nameEnd - at < NAME_BYTES_MAX && isNameByte(buf[nameEnd])) nameEnd++
  if (nameEnd + 1 >= end || buf[nameEnd] !== SPACE || buf[nameEnd + 1] === DASH) return
  const value = valueAfter(buf, nameEnd, end)
  if (value < 0) return
  const name = nameIn(buf, at + 2, nameEnd, isLong(buf, value, end))
  if (name !== Secret.NONE) addSecret(buf, value, end, nameEnd, name, matches)
}

/** The password of USER:PASSWORD behind an option; a user without one stays. */
function addUserPassword(buf: Uint8Array, at: number, end: number, matches: Matches): void {
  let pos = at
  while (pos < end && buf[pos] !== SPACE) pos++
  while (pos < end && (buf[pos] === SPACE || isQuote(buf[pos])) && pos - at < 2 * BETWEEN_MAX) pos++
  const limit = Math.min(end, pos + VALUE_BYTES_MAX)
  let first = pos
  while (first < limit && buf[first] > SPACE && buf[first] !== COLON && !isQuote(buf[first])) first++
  if (first === pos || first >= limit || buf[first] !== COLON) return
  first++
  let last = first
  while (last < limit && buf[last] > SPACE && !isQuote(buf[last])) last++
  if (last - first < BARE_PASSWORD_BYTES_MIN || isWord(buf, first, last) || isReference(buf, first, last))
    return
  matches.parameterEnd = last
  matches.add(first, last, Detector.SECRET_PARAMETER)
}

function addSecret(
  buf: Uint8Array,
  value: number,
  end: number,
  at: number,
  name: Secret,
  matches: Matches,
): void {
  let first = value
  let last = valueEnd(buf, first, end, at, name)
  if (last <= first) return
  if (!isSecret(buf, first, last, name)) {
    // `Authorization: Token …`: a word of a scheme may stand before.
    if (name !== Secret.NAMED || buf[last] !== SPACE || !isWord(buf, first, last)) return
    first = last + 1
    last = valueEnd(buf, first, end, at, name)
    if (last <= first || !isSecret(buf, first, last, name)) return
  }
  matches.parameterEnd = last
  matches.add(first, last, Detector.SECRET_PARAMETER)
}

/** Where the name ends that stands before the sign; -1 when none does. */
function nameEndBefore(buf: Uint8Array, start: number, at: number): number {
  const sign = buf[at]
  let pos = at
  if (sign === GREATER && buf[pos - 1] === EQUALS) pos-- // =>
  // `:=`, `?=`, `||:`, `.=`, `+=`; what compares assigns nothing.
  while (pos > start && at - pos < 4 && isOperator(buf[pos - 1])) pos--
  if (pos > start && (buf[pos - 1] === LESS || buf[pos - 1] === 0x21)) return -1
  if (sign === GREATER && pos === at) return pos
  for (let skipped = 0; pos > start && skipped < BETWEEN_MAX && isBetween(buf[pos - 1]); skipped++) pos--
  return pos > start && isNameByte(buf[pos - 1]) ? pos : -1
}

function isOperator(byte: number): boolean {
  return byte === COLON || byte === 0x3f || byte === 0x2e || byte === 0x2b || byte === 0x7c
}

function isBetween(byte: number): boolean {
  return byte === SPACE || isQuote(byte) || byte === BACKSLASH || byte === 0x5d || byte === 0x29
}

function secretName(
  buf: Uint8Array,
  start: number,
  nameEnd: number,
  at: number,
  isLongValue: boolean,
): Secret {
  const first = nameStart(buf, start, nameEnd)
  if (buf[at] === GREATER && nameEnd === at && byteAt(buf, start, at, first - 1) !== LESS) return Secret.NONE
  if (buf[at] === COLON && byteAt(buf, start, at, first - 1) === COLON) return Secret.NONE // a URN
  if (buf[at] === COMMA && !isQuote(byteAt(buf, start, at, first - 1))) return Secret.NONE
  const found = nameIn(buf, first, nameEnd, isLongValue)
  if (found !== Secret.NONE) return found
  if (buf[at] === EQUALS && nameEnd - first === 5 && hasWord(buf, first, nameEnd, 'value'))
    return attributeName(buf, start, first, isLongValue)
  // A type may stand between: `var token string =`.
  if (buf[at] !== EQUALS || first - 2 < start || buf[first - 1] !== SPACE) return Secret.NONE
  if (!isNameByte(buf[first - 2])) return Secret.NONE
  return nameIn(buf, nameStart(buf, start, first - 1), first - 1, isLongValue)
}

/** `<add key="Password" value=`: what stands in quotes before `value`. */
function attributeName(buf: Uint8Array, start: number, at: number, isLongValue: boolean): Secret {
  let pos = at
  while (pos > start && (buf[pos - 1] === SPACE || isQuote(buf[pos - 1]) || buf[pos - 1] === BACKSLASH)) pos--
  if (at - pos < 2 || at - pos > 4) return Secret.NONE
  return nameIn(buf, nameStart(buf, start, pos), pos, isLongValue)
}
