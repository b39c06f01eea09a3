// Secrets that are assigned to their name in code, configuration and messages: `apiToken := "…"`, `api_key: …`, `"token" => "…"`,
// `setProperty("API_TOKEN", "…")`, `<clientSecret>…</`. Names are those of the table of names; the match is the value, up to
// where the syntax it stands in ends it.
import { Detector } from '../detectors.ts'
import { ALNUM, ALPHA, byteAt, CLASS, DIGIT, hasWord, lowerCase } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { identifierName } from '../names/name-table.ts'
import { isOpaque } from './token-automaton.ts'

const NAME_BYTES_MAX = 64
const VALUE_BYTES_MAX = 4096
/** A sign, quotes, brackets and spaces between a name and its value. */
const BETWEEN_MAX = 12

const COLON = 0x3a
const COMMA = 0x2c
const DASH = 0x2d
const EQUALS = 0x3d
const GREATER = 0x3e
const LESS = 0x3c
const SPACE = 0x20
const BACKSLASH = 0x5c
const UNDERSCORE = 0x5f

/** Last words of names, in lower case; a name is looked up when it ends with one. */
const LAST_WORDS = [
  'token',
  'tokens',
  'key',
  'keys',
  'apikey',
  'secret',
  'password',
  'passwd',
  'pwd',
  'passphrase',
  'credential',
  'credentials',
  'pass',
  'jwt',
  'pat',
  'authorization',
]
/** By a hash of their last three letters: most names end here. */
const mayEnd = new Uint8Array(4096)
for (const word of LAST_WORDS) mayEnd[endingHash(Buffer.from(word), word.length)] = 1

function endingHash(buf: Uint8Array, end: number): number {
  return ((buf[end - 3] & 31) * 1024 + (buf[end - 2] & 31) * 32 + (buf[end - 1] & 31)) % 4093
}

/** Of these, what any value is a secret of, however short it is. */
const PASSWORDS = ['password', 'passwd', 'pwd', 'passphrase', 'pass']
/** A key that is named so opens nothing. */
const HARMLESS_KEYS = [
  'public',
  'primary',
  'foreign',
  'partition',
  'sort',
  'cache',
  'routing',
  'idempotency',
  'row',
  'hash',
  'object',
  'sequence',
  'group',
  'unique',
  'message',
  'dedup',
  'shard',
  'lookup',
  'range',
  'map',
  'event',
  'index',
  'registry',
  'issue',
  's',
  'translation',
  'locale',
  'host',
  'etag',
  'sequencekey',
  'pair',
  'the',
]

/** `at` is `=`, `:`, `>` or `,`. */
export function detectSecretMember(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at < matches.parameterEnd || at + 1 >= end) return
  if (buf[at] === COMMA && (at === start || !isQuote(buf[at - 1]))) return
  const nameEnd = nameEndBefore(buf, start, at)
  if (nameEnd < 0) return
  const final = buf[nameEnd - 1]
  if (isLetter(final) && mayEnd[endingHash(buf, nameEnd)] === 0) {
    // Before an equals sign a type may stand (`string`, `str`), or `value`.
    if (buf[at] !== EQUALS || (final !== 0x67 && final !== 0x72 && final !== 0x65)) return
  }
  const value = valueAfter(buf, at, end)
  if (value < 0) return
  const name = secretName(buf, start, nameEnd, at, isLong(buf, value, end))
  if (name !== Secret.NONE) addSecret(buf, value, end, at, name, matches)
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

/** Whether a value has as many bytes as one that is no password must have. */
function isLong(buf: Uint8Array, value: number, end: number): boolean {
  if (value + OPAQUE_BYTES_MIN > end) return false
  for (let pos = value; pos < value + OPAQUE_BYTES_MIN; pos++)
    if (quote !== 0 ? buf[pos] === quote : buf[pos] < SPACE) return false
  return true
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

function isWord(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first; pos < last; pos++) if (!isLetter(buf[pos]) && buf[pos] !== DASH) return false
  return true
}

/** What a name says of its value. */
const Secret = { NONE: 0, PASSWORD: 1, NAMED: 2, KEY: 3 } as const
type Secret = (typeof Secret)[keyof typeof Secret]

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

function nameIn(buf: Uint8Array, first: number, end: number, isLongValue: boolean): Secret {
  let last = end
  while (last > first && ((CLASS[buf[last - 1]] & DIGIT) !== 0 || buf[last - 1] === UNDERSCORE)) last--
  if (last - first < 3 || mayEnd[endingHash(buf, last)] === 0) return Secret.NONE
  const word = lastWord(buf, first, last)
  if (word === undefined || (!isLongValue && !PASSWORDS.includes(word))) return Secret.NONE
  if (identifierName(buf, first, end)?.field === 'credential')
    return PASSWORDS.includes(word) ? Secret.PASSWORD : Secret.NAMED
  if (word !== 'key' && word !== 'keys') return Secret.NONE
  const before = wordBefore(buf, first, last - word.length)
  return before === '' || HARMLESS_KEYS.includes(before) ? Secret.NONE : Secret.KEY
}

/** The one that the name ends with, if it is one of ours. */
function lastWord(buf: Uint8Array, first: number, last: number): string | undefined {
  for (const word of LAST_WORDS) {
    const at = last - word.length
    if (at < first || !hasWord(buf, at, last, word)) continue
    if (at === first || !isLetter(buf[at - 1])) return word
    const isCamel = isCapital(buf[at]) && !isCapital(buf[at - 1])
    if (isCamel || word.length >= 5) return word
  }
  return undefined
}

function wordBefore(buf: Uint8Array, first: number, end: number): string {
  let last = end
  while (last > first && !isLetter(buf[last - 1])) last--
  let from = last
  while (from > first && isLetter(buf[from - 1])) {
    from--
    if (isCapital(buf[from]) && from > first && !isCapital(buf[from - 1])) break
  }
  return String.fromCharCode(...buf.subarray(from, last)).toLowerCase()
}

function nameStart(buf: Uint8Array, start: number, nameEnd: number): number {
  let pos = nameEnd
  while (pos > start && nameEnd - pos < NAME_BYTES_MAX && isNameByte(buf[pos - 1])) pos--
  return pos
}

/** How the value is quoted: the byte that ends it, 0 without; and the backslashes before it. */
let quote = 0
let escapes = 0

/** Where the value begins behind the sign; -1 where none can. */
function valueAfter(buf: Uint8Array, at: number, end: number): number {
  let pos = at + 1
  quote = 0
  escapes = 0
  if (buf[at] === EQUALS && (byteAt(buf, at, end, pos) === EQUALS || byteAt(buf, at, end, pos) === GREATER))
    return -1
  if (buf[at] === COLON && byteAt(buf, at, end, pos) === 0x2f) return -1
  if (buf[at] === COLON && (byteAt(buf, at, end, pos) === EQUALS || byteAt(buf, at, end, pos) === COLON))
    return -1
  for (let skipped = 0; pos < end && skipped < BETWEEN_MAX && isGap(buf[pos], buf[at]); skipped++) pos++
  while (pos + escapes < end && escapes < 4 && buf[pos + escapes] === BACKSLASH) escapes++
  const byte = byteAt(buf, at, end, pos + escapes)
  if (isQuote(byte)) {
    quote = byte
    return pos + escapes + 1
  }
  if (escapes > 0 || buf[at] === COMMA) return -1
  return pos < end ? pos : -1
}

function isGap(byte: number, sign: number): boolean {
  return byte === SPACE || (sign === GREATER && (byte === 0x0a || byte === 0x09 || byte === 0x0d))
}

function valueEnd(buf: Uint8Array, value: number, end: number, at: number, name: Secret): number {
  const limit = Math.min(end, value + VALUE_BYTES_MAX)
  let pos = value
  if (quote !== 0) {
    for (; pos < limit; pos++) {
      if (buf[pos] === quote) return pos - escapes
      if (buf[pos] === BACKSLASH && escapes === 0) pos++
    }
    return limit
  }
  if (name === Secret.PASSWORD && buf[at] !== GREATER) return passwordEnd(buf, value, limit)
  while (pos < limit && !isBareEnd(buf[pos])) pos++
  if (buf[at] === GREATER) return pos
  while (pos > value && (buf[pos - 1] === 0x2e || buf[pos - 1] === COLON)) pos--
  return pos
}

/** A password has any sign in it, so that white space ends it, and not what ends a sentence. */
function passwordEnd(buf: Uint8Array, value: number, limit: number): number {
  let pos = value
  while (pos < limit && buf[pos] > SPACE && buf[pos] !== 0x22 && buf[pos] !== LESS) pos++
  while (pos > value && (buf[pos - 1] === COMMA || buf[pos - 1] === 0x3b || buf[pos - 1] === 0x2e)) pos--
  return pos
}

/** Ends a value without quotes. */
function isBareEnd(byte: number): boolean {
  return (
    byte <= SPACE ||
    isQuote(byte) ||
    byte === COMMA ||
    byte === 0x3b ||
    byte === 0x26 ||
    byte === LESS ||
    byte === GREATER ||
    byte === 0x29 ||
    byte === 0x5d ||
    byte === 0x7d ||
    byte === 0x7b ||
    byte === 0x28 ||
    byte === BACKSLASH
  )
}

const OPAQUE_BYTES_MIN = 8
const KEY_BYTES_MIN = 20
/** Of a password without quotes; what has letters only is a word. */
const BARE_PASSWORD_BYTES_MIN = 4

/** Whether the value can be one: not a literal, a placeholder, a reference or words. */
function isSecret(buf: Uint8Array, first: number, last: number, name: Secret): boolean {
  if (isReference(buf, first, last) || isLiteral(buf, first, last)) return false
  const length = last - first
  if (name === Secret.PASSWORD && quote !== 0) return length >= 3 && !hasSpace(buf, first, last)
  if (name === Secret.PASSWORD) return length >= BARE_PASSWORD_BYTES_MIN && !isWord(buf, first, last)
  if (length < (name === Secret.KEY ? KEY_BYTES_MIN : OPAQUE_BYTES_MIN)) return false
  if (hasSpace(buf, first, last) || !isOpaque(buf, first, last, length / 3)) return false
  let [digits, letters, capitals, others] = [0, 0, 0, 0]
  for (let pos = first; pos < last; pos++) {
    const byte = buf[pos]
    if ((CLASS[byte] & DIGIT) !== 0) digits++
    else if ((CLASS[byte] & ALPHA) !== 0) {
      letters++
      if (isCapital(byte)) capitals++
    } else others++
  }
  if (isPath(buf, first, last, digits)) return false
  if (digits > 0 && letters > 0) return true
  if (digits === length) return name === Secret.NAMED && length >= 20
  // Without a digit: capitals and small letters mixed, as words are not.
  return digits === 0 && others <= length / 4 && length >= 20 && capitals > 3 && capitals < letters - 3
}

const REFERENCES = ['enc.v1.', 'tok.v1.', 'vault:', 'process.env', 'os.environ', 'env.', 'secrets.', 'arn:']

/** `${TOKEN}`, `$TOKEN`, `$1`, `%s`, `%TOKEN%`, `<token>`, `{{ .Values.token }}`, `enc.v1.…`, `os.environ…`. */
function isReference(buf: Uint8Array, first: number, last: number): boolean {
  const byte = buf[first]
  const final = buf[last - 1]
  if (byte === 0x24) return isVariable(buf, first + 1, last)
  if (byte === 0x25) return last - first <= 3 || buf[first + 1] === 0x28 || final === 0x25
  if (byte === LESS) return true
  if (byte === 0x7b || byte === 0x5b) return final === 0x7d || final === 0x5d || buf[first + 1] === byte
  if (byte === 0x40) return isWord(buf, first + 1, last)
  if (byte === 0x2a) return isMask(buf, first, last)
  return REFERENCES.some((word) => hasWord(buf, first, last, word))
}

/** Behind a dollar sign: `{`, `(`, or a name or number and nothing else. */
function isVariable(buf: Uint8Array, first: number, last: number): boolean {
  if (buf[first] === 0x7b || buf[first] === 0x28) return true
  for (let pos = first; pos < last; pos++) if (!isNameByte(buf[pos])) return false
  return !(hasDigitAndSmall(buf, first, last) && last - first > 8)
}

function hasDigitAndSmall(buf: Uint8Array, first: number, last: number): boolean {
  let [hasDigit, hasSmall] = [false, false]
  for (let pos = first; pos < last; pos++) {
    if ((CLASS[buf[pos]] & DIGIT) !== 0) hasDigit = true
    else if (isLetter(buf[pos]) && !isCapital(buf[pos])) hasSmall = true
  }
  return hasDigit && hasSmall
}

function isMask(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first; pos < last; pos++) if (buf[pos] !== 0x2a) return false
  return true
}

const LITERALS = [
  'null',
  'none',
  'nil',
  'true',
  'false',
  'undefined',
  'redacted',
  'string',
  'changeme',
  'example',
]

function isLiteral(buf: Uint8Array, first: number, last: number): boolean {
  return LITERALS.some((word) => last - first === word.length && hasWord(buf, first, last, word))
}

/** A file, an URL, or an expression: `/run/secrets/x`, `./key.pem`, `config.api.key`. */
function isPath(buf: Uint8Array, first: number, last: number, digits: number): boolean {
  if (buf[first] === 0x2f && (digits < 6 || last - first < 32)) return true
  for (let pos = first; pos + 2 < last; pos++)
    if (buf[pos] === COLON && buf[pos + 1] === 0x2f && buf[pos + 2] === 0x2f) return true
  if (quote !== 0 && digits > 0) return endsWithFile(buf, first, last)
  return digits < 3 ? hasDotBetweenWords(buf, first, last) : endsWithFile(buf, first, last)
}

function hasDotBetweenWords(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first + 1; pos + 1 < last; pos++)
    if (buf[pos] === 0x2e && isLetter(buf[pos - 1]) && isLetter(buf[pos + 1])) return true
  return false
}

const FILES = [
  '.pem',
  '.key',
  '.crt',
  '.json',
  '.yaml',
  '.yml',
  '.txt',
  '.p12',
  '.jks',
  '.py',
  '.go',
  '.js',
  '.ts',
]

function endsWithFile(buf: Uint8Array, first: number, last: number): boolean {
  return FILES.some((name) => last - name.length > first && hasWord(buf, last - name.length, last, name))
}

function hasSpace(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first; pos < last; pos++) if (buf[pos] <= SPACE) return true
  return false
}

function isNameByte(byte: number): boolean {
  return (CLASS[byte] & ALNUM) !== 0 || byte === UNDERSCORE || byte === 0x2d || byte === 0x2e
}

function isLetter(byte: number): boolean {
  return (CLASS[byte] & ALPHA) !== 0
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a && lowerCase(byte) !== byte
}

function isQuote(byte: number): boolean {
  return byte === 0x22 || byte === 0x27 || byte === 0x60
}
