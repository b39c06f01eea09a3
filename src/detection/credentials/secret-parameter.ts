// Parameters whose name says that their value is a secret: in query strings (also nested, percent-encoded ones), form
// bodies, connection strings and `key=value` logs. The match is the value.

import { Detector } from '../detectors.ts'
import { ALNUM, byteAt, CLASS, lowerCase, percentByte, URL_END } from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'
import { identifierName } from '../names/name-table.ts'
import { isRedacted } from './url-credentials.ts'

const NAME_BYTES_MAX = 64

/** A secret wherever they stand before an equals sign. Compared in lower case with `-` as `_`. */
const NAMES = [
  'access_key',
  'access_token',
  'accesskey',
  'accesstoken',
  'api_key',
  'api_secret',
  'apikey',
  'apisecret',
  'app_secret',
  'auth_token',
  'authtoken',
  'awsaccesskeyid',
  'aws_secret_access_key',
  'aws_session_token',
  'client_secret',
  'clientsecret',
  'csrf_token',
  'id_token',
  'idtoken',
  'jsessionid',
  'jwt',
  'oauth_token',
  'passphrase',
  'passwd',
  'password',
  'phpsessid',
  'private_key',
  'pwd',
  'refresh_token',
  'refreshtoken',
  'secret',
  'secret_key',
  'secretkey',
  'session_token',
  'sessionid',
  'session_id',
  'token',
  'x_amz_credential',
  'x_amz_security_token',
  'x_amz_signature',
  'x_api_key',
  'x_auth_token',
  'x_goog_credential',
  'x_goog_signature',
]
/** Too common outside: a secret only after `?`, `&` or `;`. */
const QUERY_NAMES = [
  'auth',
  'authorization',
  'credential',
  'credentials',
  'key',
  'otp',
  'pass',
  'sid',
  'sig',
  'signature',
]

/** Any name that ends so is one too: `db_password`, `slack_token`. */
const SUFFIXES = ['_password', '_passwd', '_secret', '_token', '_api_key', '_apikey', '_private_key']

const name = new Uint8Array(NAME_BYTES_MAX)
const always = namesByHash(NAMES)
const inQuery = namesByHash(QUERY_NAMES)

function namesByHash(names: readonly string[]): ReadonlyMap<number, readonly string[]> {
  const table = new Map<number, string[]>()
  for (const text of names) {
    for (let i = 0; i < text.length; i++) name[i] = text.charCodeAt(i)
    const hash = nameHash(text.length)
    table.set(hash, [...(table.get(hash) ?? []), text])
  }
  return table
}

function nameHash(length: number): number {
  let hash = length
  for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + name[i]) | 0
  return hash
}

/** `at` is an `=` or the `%` of `%3D`. */
export function detectSecretParameter(
  buf: Uint8Array,
  start: number,
  end: number,
  at: number,
  matches: Matches,
): void {
  if (at < matches.parameterEnd) return
  const length = readName(buf, start, at)
  if (length < 2) return
  const boundary = boundaryByte(buf, start, at - nameBytes)
  const isQuery = boundary === 0x3f || boundary === 0x26
  if (!isSecretName(length, isQuery || boundary === 0x3b) || isCount(buf, at)) return
  const isEncoded = buf[at] === 0x25
  let first = isEncoded ? at + 3 : at + 1
  const quote = byteAt(buf, start, end, first)
  const isQuoted = quote === 0x22 || quote === 0x27
  if (isQuoted) first++
  const last = valueEnd(buf, first, end, isQuoted ? quote : 0, isQuery, isEncoded)
  matches.parameterEnd = last
  const isFolder = byteAt(buf, start, end, first) === 0x2f && length === 3 && endsWith(length, 'pwd')
  if (last > first && !isFolder && !isPlaceholder(buf, first, last))
    matches.add(first, last, Detector.SECRET_PARAMETER)
}

/** `max_token`, `next_page_token`: names that end as a secret's, and are none. */
function isCount(buf: Uint8Array, at: number): boolean {
  return endsWith(lengthRead, '_token') && identifierName(buf, at - nameBytes, at)?.field === undefined
}

/** Raw bytes of the name that `readName` found. */
let nameBytes = 0
/** Its length, decoded. */
let lengthRead = 0

/** Reads the name that ends at `at` into `name`, decoded and in lower case; its length. */
function readName(buf: Uint8Array, start: number, at: number): number {
  let first = at
  const floor = Math.max(start, at - NAME_BYTES_MAX)
  while (first > floor) {
    if (isNameByte(buf[first - 1])) {
      const encoded = first - 3 >= floor ? percentByte(buf, first - 3, at) : -1
      if (encoded >= 0 && !isNameByte(encoded)) break
      first -= encoded >= 0 ? 3 : 1
    } else break
  }
  nameBytes = at - first
  let length = 0
  for (let i = first; i < at; i++) {
    const encoded = percentByte(buf, i, at)
    const byte = encoded >= 0 ? encoded : buf[i]
    if (encoded >= 0) i += 2
    name[length++] = byte === 0x2d ? 0x5f : lowerCase(byte)
  }
  lengthRead = length
  return length
}

function isNameByte(byte: number): boolean {
  return (CLASS[byte] & ALNUM) !== 0 || byte === 0x5f || byte === 0x2d
}

/** The byte before the name, decoded when it is percent-encoded; -1 at the start. */
function boundaryByte(buf: Uint8Array, start: number, first: number): number {
  if (first <= start) return -1
  const encoded = first - 3 >= start ? percentByte(buf, first - 3, first) : -1
  return encoded >= 0 ? encoded : buf[first - 1]
}

function isSecretName(length: number, isQuery: boolean): boolean {
  const hash = nameHash(length)
  if (isOneOf(always.get(hash), length) || (isQuery && isOneOf(inQuery.get(hash), length))) return true
  for (const suffix of SUFFIXES) if (endsWith(length, suffix)) return true
  return false
}

function isOneOf(names: readonly string[] | undefined, length: number): boolean {
  if (names === undefined) return false
  for (const text of names) if (text.length === length && endsWith(length, text)) return true
  return false
}

function endsWith(length: number, text: string): boolean {
  const offset = length - text.length
  if (offset < 0) return false
  for (let i = 0; i < text.length; i++) if (name[offset + i] !== text.charCodeAt(i)) return false
  return true
}

function valueEnd(
  buf: Uint8Array,
  first: number,
  end: number,
  quote: number,
  isQuery: boolean,
  isEncoded: boolean,
): number {
  let pos = first
  for (; pos < end; pos++) {
    const byte = buf[pos]
    if (quote !== 0) {
      if (byte === quote) break
      continue
    }
    if ((CLASS[byte] & URL_END) !== 0 || (byte === 0x5c && isEscape(byteAt(buf, first, end, pos + 1)))) break
    // Outside of a query a password may have these, unless what follows is the next parameter.
    if (byte === 0x26 && (isQuery || isParameter(buf, pos + 1, end))) break
    if (byte === 0x23 && isQuery) break
    if (!isQuery && (byte === 0x2c || byte === 0x3b)) break
    if (isEncoded && byte === 0x25 && percentByte(buf, pos, end) === 0x26) break
  }
  return pos
}

/** `\n`, `\t`, `\"` and the like, where the text stands in JSON. */
function isEscape(byte: number): boolean {
  return byte === 0x6e || byte === 0x72 || byte === 0x74 || byte === 0x22
}

/** Whether a name and an equals sign stand at `at`. */
function isParameter(buf: Uint8Array, at: number, end: number): boolean {
  let pos = at
  while (pos < end && pos - at < NAME_BYTES_MAX && isNameByte(buf[pos])) pos++
  return pos > at && pos < end && buf[pos] === 0x3d
}

/** What stands for a value without being one: a mask, a bind variable, a literal nothing. */
function isPlaceholder(buf: Uint8Array, first: number, last: number): boolean {
  if (isRedacted(buf, first, last)) return true
  const byte = buf[first]
  if (last - first <= 3 && (byte === 0x3f || byte === 0x24 || byte === 0x3a)) return true // ?, $1, :p
  if (last - first === 2 && byte === 0x25 && buf[first + 1] === 0x73) return true // %s
  for (let i = first; i < last; i++) if (buf[i] !== 0x2a) return isNothing(buf, first, last)
  return true
}

const NOTHING = ['null', 'none', 'true', 'false', 'undefined', 'redacted']

function isNothing(buf: Uint8Array, first: number, last: number): boolean {
  for (const word of NOTHING) {
    if (last - first !== word.length) continue
    let i = 0
    while (i < word.length && lowerCase(buf[first + i]) === word.charCodeAt(i)) i++
    if (i === word.length) return true
  }
  return false
}
