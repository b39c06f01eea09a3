// Names as people spell them, reduced to letters: case, accents and what stands between words are taken away, so that
// `dateOfBirth`, `DATE_OF_BIRTH`, `date-of-birth` and "Date of birth" are one. Words keep their beginnings.

import { ALPHA, CLASS, DIGIT } from '../engine/bytes.ts'

/** Letters that are looked at; a longer name keeps its end. */
export const LETTERS_MAX = 128
/** Words that are looked at. */
export const WORDS_MAX = 24

/** U+00C0 to U+017F without accents, as letters with how often each comes; a space stands for no letter. */
const LATIN = [
  ...'a7c1e4i4d1n1o5 1o1u4y1t1s1'.matchAll(/(.)(\d)/g),
  ...'a7c1e4i4d1n1o5 1o1u4y1t1y1'.matchAll(/(.)(\d)/g),
  ...'a6c8d4e9e1g8h4i9i3j2k3l9l1n9o8r6s8t6u9u3w2y3z6s1'.matchAll(/(.)(\d)/g),
]
  .map(([, letter, count]) => letter.repeat(Number(count)))
  .join('')

/** What was read, as bytes: a-z, and UTF-8 of other scripts in lower case. */
export const letters = new Uint8Array(LETTERS_MAX)
/** Where words begin in `letters`. */
export const wordStarts = new Uint8Array(WORDS_MAX)
export const read = { letters: 0, words: 0 }

export function beginLetters(): void {
  read.letters = 0
  read.words = 0
}

export function beginWord(): void {
  if (read.words > 0 && wordStarts[read.words - 1] === read.letters) return
  if (read.words === WORDS_MAX || read.letters > LETTERS_MAX - 4) forget()
  wordStarts[read.words++] = read.letters
}

/** Makes room: the first half of what was read is least likely to say what a value is. */
function forget(): void {
  const from = wordStarts[read.words >> 1] ?? 0
  if (read.words < 2 || from === 0) {
    beginLetters()
    return
  }
  const first = read.words >> 1
  letters.copyWithin(0, from, read.letters)
  for (let i = first; i < read.words; i++) wordStarts[i - first] = wordStarts[i] - from
  read.words -= first
  read.letters -= from
}

/** Adds the letter at `pos`; how many bytes it has, 0 when there is none. */
export function addLetter(buf: Uint8Array, pos: number, end: number): number {
  const byte = buf[pos]
  if ((CLASS[byte] & ALPHA) !== 0) {
    put(byte | 0x20)
    return 1
  }
  if (byte < 0x80) return 0
  return addWideLetter(buf, pos, end)
}

function put(byte: number): void {
  if (read.letters < LETTERS_MAX) letters[read.letters++] = byte
}

function addWideLetter(buf: Uint8Array, pos: number, end: number): number {
  const byte = buf[pos]
  const next = pos + 1 < end ? buf[pos + 1] : 0
  if ((next & 0xc0) !== 0x80) return 0
  const point = ((byte & 0x1f) << 6) | (next & 0x3f)
  if (byte >= 0xc3 && byte <= 0xc5) {
    const letter = LATIN.charCodeAt(point - 0xc0)
    if (letter === 0x20) return 0
    put(letter)
    if (point === 0xdf) put(letter)
    return 2
  }
  if (byte >= 0xc6 && byte <= 0xdf) {
    const lower = lowerPoint(point)
    put(0xc0 | (lower >> 6))
    put(0x80 | (lower & 0x3f))
    return 2
  }
  // U+2000 to U+206F are spaces, dashes and quotes.
  if (byte < 0xe0 || byte >= 0xf0 || pos + 2 >= end || (byte === 0xe2 && next < 0x82)) return 0
  put(byte)
  put(next)
  put(buf[pos + 2])
  return 3
}

/** Romanian s and t with a comma, Greek and Cyrillic. */
function lowerPoint(point: number): number {
  if (point === 0x218 || point === 0x219) return 0x73
  if (point === 0x21a || point === 0x21b) return 0x74
  if (point >= 0x410 && point <= 0x42f) return point + 0x20
  if (point >= 0x400 && point <= 0x40f) return point + 0x50
  return point >= 0x391 && point <= 0x3a9 ? point + 0x20 : point
}

/**
 * Reads the identifier in [start, end) behind what was read before. Words begin after what is no letter, at a capital
 * after a small letter, and at the last of several capitals (`IDNumber`).
 */
export function addIdentifier(buf: Uint8Array, start: number, end: number): void {
  let isInWord = false
  for (let pos = start; pos < end; ) {
    const byte = buf[pos]
    if (isInWord && isCapital(byte) && pos > start) {
      const isAfterSmall = !isCapital(buf[pos - 1])
      const isBeforeSmall = pos + 1 < end && buf[pos + 1] >= 0x61 && buf[pos + 1] <= 0x7a
      if (isAfterSmall || isBeforeSmall) beginWord()
    }
    if (!isInWord && (CLASS[byte] & ALPHA || byte >= 0x80)) beginWord()
    const width = addLetter(buf, pos, end)
    isInWord =
      width > 0 || byte === 0x27 || (isInWord && (CLASS[byte] & DIGIT) !== 0 && isInside(buf, pos, end))
    pos += width > 0 ? width : 1
  }
  if (read.words > 0 && wordStarts[read.words - 1] === read.letters) read.words--
}

/** A digit with small letters on both sides is part of a word (`base64url`). */
function isInside(buf: Uint8Array, pos: number, end: number): boolean {
  let next = pos
  while (next < end && (CLASS[buf[next]] & DIGIT) !== 0) next++
  return next < end && buf[next] >= 0x61 && buf[next] <= 0x7a
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a
}

/** Hashes are over letters from the right, so that they go on to the left. */
export function hashedOn(hash: number, letter: number): number {
  return (Math.imul(hash, 31) + letter) | 0
}

/** The hash of `letters` from `start` to their end, read from the right, so that it goes on to the left. */
export function hashBefore(hash: number, start: number, end: number): number {
  for (let i = end - 1; i >= start; i--) hash = hashedOn(hash, letters[i])
  return hash
}
