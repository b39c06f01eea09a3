// Tokens that say themselves whose they are: `ghp_…`, `sk-ant-…`, `AKIA…`. Looked for is where a word has its first sign or
// digit, which all of them have near their beginning; a word is looked at once.
import { Detector } from '../detectors.ts'
import { ALNUM, CLASS, percentByte } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { isOpaque, TokenAutomaton } from './token-automaton.ts'
import { TOKEN_FORMS } from './token-forms.ts'

/** A token's first sign or digit comes no later. */
const WORD_BYTES_MAX = 40
const BACKSLASH = 0x5c

let automaton: TokenAutomaton | undefined

/** The first sign of each prefix with the two characters before it, hashed: what most signs in a text do not have. */
const mayBeSign = new Uint8Array(1 << 16)
for (const { prefix } of TOKEN_FORMS) {
  const at = prefix.search(/[^0-9A-Za-z]/)
  if (at > 0)
    mayBeSign[
      signHash(at > 1 ? prefix.charCodeAt(at - 2) : 0, prefix.charCodeAt(at - 1), prefix.charCodeAt(at))
    ] = 1
}

function signHash(second: number, first: number, sign: number): number {
  return (Math.imul(second, 0x3d4d) ^ Math.imul(first, 0x1f3) ^ sign) & 0xffff
}

/** `at` is the first of some digits, or one of `_ - . +`. */
export function detectProviderToken(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at < matches.tokenEnd || at + 1 >= end) return
  if ((CLASS[buf[at]] & ALNUM) === 0) {
    const isSecond =
      at - 2 >= start && (CLASS[buf[at - 2]] & ALNUM) !== 0 && (at - 3 < start || buf[at - 3] !== BACKSLASH)
    const second = isSecond ? buf[at - 2] : 0
    if (at === start || mayBeSign[signHash(second, buf[at - 1], buf[at])] === 0) return
  }
  const from = wordStart(buf, Math.max(start, matches.tokenEnd), at, start)
  matches.tokenEnd = at + 1
  if (from < 0) return
  automaton ??= new TokenAutomaton(TOKEN_FORMS)
  const last = automaton.match(buf, from, end)
  if (last < 0) return
  matches.tokenEnd = last
  matches.add(from, last, Detector.PROVIDER_TOKEN)
}

/** Where the word around `at` begins; -1 when that is before `floor`, or too far. */
function wordStart(buf: Uint8Array, floor: number, at: number, start: number): number {
  let pos = at
  while (pos > floor && at - pos < WORD_BYTES_MAX && (CLASS[buf[pos - 1]] & ALNUM) !== 0) pos--
  if (pos === floor && floor > start && isInWord(buf[floor - 1])) return -1
  if (at - pos === WORD_BYTES_MAX) return -1
  if (pos === at && (CLASS[buf[at]] & ALNUM) === 0) return -1
  if (pos === start || pos === 0) return pos
  const before = buf[pos - 1]
  // `\n`, `%3D`: what they stand for ends a word.
  if (before === BACKSLASH && at > pos) return pos + 1
  if (before === 0x25 && percentByte(buf, pos - 1, at) >= 0) return pos + 2
  return isInWord(before) ? -1 : pos
}

/** Behind these a word goes on. */
function isInWord(byte: number): boolean {
  return (CLASS[byte] & ALNUM) !== 0 || byte === 0x5f || byte === 0x2d || byte === 0x2e
}

const TILDE = 0x7e
const COLON = 0x3a
const BAR = 0x7c
const CAPITAL_A = 0x41
const CAPITAL_Q = 0x51
const TERRAFORM = '.atlasv1.'

/** Tokens with a mark behind the digits [at, runEnd): `…8Q~…` (Azure), `123…:AA…` (Telegram), `123…|…` (Facebook). */
export function detectMarkedToken(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  runEnd: number,
  matches: Matches,
): void {
  if (runEnd + 1 >= end) return
  const [mark, behind] = [buf[runEnd], buf[runEnd + 1]]
  const digits = runEnd - at
  if (mark === CAPITAL_Q && behind === TILDE) {
    if (runEnd - 4 >= start) body(buf, start, end, runEnd - 4, runEnd + 2, 31, 34, isAzureByte, matches)
  } else if (mark === COLON && behind === CAPITAL_A) {
    if (digits >= 5 && digits <= 16) body(buf, start, end, at, runEnd + 1, 34, 36, isPadByte, matches)
  } else if (mark === BAR && digits >= 15 && digits <= 16)
    body(buf, start, end, at, runEnd + 1, 27, 40, isPadByte, matches)
}

/** 14 characters, `.atlasv1.`, 50 or more (Terraform). `at` is a dot. */
export function detectTerraformToken(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at - 14 < start || !hasText(buf, at, end, TERRAFORM)) return
  body(buf, start, end, at - 14, at + TERRAFORM.length, 50, 80, isPadByte, matches)
}

/** The token [first, …) whose body begins at `from`, if it is as long as it has to be and stands alone. */
function body(
  buf: Uint8Array,
  start: number,
  end: number,
  first: number,
  from: number,
  min: number,
  max: number,
  isBody: (byte: number) => boolean,
  matches: Matches,
): void {
  const limit = Math.min(end, from + max)
  let last = from
  while (last < limit && isBody(buf[last])) last++
  if (last - from < min || !isOpaque(buf, from, last)) return
  if (isAlnumAt(buf, start, end, last) || isAlnumAt(buf, start, end, first - 1)) return
  matches.add(first, last, Detector.PROVIDER_TOKEN)
}

const isPadByte = (byte: number): boolean =>
  (CLASS[byte] & ALNUM) !== 0 || byte === 0x5f || byte === 0x2d || byte === 0x3d
const isAzureByte = (byte: number): boolean =>
  (CLASS[byte] & ALNUM) !== 0 || byte === 0x5f || byte === 0x2d || byte === 0x2e || byte === TILDE

function hasText(buf: Uint8Array, at: number, end: number, text: string): boolean {
  if (at + text.length > end) return false
  for (let i = 0; i < text.length; i++) if (buf[at + i] !== text.charCodeAt(i)) return false
  return true
}

function isAlnumAt(buf: Uint8Array, start: number, end: number, pos: number): boolean {
  return pos >= start && pos < end && (CLASS[buf[pos]] & ALNUM) !== 0
}
