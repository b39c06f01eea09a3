// The words before a number in a text, and what they say about it. They are read backwards from the number, and no
// further than a name could stand: the first long word that ends no name, or another number, ends the search. So no byte
// is read twice, and in most texts it is one word a number.

import { ALPHA, CLASS, DIGIT } from '../engine/bytes.ts'
import { addIdentifier, beginLetters, hashedOn } from './letters.ts'
import {
  endsName,
  endsTwoWords,
  FOR_NUMBERS,
  isOneWord,
  lastName,
  mayStandBetween,
  type Name,
} from './name-table.ts'

/** How much may stand between words, and between a name and its number. */
const SIGNS_MAX = 12
const WORD_BYTES_MAX = 40
/** How far before the last word of a name its first may begin. */
const NAME_BYTES_MAX = 72
/** Words that may stand between a name and its number: "is", "no", "of the". */
const WORDS_BETWEEN_MAX = 3
const SHORT_WORD = 4
/** A number's name so short is one in capitals only ("CI"), or right before a sign that gives it a value (`"ci":`). */
const SHORT_NAME = 3

/** Where the walk stands, and how many words of no name it has passed. */
let walkedTo = 0
let passed = 0

/** Begins at the number at `at`; `nextLabel` then finds its names, the nearest first. */
export function beginLabels(at: number): void {
  walkedTo = at
  passed = 0
}

export function nextLabel(buf: Uint8Array, start: number): Name | undefined {
  while (passed <= WORDS_BETWEEN_MAX) {
    const wordEnd = previousWordEnd(buf, start, walkedTo)
    if (wordEnd < 0) return undefined
    const wordStart = previousWordStart(buf, start, wordEnd)
    if (wordStart < 0) return undefined
    const to = walkedTo
    walkedTo = wordStart
    const hash = wordHash
    if (isWide || (endsName(hash, FOR_NUMBERS) && mayBeName(buf, start, wordStart, hash))) {
      const name = nameBefore(buf, start, wordStart, wordEnd)
      if (name !== undefined && isTelling(name, buf, wordStart, wordEnd, isBeforeSign(buf, wordEnd, to)))
        return name
    }
    if (wordEnd - wordStart > SHORT_WORD && !mayStandBetween(hash)) return undefined
    passed++
  }
  return undefined
}

/** Common words end names too ("number", "at"): together with the word before they rarely do. */
function mayBeName(buf: Uint8Array, start: number, wordStart: number, hash: number): boolean {
  if (isOneWord(hash)) return true
  const end = previousWordEnd(buf, start, wordStart)
  if (end < 0 || previousWordStart(buf, start, end, hash) < 0) return false
  return isWide || endsTwoWords(wordHash)
}

/** Of the word that `previousWordStart` read: its hash from the right, and whether it is more than ASCII letters. */
let wordHash = 0
let isWide = false

/** The end of the word before `at`, or -1 when a number or nothing stands there. */
function previousWordEnd(buf: Uint8Array, start: number, at: number): number {
  let pos = at
  while (pos > start && !isLetter(buf[pos - 1])) {
    if ((CLASS[buf[pos - 1]] & DIGIT) !== 0 || at - pos > SIGNS_MAX) return -1
    pos--
  }
  return pos === start ? -1 : pos
}

/** The beginning of the word that ends at `end`, or -1 when it is too long or has digits in it. */
function previousWordStart(buf: Uint8Array, start: number, end: number, hash = 0): number {
  wordHash = hash
  isWide = false
  let pos = end
  while (pos > start && end - pos < WORD_BYTES_MAX) {
    const byte = buf[pos - 1]
    if ((CLASS[byte] & ALPHA) !== 0) wordHash = hashedOn(wordHash, byte | 0x20)
    else if (byte >= 0x80 || byte === 0x27) isWide = true
    else return (CLASS[byte] & DIGIT) !== 0 ? -1 : pos
    pos--
    // The capital in the middle of `customerNit` begins a word.
    if (byte <= 0x5a && byte >= 0x41 && pos > start && buf[pos - 1] >= 0x61 && buf[pos - 1] <= 0x7a)
      return pos
  }
  return pos === start ? pos : -1
}

function isLetter(byte: number): boolean {
  return (CLASS[byte] & ALPHA) !== 0 || byte >= 0x80
}

/** The longest name that ends with the word in [wordStart, wordEnd). */
function nameBefore(buf: Uint8Array, start: number, wordStart: number, wordEnd: number): Name | undefined {
  let first = Math.max(start, wordStart - NAME_BYTES_MAX)
  while (first > start && first < wordStart && isLetter(buf[first])) first++
  // A name has no digits in it.
  for (let pos = wordStart - 1; pos >= first; pos--) {
    if ((CLASS[buf[pos]] & DIGIT) === 0) continue
    first = pos + 1
    break
  }
  beginLetters()
  addIdentifier(buf, first, wordEnd)
  return lastName(true)
}

function isTelling(name: Name, buf: Uint8Array, start: number, end: number, hasSign: boolean): boolean {
  if (hasSign || name.letters.length > SHORT_NAME || !name.isNumber) return true
  for (let pos = start; pos < end; pos++) if (buf[pos] >= 0x61 && buf[pos] <= 0x7a) return false
  return true
}

/** Whether what stands between begins with quotes, spaces or backslashes and then gives a value. */
function isBeforeSign(buf: Uint8Array, from: number, to: number): boolean {
  let pos = from
  while (pos < to && (buf[pos] === 0x22 || buf[pos] === 0x27 || buf[pos] === 0x20 || buf[pos] === 0x5c)) pos++
  return pos < to && (buf[pos] === 0x3a || buf[pos] === 0x3d || buf[pos] === 0x3e || buf[pos] === 0x23)
}
