// Values that stand behind the name of a secret: where they begin and end by the syntax around them, and whether they can be one.
import { ALPHA, byteAt, CLASS, DIGIT, hasWord, isCapital, isLetter, isQuote } from '../engine/bytes.ts'
import { isNameByte, Secret } from './secret-names.ts'
import { isOpaque } from './token-automaton.ts'

export const VALUE_BYTES_MAX = 4096
/** A sign, quotes, brackets and spaces between a name and its value. */
export const BETWEEN_MAX = 12

const COLON = 0x3a
const COMMA = 0x2c
const DASH = 0x2d
const EQUALS = 0x3d
const GREATER = 0x3e
const LESS = 0x3c
const SPACE = 0x20
const BACKSLASH = 0x5c

/** How the value is quoted: the byte that ends it, 0 without; and the backslashes before it. */
let quote = 0
let escapes = 0

/** Where the value begins behind the sign; -1 where none can. */
export function valueAfter(buf: Uint8Array, at: number, end: number): number {
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

export function valueEnd(buf: Uint8Array, value: number, end: number, at: number, name: Secret): number {
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
export const BARE_PASSWORD_BYTES_MIN = 4

/** Whether the value can be one: not a literal, a placeholder, a reference or words. */
export function isSecret(buf: Uint8Array, first: number, last: number, name: Secret): boolean {
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
export function isReference(buf: Uint8Array, first: number, last: number): boolean {
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

/** Whether a value has as many bytes as one that is no password must have. */
export function isLong(buf: Uint8Array, value: number, end: number): boolean {
  if (value + OPAQUE_BYTES_MIN > end) return false
  for (let pos = value; pos < value + OPAQUE_BYTES_MIN; pos++)
    if (quote !== 0 ? buf[pos] === quote : buf[pos] < SPACE) return false
  return true
}

export function isWord(buf: Uint8Array, first: number, last: number): boolean {
  for (let pos = first; pos < last; pos++) if (!isLetter(buf[pos]) && buf[pos] !== DASH) return false
  return true
}
