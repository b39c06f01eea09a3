// Finds names: the end of an identifier or of a text's last words that a table of names knows. The table is built with
// the first question, since rules without detectors of this kind never ask.

import { Detector } from '../detectors.ts'
import type { Field, Kind, NameRow } from './field.ts'
import { FIELD_NAMES, PEOPLE } from './field-names.ts'
import { KIND_NAMES } from './kind-names.ts'
import { addIdentifier, beginLetters, hashBefore, hashedOn, letters, read, wordStarts } from './letters.ts'

export interface Name {
  /** Reduced to letters. */
  readonly letters: Uint8Array
  /** What a value under this name is; `undefined` where a name alone does not say it. */
  readonly field: Field | undefined
  /** What a text has behind this name. */
  readonly kinds: readonly Kind[]
  /** Hashes of words that before this name make it another one. */
  readonly not: readonly number[]
  /** A key is this name or ends with it; otherwise it is known in texts only. */
  readonly isKey: boolean
  /** A key is this name and nothing else; with `isPersons`, either will do. */
  readonly isWhole: boolean
  /** A key is this name behind a word for a person. */
  readonly isPersons: boolean
  /** Names a personal number. */
  readonly isNumber: boolean
}

type Row = { -readonly [K in keyof Name]: Name[K] }

const SLOTS = 8192
const LAST_WORDS = 1 << 15
export const FOR_NUMBERS = 1
export const FOR_MEMBERS = 2
/** A name of one word, and of a hash of the last two words: a name ends with them. */
const ONE_WORD = 4
const TWO_WORDS = 8
/** Words of a name at most. */
const NAME_WORDS_MAX = 8

interface Table {
  readonly names: readonly Name[]
  /** By hash, the number of a name and one; open addressing. */
  readonly slots: Uint16Array
}

let table: Table | undefined

function buildTable(): Table {
  const rows = new Map<string, Row>()
  for (const row of [...FIELD_NAMES, ...KIND_NAMES])
    for (const text of row.names.split('|')) addRow(rows, row, text)
  const names = [...rows.values()]
  const slots = new Uint16Array(SLOTS)
  for (const [index, name] of names.entries()) {
    let slot = hashOf(name.letters) & (SLOTS - 1)
    while (slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1)
    slots[slot] = index + 1
  }
  return { names, slots }
}

/**
 * By hash of a last word, whether a name ends with it: 1 one that a text's numbers are looked up by, 2 one of a member
 * of a syntax. Filled while rows are read: the last word of a name is known only there.
 */
const lastWords = new Uint8Array(LAST_WORDS)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

function addRow(rows: Map<string, Row>, row: NameRow, text: string): void {
  const bytes = encoder.encode(text)
  beginLetters()
  addIdentifier(bytes, 0, bytes.length)
  const key = letters.slice(0, read.letters)
  const last = hashBefore(0, wordStarts[read.words - 1], read.letters) & (LAST_WORDS - 1)
  const uses = (row.kinds !== undefined ? FOR_NUMBERS : 0) | (isMember(row) ? FOR_MEMBERS : 0)
  lastWords[last] |= read.words === 1 ? uses | ONE_WORD : uses
  if (read.words > 1) {
    const pair = hashBefore(0, wordStarts[read.words - 2], read.letters) & (LAST_WORDS - 1)
    lastWords[pair] |= TWO_WORDS
  }
  lastWords[hashOf(key) & (LAST_WORDS - 1)] |= uses | ONE_WORD
  const id = decoder.decode(key)
  const known = rows.get(id)
  if (known === undefined)
    rows.set(id, {
      letters: key,
      field: row.field,
      kinds: row.kinds ?? [],
      not: (row.not ?? []).map(wordHash),
      isNumber: isNumber(row),
      isKey: row.isText !== true,
      isWhole: row.isWhole === true,
      isPersons: row.isPersons === true,
    })
  else {
    known.field ??= row.field
    if (row.isText !== true) {
      const isFree = known.isKey && !known.isWhole && !known.isPersons
      const isRowFree = row.isWhole !== true && row.isPersons !== true
      known.isWhole = !isFree && !isRowFree && (known.isWhole || row.isWhole === true)
      known.isPersons = !isFree && !isRowFree && (known.isPersons || row.isPersons === true)
      known.isKey = true
    }
    known.isNumber ||= isNumber(row)
    known.kinds = [...new Set([...known.kinds, ...(row.kinds ?? [])])]
  }
}

/** Credentials and e-mail addresses have detectors of their own. */
function isMember(row: NameRow): boolean {
  return row.field !== undefined && row.field !== 'credential' && row.field !== 'email'
}

function isNumber(row: NameRow): boolean {
  return row.kinds?.some((kind) => kind.detector === Detector.NATIONAL_ID) === true
}

function wordHash(word: string): number {
  return hashOf(encoder.encode(word))
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0
  for (let i = bytes.length - 1; i >= 0; i--) hash = hashedOn(hash, bytes[i])
  return hash
}

/** The longest name that what was read ends with, or `undefined`. `isText` also knows names that no key is. */
export function lastName(isText: boolean): Name | undefined {
  table ??= buildTable()
  if (read.words === 0) return undefined
  return nameUpTo(table, read.words, read.letters, isText)
}

/** The name that the identifier in [start, end) ends with. */
export function identifierName(buf: Uint8Array, start: number, end: number): Name | undefined {
  table ??= buildTable()
  beginLetters()
  addIdentifier(buf, start, end)
  return keyName()
}

/** The name that the key which was read ends with; a plural is its singular. */
export function keyName(): Name | undefined {
  table ??= buildTable()
  if (read.words === 0) return undefined
  const found = nameUpTo(table, read.words, read.letters, false)
  if (found !== undefined || letters[read.letters - 1] !== 0x73) return found
  return nameUpTo(table, read.words, read.letters - 1, false)
}

function nameUpTo(table: Table, words: number, end: number, isText: boolean): Name | undefined {
  let start = end
  let hash = 0
  let found: Name | undefined
  for (let word = words - 1; word >= 0 && words - word <= NAME_WORDS_MAX; word--) {
    hash = hashBefore(hash, wordStarts[word], start)
    start = wordStarts[word]
    const name = lookUp(table, hash, start, end)
    if (name !== undefined && isFitting(name, word, isText)) found = name
  }
  return found
}

function isFitting(name: Name, word: number, isText: boolean): boolean {
  if (!isText && !name.isKey) return false
  if (word === 0) return isText || name.isWhole || !name.isPersons
  if (!isText && name.isWhole && !name.isPersons) return false
  const start = wordStarts[word - 1]
  const before = hashBefore(0, start, wordStarts[word])
  if (!isText && name.isPersons && !people().has(before)) return false
  return !name.not.includes(before)
}

let peopleHashes: ReadonlySet<number> | undefined

function people(): ReadonlySet<number> {
  peopleHashes ??= new Set([...PEOPLE].map(wordHash))
  return peopleHashes
}

/** Words longer than four letters that may stand between a name and its number. */
const BETWEEN = [
  'number',
  'nummer',
  'numero',
  'numéro',
  'número',
  'codes',
  'value',
  'ending',
  'equals',
  'given',
  'again',
]
let betweenHashes: ReadonlySet<number> | undefined

/** Whether the word with this hash may stand between a name and its number. */
export function mayStandBetween(hash: number): boolean {
  betweenHashes ??= new Set(BETWEEN.map(wordHash))
  return betweenHashes.has(hash)
}

/** Whether a name may end with the word of this hash: most words are refused with one look. */
export function endsName(hash: number, use: number): boolean {
  table ??= buildTable()
  return (lastWords[hash & (LAST_WORDS - 1)] & use) !== 0
}

/** Whether the word of this hash may be a name alone. */
export function isOneWord(hash: number): boolean {
  return (lastWords[hash & (LAST_WORDS - 1)] & ONE_WORD) !== 0
}

/** Whether a name may end with the two words of this hash. */
export function endsTwoWords(hash: number): boolean {
  return (lastWords[hash & (LAST_WORDS - 1)] & TWO_WORDS) !== 0
}

function lookUp(table: Table, hash: number, start: number, end: number): Name | undefined {
  for (let slot = hash & (SLOTS - 1); table.slots[slot] !== 0; slot = (slot + 1) & (SLOTS - 1)) {
    const name = table.names[table.slots[slot] - 1]
    if (isEqual(name.letters, start, end)) return name
  }
  return undefined
}

function isEqual(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== letters[start + i]) return false
  return true
}
