// E-mail addresses, also percent-encoded (`alice%40example.com`) and internationalised. The scanner stops at every `@`
// and `%40`; the local part is read backwards from there and the domain forwards, both bounded (RFC 5321 §4.5.3.1).

import { Detector } from '../detectors.ts'
import {
  ALNUM,
  ALPHA,
  byteAt,
  CLASS,
  DIGIT,
  hasWord,
  is,
  LABEL,
  LOCAL,
  percentByte,
} from '../engine/bytes.ts'
import type { Matches } from '../engine/matches.ts'

/** 64 octets, each perhaps percent-encoded. */
const LOCAL_BYTES_MAX = 192
const DOMAIN_BYTES_MAX = 255
const TLD_BYTES_MIN = 2
const AT = 0x40
const DOT = 0x2e
const HYPHEN = 0x2d
const QUOTE = 0x22
const PERCENT = 0x25
const BACKSLASH = 0x5c

/** Endings that follow an `@` in file names (`logo@2x.png`) and are no top-level domains. */
const FILE_ENDINGS =
  'png jpg jpeg gif svg webp avif ico css js mjs cjs json jsx ts tsx map jsbundle bundle html htm xml yaml yml toml txt log lock cache ' +
  'gz tgz tar jar war ear dll exe bin dmg deb rpm whl egg service socket target timer mount slice scope path device swap automount svc'
/** By first letter and length. */
const ENDINGS: readonly (readonly string[] | undefined)[] = endingTable()

function endingTable(): (readonly string[] | undefined)[] {
  const table: (string[] | undefined)[] = new Array(26 * 16).fill(undefined)
  for (const ending of FILE_ENDINGS.split(' ')) {
    const bucket = (ending.charCodeAt(0) - 0x61) * 16 + ending.length
    table[bucket] = [...(table[bucket] ?? []), ending]
  }
  return table
}

/** `at` is an `@` or the `%` of a `%40`. */
export function detectEmail(buf: Uint8Array, start: number, end: number, at: number, matches: Matches): void {
  const quotedStart = quotedPartStart(buf, start, at)
  const localStart = quotedStart >= 0 ? quotedStart : localPartStart(buf, start, at)
  if (localStart === at || isUserinfo(buf, start, localStart)) return
  const domainStart = buf[at] === AT ? at + 1 : at + 3
  const domainEnd = domainNameEnd(buf, domainStart, end)
  if (domainEnd < 0) return
  // A repository's address, whatever follows it.
  const isGitRemote = hasWord(buf, localStart, at, 'git') && at === localStart + 3
  if (!isGitRemote) matches.add(localStart, domainEnd, Detector.EMAIL)
}

/** Where the quoted string before `at` begins (RFC 5321 §4.1.2), also in JSON and percent-encoded; -1 without one. */
function quotedPartStart(buf: Uint8Array, start: number, at: number): number {
  if (at - 1 > start && buf[at - 1] === QUOTE) return openingQuote(buf, start, at - 1)
  if (at - 3 < start || percentByte(buf, at - 3, at) !== QUOTE) return -1
  const floor = Math.max(start, at - LOCAL_BYTES_MAX)
  for (let pos = at - 6; pos >= floor; pos--)
    if (percentByte(buf, pos, at) === QUOTE && percentByte(buf, pos - 3, pos) !== BACKSLASH) return pos
  return -1
}

/** The quote with as many backslashes as the closing one: those inside have more. */
function openingQuote(buf: Uint8Array, start: number, closing: number): number {
  const level = backslashes(buf, start, closing)
  const floor = Math.max(start, closing - LOCAL_BYTES_MAX)
  for (let pos = closing - 1 - level; pos >= floor; pos--) {
    if (buf[pos] < 0x20) return -1
    if (buf[pos] === QUOTE && backslashes(buf, start, pos) === level) {
      const first = pos - level
      return closing - level - pos < 2 || is(buf, start, closing, first - 1, ALNUM) ? -1 : first
    }
  }
  return -1
}

/** Backslashes right before `pos`; more than eight are eight. */
function backslashes(buf: Uint8Array, start: number, pos: number): number {
  let count = 0
  while (count < 8 && pos - count - 1 >= start && buf[pos - count - 1] === BACKSLASH) count++
  return count
}

function localPartStart(buf: Uint8Array, start: number, at: number): number {
  const floor = Math.max(start, at - LOCAL_BYTES_MAX)
  let first = at
  while (first > floor && (CLASS[buf[first - 1]] & LOCAL) !== 0) {
    // An encoded byte that no local part has (%3D, %26, %3A, another %40) is where the address begins.
    if (buf[first - 1] === 0x25) {
      const byte = percentByte(buf, first - 1, at)
      if (byte >= 0 && ((CLASS[byte] & LOCAL) === 0 || byte === 0x25 || byte === 0x27)) {
        first += 2
        break
      }
    }
    first--
  }
  while (first < at && (CLASS[buf[first]] & ALNUM) === 0 && buf[first] < 0x80 && buf[first] !== 0x5f) {
    if (percentByte(buf, first, at) >= 0x80) break
    first++
  }
  return first
}

/** `//user:secret@host` is a URL's userinfo, and `secret@host` no address. */
function isUserinfo(buf: Uint8Array, start: number, localStart: number): boolean {
  if (byteAt(buf, start, localStart, localStart - 1) !== 0x3a) return false
  const floor = Math.max(start + 1, localStart - LOCAL_BYTES_MAX)
  for (let i = localStart - 2; i >= floor; i--) {
    if (buf[i] === 0x2f) return buf[i - 1] === 0x2f
    if ((CLASS[buf[i]] & LOCAL) === 0) return false
  }
  return false
}

/** Labels of a domain name: 255 octets, every other one a dot. */
const labelStarts = new Uint16Array(DOMAIN_BYTES_MAX + 1)

/** Where the domain that begins at `pos` ends, or -1 when there is none with a plausible top-level domain. */
function domainNameEnd(buf: Uint8Array, pos: number, end: number): number {
  const limit = Math.min(end, pos + DOMAIN_BYTES_MAX)
  let labelStart = pos
  let labels = 0
  let i = pos
  for (; ; i++) {
    if (i < limit && (CLASS[buf[i]] & LABEL) !== 0) continue
    const encoded = i < limit && buf[i] === PERCENT ? percentByte(buf, i, end) : -1
    if (encoded >= 0x80) {
      i += 2
      continue
    }
    if (i === labelStart || buf[labelStart] === HYPHEN) break
    // `rabbit@rmq-0.rmq.default.svc` is a service in a cluster.
    if (labels > 0 && i - labelStart === 3 && hasWord(buf, labelStart, i, 'svc')) return -1
    labelStarts[labels++] = labelStart - pos
    if (i >= limit || (buf[i] !== DOT && encoded !== DOT)) break
    if (encoded === DOT) i += 2
    labelStart = i + 1
  }
  return topLevelDomainEnd(
    buf,
    pos,
    labels,
    labels > 0 && labelStart > pos + labelStarts[labels - 1] ? labelStart : i,
  )
}

/** The end of the last label that is a top-level domain; `labelsEnd` is where the last label ends, or a dot behind it. */
function topLevelDomainEnd(buf: Uint8Array, pos: number, labels: number, labelsEnd: number): number {
  let end = labelsEnd
  for (let label = labels - 1; label > 0; label--) {
    const start = pos + labelStarts[label]
    const last = topLevelEnd(buf, start, end)
    if (last - start >= TLD_BYTES_MIN && !isFileEnding(buf, start, last))
      return isVersion(buf, pos, labels) ? -1 : last
    end = start
  }
  return -1
}

/** `pkg@18.2.0-rc.js` is a version: two numeric labels in front. */
function isVersion(buf: Uint8Array, pos: number, labels: number): boolean {
  const second = pos + labelStarts[1]
  return isNumeric(buf, pos) && (labels < 2 || isNumeric(buf, second))
}

/** Whether a label is digits only. */
function isNumeric(buf: Uint8Array, start: number): boolean {
  let pos = start
  while (pos < buf.length && (CLASS[buf[pos]] & DIGIT) !== 0) pos++
  return pos > start && (pos === buf.length || (CLASS[buf[pos]] & LABEL) === 0)
}

function isFileEnding(buf: Uint8Array, start: number, end: number): boolean {
  if (end - start > 9 || (CLASS[buf[start]] & ALPHA) === 0) return false
  const bucket = ENDINGS[((buf[start] | 0x20) - 0x61) * 16 + end - start]
  if (bucket === undefined) return false
  for (const ending of bucket) if (hasWord(buf, start, end, ending)) return true
  return false
}

/** What people glue numbers to: `ada@example.com2024`. */
const COMMON = ['com', 'org', 'net', 'edu', 'gov', 'de', 'uk', 'fr', 'it', 'es', 'nl', 'ch', 'at', 'io']

/** A top-level domain is letters; text that follows it without a gap (`.com-1`) is not part of it. */
function topLevelEnd(buf: Uint8Array, start: number, end: number): number {
  let pos = start
  for (; pos < end; pos++) {
    const byte = buf[pos]
    if ((CLASS[byte] & ALPHA) !== 0 || byte >= 0x80) continue
    if (byte !== PERCENT || percentByte(buf, pos, end) < 0x80) break
    pos += 2
  }
  if (pos - start === 2 && hasWord(buf, start, end, 'xn--')) return labelEnd(buf, pos, end)
  if (pos >= end || (CLASS[buf[pos]] & DIGIT) === 0) return pos
  for (const word of COMMON) if (pos - start === word.length && hasWord(buf, start, pos, word)) return pos
  return start
}

function labelEnd(buf: Uint8Array, from: number, end: number): number {
  let pos = from
  while (pos < end && (CLASS[buf[pos]] & LABEL) !== 0) pos++
  return pos
}
