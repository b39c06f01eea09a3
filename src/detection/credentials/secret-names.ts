// Names of secrets in code, configuration and messages: the table of names says which they are; a key that is named for
// somebody (`vendor_key`) may be one as well.
import { ALNUM, CLASS, DIGIT, hasWord, isCapital, isLetter } from '../engine/bytes.ts'
import { identifierName } from '../names/name-table.ts'

export const NAME_BYTES_MAX = 64
const UNDERSCORE = 0x5f

/** What a name says of its value. */
export const Secret = { NONE: 0, PASSWORD: 1, NAMED: 2, KEY: 3 } as const
export type Secret = (typeof Secret)[keyof typeof Secret]

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

/** Whether a name that ends at `nameEnd` may be a secret's: one look, for most are none. */
export function mayEndName(buf: Uint8Array, nameEnd: number): boolean {
  return mayEnd[endingHash(buf, nameEnd)] !== 0
}

/** What the name [first, end) says. A value that is short is only ever a password. */
export function nameIn(buf: Uint8Array, first: number, end: number, isLongValue: boolean): Secret {
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

/** Where the name begins that ends at `nameEnd`. */
export function nameStart(buf: Uint8Array, start: number, nameEnd: number): number {
  let pos = nameEnd
  while (pos > start && nameEnd - pos < NAME_BYTES_MAX && isNameByte(buf[pos - 1])) pos--
  return pos
}

export function isNameByte(byte: number): boolean {
  return (CLASS[byte] & ALNUM) !== 0 || byte === UNDERSCORE || byte === 0x2d || byte === 0x2e
}
