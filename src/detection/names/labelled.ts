// Values that nothing but their name tells from others: "BSN 123456782", `dob=1990-01-31`, "call me back on 030 901820".
// Where a number begins, the words before it are looked up; if they name a kind, the number must be one.

import { Detector } from '../detectors.ts'
import { ALNUM, ALPHA, CLASS, DIGIT, is } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import type { Kind } from './field.ts'
import { beginLabels, nextLabel } from './labels.ts'
import { isMeasure, separatorWidth } from './separators.ts'

const CHARACTERS_MAX = 24
/** Names that are tried for one number. */
const LABELS_MAX = 3
/** Letters before the first digit of a value: PASSPORT AB1234, a tax code's six. */
const LETTERS_BEFORE_MAX = 6

/** The letters (capitals) and digits from a place on, and where each ends in the text. */
const characters = new Uint8Array(CHARACTERS_MAX)
const ends = new Int32Array(CHARACTERS_MAX)
let count = 0

/** `at` begins a run of digits. The end of what was found, or -1. */
export function detectLabelled(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  mask: number,
  matches: Matches,
): number {
  const first = tokenStart(buf, start, at)
  if (first < 0) return -1
  beginLabels(first)
  for (let label = 0; label < LABELS_MAX; label++) {
    const name = nextLabel(buf, start)
    if (name === undefined) return -1
    const found = findKind(buf, start, end, first, at, name.kinds, mask, matches)
    if (found > 0) return found
  }
  return -1
}

/** Where the token of the digits at `at` begins; -1 when that is too far away, or a number goes on there. */
function tokenStart(buf: Uint8Array, start: number, at: number): number {
  let pos = at
  while (pos > start && at - pos <= LETTERS_BEFORE_MAX && (CLASS[buf[pos - 1]] & ALNUM) !== 0) {
    if ((CLASS[buf[pos - 1]] & DIGIT) !== 0) return -1
    pos--
  }
  return at - pos > LETTERS_BEFORE_MAX ? -1 : pos
}

function findKind(
  buf: Uint8Array,
  start: number,
  end: number,
  first: number,
  at: number,
  kinds: readonly Kind[],
  mask: number,
  matches: Matches,
): number {
  const prefix = prefixStart(buf, start, first)
  // Letters apart are part of a plate; of other numbers only where nothing fits without them.
  const isPlate = kinds.length > 0 && kinds[0]!.detector === Detector.PLATE
  for (const from of isPlate ? [prefix, first] : [first, at, prefix]) {
    if (from < 0 || (from === at && from !== first && isPartOfWord(buf, start, from))) continue
    count = 0
    for (const kind of kinds) {
      if ((mask & (1 << kind.detector)) === 0) continue
      const found = readKind(buf, start, end, from, kind)
      if (found < 0 || isMeasure(buf, found, end)) continue
      matches.add(
        kind.detector === Detector.PHONE ? phoneStart(buf, start, from) : from,
        found,
        kind.detector,
      )
      return found
    }
  }
  return -1
}

/** A plus, and the parenthesis around an area code, are part of a telephone number. */
function phoneStart(buf: Uint8Array, start: number, from: number): number {
  let pos = from
  while (pos > start && from - pos < 2 && (buf[pos - 1] === 0x28 || buf[pos - 1] === 0x2b)) pos--
  return pos
}

/** Digits right behind a letter count on their own only when a sign or a prefix of a country stands before them. */
function isPartOfWord(buf: Uint8Array, start: number, at: number): boolean {
  return is(buf, start, at, at - 3, ALNUM)
}

/** Where one to four letters before a number begin that a space or a dash keeps apart from it: "HR 123", "x-123". */
function prefixStart(buf: Uint8Array, start: number, first: number): number {
  const separator = first > start ? buf[first - 1] : 0
  if (separator !== 0x20 && separator !== 0x2d) return -1
  let pos = first - 1
  while (pos > start && first - pos <= 5 && (CLASS[buf[pos - 1]] & ALPHA) !== 0) pos--
  return first - pos > 5 || first - pos === 1 || is(buf, start, first, pos - 1, ALNUM) ? -1 : pos
}

function readKind(buf: Uint8Array, start: number, end: number, from: number, kind: Kind): number {
  if (kind.read !== undefined) return kind.read(buf, start, end, from)
  if (count === 0) readCharacters(buf, from, end)
  const { patterns } = kind
  let longest = -1
  for (let pos = 0; pos < patterns.length; ) {
    let next = patterns.indexOf(' ', pos)
    if (next < 0) next = patterns.length
    longest = Math.max(longest, matchPattern(buf, end, kind, pos, next))
    pos = next + 1
  }
  return longest
}

/** Where the value that fits [pos, next) of the kind's patterns ends, or -1. */
function matchPattern(buf: Uint8Array, end: number, kind: Kind, pos: number, next: number): number {
  const length = next - pos
  if (length > count) return -1
  for (let i = 0; i < length; i++) if (!isFitting(characters[i], kind.patterns.charCodeAt(pos + i))) return -1
  const last = ends[length - 1]
  if (is(buf, 0, end, last, ALNUM) || isFractionAfter(buf, last, end)) return -1
  if (kind.check === undefined) return last
  return kind.check(String.fromCharCode(...characters.subarray(0, length))) ? last : -1
}

function isFitting(character: number, pattern: number): boolean {
  if (pattern === 0x2a) return true
  if (pattern === 0x23) return character < 0x3a
  return pattern === 0x40 ? character > 0x40 : character === pattern
}

/** A dot, a dash or a slash with more digits after it: the number is longer. */
function isFractionAfter(buf: Uint8Array, pos: number, end: number): boolean {
  return (
    pos < end &&
    (buf[pos] === 0x2d || buf[pos] === 0x2e || buf[pos] === 0x2f) &&
    is(buf, pos, end, pos + 1, DIGIT)
  )
}

function readCharacters(buf: Uint8Array, from: number, end: number): void {
  for (let pos = from; pos < end && count < CHARACTERS_MAX; ) {
    const byte = buf[pos]
    if ((CLASS[byte] & ALNUM) !== 0) {
      characters[count] = (CLASS[byte] & ALPHA) !== 0 ? byte & 0xdf : byte
      ends[count++] = ++pos
      continue
    }
    const width = gapWidth(buf, pos, end)
    if (width === 0) return
    pos += width
  }
}

/** Up to two signs that people put into numbers; 0 when something else stands there. */
function gapWidth(buf: Uint8Array, pos: number, end: number): number {
  const first = separatorWidth(buf, pos, end)
  if (first === 0) return 0
  const second = separatorWidth(buf, pos + first, end)
  return is(buf, pos, end, pos + first + second, ALNUM) ? first + second : 0
}
